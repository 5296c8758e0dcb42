"use strict";
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const slot = `study-${facts.study}`;
  const find = (id) => document.getElementById(id);

  // A small generator with a seed, so that what one participant saw can be made again.
  const random = (seed) => () => {
    seed = (seed + 0x6d2b79f5) >>> 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const remember = (state) => { try { localStorage.setItem(slot, JSON.stringify(state)); } catch { /* private window */ } };
  const recalled = () => { try { return JSON.parse(localStorage.getItem(slot)); } catch { return null; } };
  const fresh = () => {
    const drawn = crypto.getRandomValues(new Uint32Array(3));
    return {
      participant: [...drawn].map((n) => n.toString(16).padStart(8, "0")).join(""),
      seed: drawn[0], begun: false, answers: [],
    };
  };

  const state = recalled() ?? fresh();
  const draw = random(state.seed);
  const order = facts.trials.map((trial) => ({ trial, lot: draw(), swap: draw() < 0.5 }))
    .sort((a, b) => a.lot - b.lot);
  let shownAt = 0;

  const show = (name) => ["start", "trial", "end"].forEach((id) => { find(id).hidden = id !== name; });
  const next = () => {
    const done = state.answers.length;
    find("progress").value = done / order.length;
    find("count").textContent = `${done} of ${order.length}`;
    if (!state.begun) { show("start"); return; }
    if (done === order.length) { finish(); return; }
    const { trial, swap } = order[done];
    const [left, right] = swap ? [...trial.videos].reverse() : trial.videos;
    find("caption").textContent = trial.caption;
    find("given").hidden = !trial.picture;
    if (trial.picture) find("picture").src = `media/${trial.picture}`;
    find("left-video").src = `media/${left}.webm`;
    find("right-video").src = `media/${right}.webm`;
    show("trial");
    shownAt = performance.now();
    document.querySelectorAll("video").forEach((video) => video.play().catch(() => {}));
  };
  const choose = (choice) => {
    const done = state.answers.length;
    if (!state.begun || done === order.length) return;
    const { trial, swap } = order[done];
    const [left, right] = swap ? [...trial.videos].reverse() : trial.videos;
    state.answers.push({ trial: trial.id, left, right, choice, ms: Math.round(performance.now() - shownAt) });
    remember(state);
    next();
  };
  const finish = () => {
    const { participant, seed, answers } = state;
    const text = JSON.stringify({ format: facts.format, study: facts.study, participant, seed, answers }, null, 1);
    find("text").value = text;
    find("save").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    find("save").download = `answers-${participant.slice(0, 8)}.json`;
    show("end");
  };

  document.querySelectorAll(".question").forEach((heading) => { heading.textContent = facts.question; });
  find("begin").addEventListener("click", () => { state.begun = true; remember(state); next(); });
  find("left").addEventListener("click", () => choose("left"));
  find("right").addEventListener("click", () => choose("right"));
  find("none").addEventListener("click", () => choose("none"));
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const choice = { ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right", ArrowDown: "none", 0: "none" }[event.key];
    if (choice && state.begun) { event.preventDefault(); choose(choice); }
  });
  next();
})();
