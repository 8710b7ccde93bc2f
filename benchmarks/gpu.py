"""Do captions written on a GPU equal those of a CPU? With an embedded captioner, on pictures composed anew:
in float32, in bfloat16, compiled; and pictures a second of each.

    python -m benchmarks.gpu                   # needs pretrained/data, see benchmarks/gpu.sh

Needs PyTorch, transformers, numpy and this folder alone. Without a GPU it compares the CPU with itself.
"""

import random
import time
from pathlib import Path

from torch import Tensor

from components.model import CaptionModel, for_inference
from pretrained.compose import Composer
from pretrained.world import World, arrays

DATA = Path("pretrained/data")
CAPTIONER = "pretrained/captioner/transformer"
PICTURES, COMPARED = 256, 64


def pictures(number: int) -> Tensor:
    """Pixels [number x 1 x 3 x h x w] of scenes of the default kind."""
    world, rng = World(DATA), random.Random("gpu")
    composer = Composer(DATA / "sprites.npz", 64, 8, len(world.things), "cpu", 0)
    return composer(arrays([world.scene(rng) for _ in range(number)]), augment=False)[0][:, None]


def captions(model: CaptionModel, pixel_values: Tensor) -> tuple[list[str], float]:
    """What it says, and pictures a second of the second time."""
    pixel_values = pixel_values.to(model.device)
    for _ in range(2):
        start = time.perf_counter()
        ids = model.generate(pixel_values=pixel_values, num_beams=3, max_new_tokens=32)
        seconds = time.perf_counter() - start
    return model.processor.batch_decode(ids, skip_special_tokens=True), len(pixel_values) / seconds


def load() -> CaptionModel:
    """Its own copy: compiling and casting change it."""
    return CaptionModel.from_pretrained(CAPTIONER, clip="pretrained/clip", gpt2="pretrained/gpt2")


def main() -> None:
    """Print a row a way."""
    pixel_values = pictures(PICTURES)
    expected, rate = captions(load().eval(), pixel_values[:COMPARED])
    print(f"CPU, float32: {rate:,.0f} pictures a second; {expected[0]!r}, {expected[1]!r}")
    for how, options in {
        "float32": {},
        "bfloat16": {"bf16": True},
        "bfloat16, compiled": {"bf16": True, "torch_compile": True},
    }.items():
        model = for_inference(load(), **options)
        found, rate = captions(model, pixel_values.to(model.dtype))
        same = sum(a == b for a, b in zip(found, expected, strict=False))
        print(f"{model.device}, {how}: {rate:,.0f} pictures a second; {same} of {COMPARED} the same")


if __name__ == "__main__":
    main()
