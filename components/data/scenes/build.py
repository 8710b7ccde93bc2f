"""The embedded data set: scenes of OpenMoji drawings on a coloured ground, with five references each.

Three kinds of scene in equal shares in every split: `counts` (three foxes in a row), `pairs` (a fox above a
car) and `groups` (two foxes above a car). **What is tested never occurs in training**: held out are (drawing,
number, place) for counts, and for pairs and groups the unordered pair of drawings, whatever their numbers,
order, relation or ground. So the nearest training picture is wrong somewhere, yet every word of a test
caption occurs in training.
"""

import hashlib
import io
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from components.data.scenes.facts import objects_of, to_json
from components.data.scenes.grammar import PLACES, Counts, Pair, Scene, references
from components.data.scenes.grounds import GROUNDS, PATTERNS, Ground, paint
from components.data.scenes.layout import layout
from components.data.scenes.openmoji import drawings, render
from components.data.shards import ShardWriter
from components.data.tables import FRAME_COLUMNS, SPLITS, Tables, write_tables
from components.errors import UserError
from components.files import atomic_path

KINDS = ("counts", "pairs", "groups")
HELD_OUT = {"val": 0.075, "test": 0.075}
"""Share of the combinations of each held-out split."""

PICTURES = {"val": 0.05, "test": 0.05}
"""Share of the pictures of each held-out split."""

Combinations = dict[str, list]
"""'counts-SPLIT' -> (drawing, number, place), 'pairs-SPLIT' -> (drawing, drawing): what it may show."""


def build_scenes(
    folder: str | Path, *, num_images: int, image_size: int, seed: int, patterns: Sequence[str] = PATTERNS
) -> Tables:
    """Draw `num_images` scenes of `image_size` x `image_size` pixels into `folder`, with their tables.

    Grounds have one of `patterns`. Equal arguments give equal bytes. `folder` appears whole or not at all.

    Raises:
        UserError: `num_images` is too small for the training split to show every word of the others.
    """
    with atomic_path(folder) as scratch:
        tables = compose(scratch, num_images, image_size, seed, patterns)
        write_tables(tables)
    return replace(tables, folder=Path(folder))


def compose(
    folder: Path, num_images: int, image_size: int, seed: int, patterns: Sequence[str] = PATTERNS
) -> Tables:
    """Draw the pictures into shards in `folder`; their tables are not written."""
    writer, rng = Writer(folder, image_size), np.random.default_rng(seed)
    for split, scene, texts in plan(num_images, seed, patterns):
        writer.add(split, scene, texts, rng)
    return writer.tables()


class Writer:
    """Draws scenes of `size` x `size` pixels into shards in `folder`, and keeps the rows of their tables."""

    def __init__(self, folder: Path, size: int):
        self.folder, self.size = folder, size
        self._images: list[dict[str, object]] = []
        self._frames: list[tuple[str, str, int, int | None]] = []
        self._captions: list[tuple[str, str]] = []
        self._shards = ShardWriter(folder)

    def add(
        self, split: str, scene: Scene, texts: Sequence[str], rng: np.random.Generator, **more: object
    ) -> None:
        """One more picture; `more` are further columns of its row."""
        image_id = f"scene-{len(self._images):06d}"
        data = _png(draw(scene, self.size, rng))
        [place] = self._shards.add([(data, ".png")])
        self._frames.append((image_id, place.file.name, place.offset, place.size))
        self._images.append(_row(image_id, split, scene, data, self.size) | more)
        self._captions.extend((image_id, text) for text in texts)

    def tables(self) -> Tables:
        """All of it; no more can be added."""
        self._shards.close()
        captions = pd.DataFrame(self._captions, columns=["image_id", "caption"])
        captions.insert(0, "caption_id", range(len(captions)))
        frames = pd.DataFrame(self._frames, columns=FRAME_COLUMNS)
        return Tables(pd.DataFrame(self._images), captions, self.folder, frames)


def _row(image_id: str, split: str, scene: Scene, data: bytes, size: int) -> dict[str, object]:
    return {
        "image_id": image_id,
        "file_name": f"{image_id}.png",
        "split": split,
        "width": size,
        "height": size,
        "sha256": hashlib.sha256(data).hexdigest(),
        "kind": scene.kind,
        "group": scene.group,
        "objects": objects_of(scene),
        "scene": to_json(scene),
    }


def plan(
    num_images: int, seed: int, patterns: Sequence[str] = PATTERNS
) -> Iterator[tuple[str, Scene, list[str]]]:
    """Yield (split, scene, references) of every picture: train, val, test, the kinds in turn.

    Scenes of val and test with a word that no training caption has are drawn again (in tiny data sets).
    """
    rng = random.Random(seed)
    grounds = [ground for ground in GROUNDS if ground.pattern in patterns]
    splits = split_combinations(rng)
    vocabulary: set[str] = set()
    for split, size in zip(SPLITS, _split_sizes(num_images), strict=True):
        for kind in itertools.islice(itertools.cycle(KINDS), size):
            for _ in range(10_000):
                scene = draw_scene(kind, splits, split, rng.choice(grounds), rng)
                texts = references(scene, rng)
                words = set(" ".join(texts).split())
                if split == "train" or words <= vocabulary:
                    break
            else:
                raise UserError(
                    f"data.num_images is {num_images}: too few to show every word in training. Take 300."
                )
            if split == "train":
                vocabulary |= words
            yield split, scene, texts


def _split_sizes(num_images: int) -> tuple[int, int, int]:
    """Sizes of train, val and test; those held out are whole multiples of the kinds."""
    val, test = (len(KINDS) * max(1, round(num_images * PICTURES[s] / len(KINDS))) for s in ("val", "test"))
    return num_images - val - test, val, test


def split_combinations(rng: random.Random) -> Combinations:
    """All combinations, shared out among the splits; those of counts for each number, so that every split has
    all numbers."""
    counts = [[(d, n, place) for d in drawings() for place in PLACES[n]] for n in PLACES]
    shares = [_share_out(of_number, rng) for of_number in counts]
    pairs = _share_out(list(itertools.combinations(drawings(), 2)), rng)
    return {f"counts-{split}": [one for share in shares for one in share[split]] for split in SPLITS} | {
        f"pairs-{split}": pairs[split] for split in SPLITS
    }


def _share_out(combinations: list, rng: random.Random) -> dict[str, list]:
    """split -> its share of `combinations`, at random."""
    rng.shuffle(combinations)
    result, end = {}, 0
    for split, share in HELD_OUT.items():
        start, end = end, end + max(1, round(share * len(combinations)))
        result[split] = combinations[start:end]
    return result | {"train": combinations[end:]}


def draw_scene(kind: str, splits: Combinations, split: str, ground: Ground, rng: random.Random) -> Scene:
    """A random scene of `kind` from the combinations of `split`; of counts, each number as often."""
    if kind == "counts":
        asked = rng.choice(list(PLACES))
        known = [one for one in splits[f"counts-{split}"] if one[1] == asked]
        drawing, number, place = rng.choice(known)
        return Counts(drawing, number, place, ground)
    first, second = rng.sample(rng.choice(splits[f"pairs-{split}"]), 2)
    numbers = (1, 1) if kind == "pairs" else rng.choice(((1, 2), (2, 1)))
    return Pair(first, second, *numbers, horizontal=rng.random() < 0.5, ground=ground)


def draw(scene: Scene, size: int, rng: np.random.Generator) -> Image.Image:
    """The picture of `scene`, RGB; positions, sizes and ground vary a little with `rng`."""
    picture = paint(scene.ground, size, rng)
    for drawing, x, y, side in layout(scene):
        sprite = render(drawing.emoji, round(side * size * rng.uniform(0.92, 1.08)))
        left, top = (
            round(centre * size + rng.uniform(-0.04, 0.04) * size - length / 2)
            for centre, length in zip((x, y), sprite.size, strict=True)
        )
        corner = (_inside(left, sprite.width, size), _inside(top, sprite.height, size))
        picture.paste(sprite, corner, sprite)
    return picture


def _inside(start: int, length: int, size: int) -> int:
    return max(0, min(start, size - length))


def _png(image: Image.Image) -> bytes:
    """PNG at zlib's fastest level: these pictures are small and read more often than stored."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
