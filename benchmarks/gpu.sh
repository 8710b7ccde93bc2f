#!/usr/bin/env bash
# What only a GPU can do or tell, in under ten minutes, with PyTorch, transformers, numpy and this folder alone:
# the towers' pre-training goes on, then the bridge's training step and decoding at full size.
#
#   OUT=gpu CLIP_MINUTES=5 GPT2_MINUTES=1 benchmarks/gpu.sh
#
# Needs pretrained/data (git ignores it: `cd pretrained && dvc repro catalogue tokenizer`). The towers come out in
# $OUT/clip and $OUT/gpt2: copy them over pretrained/clip and pretrained/gpt2 if pretrained/measure.py likes them.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-gpu}
mkdir -p "$OUT"
batch() { python3 -c "import torch; print($1 if torch.cuda.is_available() else $2)"; }

python3 -m pretrained.train_clip --init --steps 1000000 --minutes "${CLIP_MINUTES:-5}" --batch-size "$(batch 1024 32)" 2>&1 | tee "$OUT/clip.log"
python3 -m pretrained.train_gpt2 --init --steps 1000000 --minutes "${GPT2_MINUTES:-1}" --batch-size "$(batch 256 8)" 2>&1 | tee "$OUT/gpt2.log"
for tower in clip gpt2; do
  cp pretrained/$tower/model.safetensors "$OUT/$tower.safetensors"
done

python3 -m benchmarks.model --only gpu 2>&1 | tee "$OUT/model.log"
