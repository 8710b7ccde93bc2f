"""Stage `captioner`: the bridges that a training starts from (`train.init`), one a variant.

    python -m pretrained.train_captioner       goes on from its checkpoints, if there are any

They learn to name whatever the towers know, on pictures composed anew for every step. What the default data
set is tested by stays unseen: of its drawings they see each one alone, and never two of them together. The
variants take turns: each begins with resampler and gated cross-attention as the other one left them.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from components.config import Params
from components.model import CaptionModel, CaptionProcessor
from components.model.configuration import bridge_fields
from components.training.optimizer import make_optimizer
from components.variants import VARIANTS
from pretrained.compose import Composer
from pretrained.optimizing import Losses, command_line, device, drawn, fit
from pretrained.world import World, arrays

DATA, CLIP, GPT2 = (Path("pretrained") / name for name in ("data", "clip", "gpt2"))
OUT, CHECKPOINTS = Path("pretrained/captioner"), Path("pretrained/checkpoints")
TURNS = ("mlp", "transformer", "mlp")
"""The last one has seen most; so the first has a second turn."""

CAPTIONS = 2  # a picture
MAX_NEW_TOKENS = 32


class Batches(IterableDataset):
    """Endless batches: arrays for the composer, and the tensors of CAPTIONS captions a picture."""

    def __init__(self, settings: dict, seed: str):
        self.settings, self.seed = settings, seed

    def __iter__(self) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Tensor]]]:
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(f"{self.seed} {worker.id if worker else 0}")
        world, processor = World(DATA), CaptionProcessor.from_towers(CLIP, GPT2)
        while True:
            pictures = [world.foreign(rng) for _ in range(self.settings["batch_size"])]
            texts = [caption for picture in pictures for caption in rng.sample(picture.captions, CAPTIONS)]
            yield arrays(pictures), dict(processor(text=texts))


def fresh_captioner(variant: str) -> CaptionModel:
    """On the towers that lie here, of the shape that params.yaml of the project gives."""
    model = CaptionModel.from_towers(
        CLIP, GPT2, **bridge_fields(Params.load().model.model_dump(), *VARIANTS[variant])
    )
    model.processor = CaptionProcessor.from_towers(CLIP, GPT2)
    model.generation_config.update(num_beams=1, max_new_tokens=MAX_NEW_TOKENS)
    return model


def saved_captioner(variant: str) -> CaptionModel:
    """The one that lies here."""
    return CaptionModel.from_pretrained(OUT / variant, clip=CLIP, gpt2=GPT2)


def take_over(model: CaptionModel, other: CaptionModel) -> None:
    """Copy the tensors of the bridge that both have, but not the mapper."""
    theirs = other.bridge_state_dict()
    for name, tensor in model.bridge_state_dict().items():
        if not name.startswith("mapper."):
            tensor.copy_(theirs[name])


def train(settings: dict, seed: int, minutes: float, init: bool) -> None:
    """The first turn for `steps`, the others for half as many; or, each, for its share of `minutes`.

    Args:
        init: begin with the bridges that are there.
    """
    models: dict[str, CaptionModel] = {}
    last, steps = None, settings["steps"]
    for turn, variant in enumerate(TURNS):
        if variant not in models:
            models[variant] = saved_captioner(variant) if init else fresh_captioner(variant)
        model = models[variant]
        if last is not None:
            take_over(model, last)
        train_bridge(model, f"{turn}-{variant}", settings, steps, seed, minutes / len(TURNS))
        weights = {name: tensor.half() for name, tensor in model.bridge_state_dict().items()}
        model.save_pretrained(OUT / variant, state_dict=weights)
        last, steps = model, settings["steps"] // 2


def train_bridge(
    model: CaptionModel, turn: str, settings: dict, steps: int, seed: int, minutes: float
) -> None:
    """Teacher forcing on the world, the towers frozen; a checkpoint every five minutes."""
    torch.manual_seed(seed)
    model.to(device()).train()
    optimizer = make_optimizer(
        model,
        "muon",
        learning_rate=settings["learning_rate"],
        gate_learning_rate=settings["gate_learning_rate"],
        weight_decay=settings["weight_decay"],
        betas=(0.9, 0.98),
    )
    vision, things = model.config.vision_config, len(World(DATA).things)

    def losses_from(step: int) -> Iterator[Losses]:
        composer = Composer(
            DATA / "sprites.npz", vision.image_size, vision.patch_size, things, device(), seed + step
        )
        for picture, text in drawn(Batches(settings, f"bridge {seed} {turn} {step}"), workers=14):
            pixels, _ = composer({name: np.asarray(value) for name, value in picture.items()})
            with torch.autocast(device(), torch.bfloat16):
                loss = model(pixels, **{name: value.to(device()) for name, value in text.items()}).loss
            yield loss, {"loss": loss}

    fit(model, optimizer, CHECKPOINTS / f"captioner-{turn}.pt", steps, minutes, losses_from, f"{turn}: ")


def main() -> None:
    """The command line."""
    settings, arguments = command_line("captioner", Path("pretrained/params.yaml"))
    train(settings, **arguments)


if __name__ == "__main__":
    main()
