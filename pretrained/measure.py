"""Stage `measure`: what the towers and the bridges can do, on pictures that they have not seen.

    python -m pretrained.measure               writes pretrained/metrics.json

scenes    fresh scenes of the default data set's kind, drawn by `components.data.scenes.build`
singles   single drawings of any style, placed anew

Retrieval of the caption by the picture; linear probes, fitted on frozen features, of what stands there, how
many and where; perplexity of GPT-2 on fresh captions, of the default grammar and of all kinds. Of the things
in pictures those whose name, plural or a keyword stands in the caption that a bridge makes of it.
"""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPModel, GPT2LMHeadModel, PreTrainedTokenizerBase

from components.features.encoder import load_clip, text_embeds
from components.model import CaptionModel
from components.towers.probe import perplexity
from pretrained.compose import Composer
from pretrained.train_captioner import TURNS, saved_captioner
from pretrained.world import Picture, World, arrays

DATA, OUT = Path("pretrained/data"), Path("pretrained/metrics.json")
FITTED, TESTED = 6000, 1500
CAPTIONED = 300  # pictures of each kind
SIDES = ("left", "right", "top", "bottom")


def drawn(composer: Composer, pictures: Sequence[Picture]) -> Tensor:
    """[n x 3 x h x w], as they are."""
    parts = (pictures[i : i + 256] for i in range(0, len(pictures), 256))
    return torch.cat([composer(arrays(part), augment=False)[0] for part in parts])


def named(clip: CLIPModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Tensor:
    """Unit embeddings of texts [n x P]."""
    return F.normalize(text_embeds(clip, tokenizer, texts), dim=-1)


@torch.inference_mode()
def encode(clip: CLIPModel, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Patch tokens' mean and maximum [n x 2D], unit embeddings [n x P]."""
    hidden, embeds = [], []
    for part in pixels.split(256):
        out = clip.vision_model(part)
        patches = out.last_hidden_state[:, 1:]
        hidden.append(torch.cat((patches.mean(1), patches.amax(1)), dim=-1))
        embeds.append(F.normalize(clip.visual_projection(out.pooler_output), dim=-1))
    return torch.cat(hidden), torch.cat(embeds)


def retrieval(images: Tensor, texts: Tensor, offered: list[str], said: list[str]) -> dict[str, float]:
    """Share of pictures whose caption `said` is the closest of those `offered` (embedded: `texts`), or among
    the five closest."""
    order = (images @ texts.t()).topk(min(5, len(offered)), dim=-1).indices.tolist()
    hits = [[offered[j] == text for j in row] for row, text in zip(order, said, strict=True)]
    return {
        "R@1": float(np.mean([row[0] for row in hits])),
        "R@5": float(np.mean([any(row) for row in hits])),
    }


def probe(features: Tensor, targets: Tensor, loss: Callable, right: Callable) -> float:
    """Accuracy of a linear layer on standardised features, fitted on the first FITTED rows, on the others."""
    features = (features - features[:FITTED].mean(0)) / features[:FITTED].std(0).clamp(min=1e-6)
    torch.manual_seed(0)
    layer = torch.nn.Linear(
        features.shape[1], int(targets.max()) + 1 if targets.ndim == 1 else targets.shape[1]
    )
    optimizer = torch.optim.AdamW(layer.parameters(), lr=3e-3, weight_decay=0.01)
    for _ in range(60):
        for rows in torch.randperm(FITTED).split(500):
            optimizer.zero_grad()
            loss(layer(features[rows]), targets[rows]).backward()
            optimizer.step()
    with torch.inference_mode():
        return float(right(layer(features[FITTED:]), targets[FITTED:]).float().mean())


def probes(features: Tensor, pictures: list) -> dict[str, float]:
    """Which things stand there (all of them right), how many drawings, and where the first one stands."""
    known = sorted({placed.thing for picture in pictures for placed in picture.placed})
    which = torch.zeros(len(pictures), len(known))
    for row, picture in enumerate(pictures):
        for placed in picture.placed:
            which[row, known.index(placed.thing)] = 1
    number = torch.tensor([len(picture.placed) for picture in pictures])
    where = torch.tensor([_side(picture.placed[0].x, picture.placed[0].y) for picture in pictures])
    accuracy = lambda scores, targets: scores.argmax(-1) == targets  # noqa: E731
    return {
        "what": probe(
            features,
            which,
            F.binary_cross_entropy_with_logits,
            lambda scores, targets: ((scores > 0) == targets.bool()).all(-1),
        ),
        "how many": probe(features, number, F.cross_entropy, accuracy),
        "where": probe(features, where, F.cross_entropy, accuracy),
    }


def _side(x: float, y: float) -> int:
    """Index of SIDES, the middle after them."""
    dx, dy = x - 0.5, y - 0.5
    if max(abs(dx), abs(dy)) < 0.12:
        return len(SIDES)
    return int(dx > 0) if abs(dx) >= abs(dy) else 2 + int(dy > 0)


def singles(
    world: World, composer: Composer, clip: CLIPModel, tokenizer: PreTrainedTokenizerBase, rng: random.Random
) -> dict[str, float]:
    """The name of a single thing among the names of all that are not toned."""
    names = [thing["name"] for thing in world.things if "skin tone" not in thing["name"]]
    pictures = [world.single(rng) for _ in range(2 * TESTED)]
    said = [world.things[picture.placed[0].thing]["name"] for picture in pictures]
    kept = [row for row, name in enumerate(said) if "skin tone" not in name]
    embeds = encode(clip, drawn(composer, pictures))[1][kept]
    right = [said[row] for row in kept]
    return retrieval(embeds, named(clip, tokenizer, names), names, right) | {"names": len(names)}


def things_named(model: CaptionModel, world: World, composer: Composer) -> dict[str, float]:
    """Share of things in pictures that greedy captions name, by kind of picture."""
    rng = random.Random("bridges")
    kinds = {
        "scenes of two default drawings": lambda: world.scene(rng),
        "scenes of a default drawing and another": lambda: world.scene(rng, world.strangers, mixed=True),
        "scenes of others": lambda: world.scene(rng, world.strangers),
        "singles": lambda: world.single(rng),
    }
    shares = {}
    for kind, make in kinds.items():
        pictures = [make() for _ in range(CAPTIONED)]
        parts = drawn(composer, pictures).split(50)
        made = [ids for part in parts for ids in model.generate(pixel_values=part, num_beams=1)]
        captions = model.processor.batch_decode(made, skip_special_tokens=True)
        shares[kind] = np.mean(
            [
                any(name.lower() in caption for name in _names(world.things[thing]))
                for picture, caption in zip(pictures, map(str.lower, captions), strict=True)
                for thing in {placed.thing for placed in picture.placed}
            ]
        ).item()
    return shares


def _names(thing: dict[str, Any]) -> list[str]:
    return [thing["name"], thing["noun"], thing["plural"], *thing["keywords"]]


def main() -> None:
    """Measure both towers, and the bridges between them."""
    rng, world = random.Random("measure"), World(DATA)
    clip = load_clip("pretrained/clip")
    gpt2 = GPT2LMHeadModel.from_pretrained("pretrained/gpt2", dtype=torch.float32).eval()
    vision = clip.config.vision_config
    composer = Composer(
        DATA / "sprites.npz", vision.image_size, vision.patch_size, len(world.things), "cpu", 1
    )
    pictures = [world.scene(rng) for _ in range(FITTED + TESTED)]
    features, embeds = encode(clip, drawn(composer, pictures))
    tokenizer = AutoTokenizer.from_pretrained("pretrained/clip")
    said = [picture.captions[0] for picture in pictures[FITTED:][:700]]
    words = AutoTokenizer.from_pretrained("pretrained/gpt2")
    every = [rng.choice(world.picture(rng).captions) for _ in range(2000)]
    metrics = {
        "retrieval": retrieval(embeds[FITTED:][:700], named(clip, tokenizer, said), said, said),
        "probes": probes(features, pictures),
        "singles": singles(world, composer, clip, tokenizer, rng),
        "perplexity": {
            "scenes": perplexity(gpt2, words, [picture.captions[0] for picture in pictures[:2000]]),
            "all kinds": perplexity(gpt2, words, every),
        },
        "things named": {
            variant: things_named(saved_captioner(variant).eval(), world, composer)
            for variant in sorted(set(TURNS))
        },
    }
    OUT.write_text(json.dumps(metrics, indent=2) + "\n")
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
