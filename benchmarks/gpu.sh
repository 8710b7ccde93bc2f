#!/usr/bin/env bash
# What only a GPU can do or tell, in under ten minutes, with PyTorch, transformers, numpy, pandas, pydantic and this
# folder alone: the towers' pre-training and that of the bridges go on, then captions on the GPU against the CPU's,
# the loader, encoding, and the training step at full size.
#
#   OUT=gpu CLIP_MINUTES=4 GPT2_MINUTES=0 CAPTIONER_MINUTES=3 benchmarks/gpu.sh
#
# Needs pretrained/data (git ignores it: `cd pretrained && dvc repro catalogue tokenizer`; dictionary.txt for GPT-2
# alone). The weights and configs come out in $OUT: copy them over those in pretrained/ if pretrained/measure.py likes them.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-gpu}
mkdir -p "$OUT"
batch() { python3 -c "import torch; print($1 if torch.cuda.is_available() else $2)"; }
pretrain() { # name, minutes, batch size on a GPU, batch size on a CPU, further options
  [ "$2" = 0 ] && return
  python3 -m "pretrained.train_$1" --steps 1000000 --minutes "$2" --batch-size "$(batch "$3" "$4")" "${@:5}"
  (cd pretrained && find "$1" -name model.safetensors) | while read -r weights; do
    folder=pretrained/$(dirname "$weights")
    cp "$folder/model.safetensors" "$OUT/$(basename "$folder").safetensors"
    cp "$folder/config.json" "$OUT/$(basename "$folder").json" # a captioner's names its towers
  done
}
{
  pretrain clip "${CLIP_MINUTES:-4}" 1024 32 --init
  pretrain gpt2 "${GPT2_MINUTES:-0}" 256 8 --init
  pretrain captioner "${CAPTIONER_MINUTES:-3}" 256 16 --init
  python3 -m benchmarks.gpu
  python3 -m benchmarks.loader
  python3 -m benchmarks.encoding --pictures "$(batch 8192 64)" --readers 0 4 16
  python3 -m benchmarks.model --only gpu
} 2>&1 | tee "$OUT/gpu.log"
