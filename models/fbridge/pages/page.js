"use strict";
(() => {
  const groups = [...document.querySelectorAll(".videos")].map((box) => [...box.querySelectorAll("video")]);
  let running = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const play = (group) => group.forEach((video) => {
    video.currentTime = 0;
    video.play().catch(() => {});
  });
  const stop = (group) => group.forEach((video) => video.pause());
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    const group = groups.find((one) => one.includes(entry.target.querySelector("video")));
    if (!group) return;
    if (entry.isIntersecting && running) play(group); else stop(group);
  }), { threshold: 0.1 });
  document.querySelectorAll(".videos").forEach((box) => seen.observe(box));
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target.closest("input, button, a")) return;
    event.preventDefault();
    running = !running;
    groups.forEach(running ? play : stop);
  });
})();
