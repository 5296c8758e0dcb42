#!/bin/sh
# From nothing to the small text-to-video model, and what the judge says of it:
#
#     sh examples/t2v/recipe.sh runs/small t2v.safetensors --bf16 --compile
#
# Further arguments go to both trainings: --bf16 multiplies in bfloat16 and --device cpu keeps off
# an accelerator. What is stopped goes on where it was. Smaller numbers try it in minutes:
#
#     VAE_STEPS=4 OUTLINE_STEPS=4 VAE_CLIPS=64 STILL=2 STEPS=4 CLIPS=64 PICTURES=64 COUNT=4 sh examples/t2v/recipe.sh ...
set -eu
if [ $# -lt 2 ]; then
    echo "use: sh examples/t2v/recipe.sh RUNS FILE [--bf16] [--device cpu]" >&2
    exit 2
fi
runs=$1 file=$2
shift 2
compile=
for word; do
    shift
    if [ "$word" = --compile ]; then compile=--compile; else set -- "$@" "$word"; fi
done
python -m examples.t2v.train_vae "$runs/vae" --steps "${VAE_STEPS:-3200}" \
    --clips "${VAE_CLIPS:-8000}" "$@"
python -m examples.t2v.train_vae "$runs/outlines" --begin "$runs/vae/final" --lr 6e-4 \
    --steps "${OUTLINE_STEPS:-1800}" --clips "${VAE_CLIPS:-8000}" "$@"
python -m examples.t2v.train_t2v "$runs/outlines/final" "$runs/t2v" --still "${STILL:-1500}" \
    --steps "${STEPS:-13500}" --clips "${CLIPS:-14000}" --pictures "${PICTURES:-40000}" \
    --alone 0.5 $compile "$@"
python -m examples.t2v.assemble "$runs/outlines/final" "$runs/t2v" "$file"
python -m examples.t2v.judge "$file" --count "${COUNT:-96}" --things 1
python -m examples.t2v.judge "$file" --count "${COUNT:-96}" --things 2
