"""A page's content that looks like that of a real run, without training."""

import math
import random

import numpy as np
from PIL import Image, ImageDraw

from components.report.content import Report, Variant, WordMaps, choose_pictures

COLOURS = {"red": "#d43c3c", "blue": "#3b6fd4", "green": "#3a9c57", "yellow": "#e3b93c", "purple": "#8a55b8"}
GROUNDS = ["#f4ead5", "#dcebf7", "#e6f3e2", "#f3e1ea", "#2d3142"]


def picture(left: str, right: str, draw: random.Random) -> Image.Image:
    """A disc to the left of a square."""
    image = Image.new("RGB", (64, 64), draw.choice(GROUNDS))
    pen, y = ImageDraw.Draw(image), draw.randint(18, 36)
    pen.ellipse((7, y, 29, y + 22), fill=COLOURS[left])
    pen.rectangle((37, y + 1, 57, y + 21), fill=COLOURS[right])
    return image


def captions(left: str, right: str) -> list[str]:
    """Five references."""
    return [
        f"A {left} disc to the left of a {right} square.",
        f"A {right} square to the right of a {left} disc.",
        f"There is a {left} disc and a {right} square.",
        f"A {left} disc next to a {right} square.",
        f"Two shapes: a {left} disc, a {right} square.",
    ]


def history(seed: int, slope: float, epochs: int = 24) -> list[dict]:
    """Records as Trainer writes them, with gates that open."""
    draw, records = random.Random(seed), []
    for step in range(0, 100 * epochs + 1, 50):
        epoch = step / 100
        loss = 0.55 + 3 * math.exp(-epoch / (3 * slope)) + draw.gauss(0, 0.02)
        gates = {
            f"gate/{kind}.{block}": sign
            * math.tanh(0.9 * (1 - math.exp(-epoch / (4 + 2 * block))) * (1 + 0.2 * block))
            for kind, sign in (("attention", 1), ("feed_forward", -0.8))
            for block in range(4)
        }
        records.append({"step": step, "epoch": epoch, "loss": loss} | gates)
        if step % 400 == 0:
            score = 3.1 * (1 - math.exp(-epoch / (7 * slope)))
            records.append({"step": step, "epoch": epoch, "val/CIDEr": score, "val/loss": loss + 0.1})
    return records


def report(seed: int = 0, count: int = 60) -> Report:
    """Two variants on `count` pictures."""
    draw = random.Random(seed)
    names = [tuple(draw.sample(list(COLOURS), 2)) for _ in range(count)]
    ids = [f"test-{index:04d}" for index in range(count)]
    references = {image_id: captions(*pair) for image_id, pair in zip(ids, names, strict=True)}
    variants = [
        _variant("mlp", ids, references, 1.0, draw),
        _variant("transformer", ids, references, 1.1, draw),
    ]
    chosen = choose_pictures(variants, looked=3)
    images = {i: picture(*pair, draw) for i, pair in zip(ids, names, strict=True)}
    return Report(
        variants=variants,
        references={image_id: references[image_id] for image_id in chosen.all},
        clips={image_id: [images[image_id]] for image_id in chosen.all},
        sample=chosen.sample,
        worst=chosen.worst,
        looked=[_maps(image_id, variants[0].captions[image_id]) for image_id in chosen.looked],
        faults={"faults": {"corrupt picture": 3, "empty caption": 1, "duplicate caption_id": 0}},
        provenance={
            "date": "2026-11-24 22:40 UTC",
            "commit": "0dd9e48 (clean)",
            "data": "md5 5f2b9a6c1f0e4d7b",
            "machine": "2 cores, 4 GiB, CPU",
        },
        params="seed: 0\ntrain:\n  epochs: 24\n",
        num_images=count,
    )


def _variant(name: str, ids: list[str], references: dict, slope: float, draw: random.Random) -> Variant:
    said = {
        i: draw.choice(references[i]) if draw.random() < 0.8 else draw.choice(references[ids[0]]) for i in ids
    }
    cider = {i: draw.uniform(2, 6) if said[i] in references[i] else draw.uniform(0, 0.8) for i in ids}
    score = lambda mean: {"mean": mean, "low": mean * 0.94, "high": mean * 1.05}  # noqa: E731
    names = {
        "CIDEr": 3.11,
        "BLEU-1": 0.91,
        "BLEU-2": 0.84,
        "BLEU-3": 0.77,
        "BLEU-4": 0.7,
        "METEOR": 0.46,
        "ROUGE-L": 0.83,
    }

    def row(share: float, **more: float) -> dict:
        return {k: score(v * share) for k, v in names.items()} | {k: score(v) for k, v in more.items()}

    metrics = {
        "systems": {
            "model": row(1 / slope, CLIPScore=48.0, perplexity=2.1),
            "nearest_neighbour": row(0.64, CLIPScore=44.0),
            "most_frequent": row(0.09, CLIPScore=12.0),
            "blind": row(0.05, CLIPScore=11.0, perplexity=19.0),
        },
        "monitors": {"unique": 0.83, "verbatim_reference": 0.37, "without_end": 0.0, "repeats": 0.003},
    }
    return Variant(name, metrics, said, cider, history(len(name), slope))


def _maps(image_id: str, caption: str) -> WordMaps:
    words, grid = caption.rstrip(".").split(), np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1)
    centres = [(2, 3.5) if word in ("disc", *COLOURS) else (5.7, 3.5) for word in words]
    maps = [np.exp(-((grid - centre) ** 2).sum(-1) / 3).ravel() for centre in centres]
    return WordMaps(image_id, "mlp", words, np.array(maps)[:, None])
