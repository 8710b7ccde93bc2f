"""Minimal pairs: two scenes that differ in one fact, so that their captions must differ in just that.

thing   a drawing for another      'two foxes above a car'   'two foxes above a key'
number  one more or one fewer      'two foxes above a car'   'a fox above a car'
side    left and right, or above and below, exchanged
colour  that of the ground

Who sees each fact tells them apart; who goes by what usually goes together does not. All are of the held-out
combinations of the test split, drawn with the same random numbers (sizes, shades, shifts), and lie beside the
test split in a folder of their own, in canonical form: `pair` and `fact` say which belong together.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from components.data.scenes.build import KINDS, Combinations, Writer, draw_scene, split_combinations
from components.data.scenes.grammar import Counts, Pair, Scene, references
from components.data.scenes.grounds import GROUNDS
from components.data.tables import Tables, write_tables

SHARE = 1 / 70  # pairs for each picture of the data set
OTHER_SIDE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}


def build_minimal_pairs(folder: str | Path, *, num_images: int, image_size: int, seed: int) -> Tables:
    """Draw about `SHARE` x `num_images` pairs into `folder`, equally many a fact, with their tables.

    `num_images` and `seed` are those of the data set. Equal arguments give equal bytes.
    """
    rng = random.Random(seed)
    combinations = split_combinations(rng)  # first, as `plan` does: the same ones are held out
    writer = Writer(Path(folder), image_size)
    for number in range(round(num_images * SHARE / len(CHANGES))):
        for fact in CHANGES:
            for scene in minimal_pair(fact, combinations, rng):
                pair, same = f"{fact}-{number:03d}", np.random.default_rng([seed, number])
                writer.add("test", scene, references(scene, rng), same, pair=pair, fact=fact)
    tables = writer.tables()
    write_tables(tables)
    return tables


def minimal_pair(fact: str, combinations: Combinations, rng: random.Random) -> tuple[Scene, Scene]:
    """Two scenes of the test combinations that differ in `fact` only."""
    while True:
        scene = draw_scene(rng.choice(KINDS), combinations, "test", rng.choice(GROUNDS), rng)
        others = [other for other in CHANGES[fact](scene, combinations) if other != scene]
        if others:
            return scene, rng.choice(others)


def _things(scene: Scene, combinations: Combinations) -> Sequence[Scene]:
    if isinstance(scene, Counts):
        there = (scene.number, scene.place)
        held_out = combinations["counts-test"]
        return [replace(scene, drawing=one) for one, *stands in held_out if tuple(stands) == there]
    return [
        replace(scene, **{place: drawing})
        for place, stays in (("first", scene.second), ("second", scene.first))
        for both in combinations["pairs-test"]
        if stays in both
        for drawing in both
        if drawing != stays
    ]


def _numbers(scene: Scene, combinations: Combinations) -> Sequence[Scene]:
    """Of pairs only: of a drawing alone, where it stands is said otherwise for another number."""
    if isinstance(scene, Counts):
        return []
    if scene.kind == "groups":
        return [replace(scene, first_number=1, second_number=1)]
    return [replace(scene, first_number=2), replace(scene, second_number=2)]


def _sides(scene: Scene, combinations: Combinations) -> Sequence[Scene]:
    if isinstance(scene, Counts):
        other = replace(scene, place=OTHER_SIDE.get(scene.place, scene.place))
        held_out = (other.drawing, other.number, other.place) in combinations["counts-test"]
        return [other] if held_out else []
    first, second = (scene.second, scene.second_number), (scene.first, scene.first_number)
    return [Pair(first[0], second[0], first[1], second[1], scene.horizontal, scene.ground)]


def _colours(scene: Scene, combinations: Combinations) -> Sequence[Scene]:
    return [replace(scene, ground=ground) for ground in GROUNDS if ground.pattern == scene.ground.pattern]


CHANGES: dict[str, Callable[[Any, Combinations], Sequence[Scene]]] = {
    "thing": _things,
    "number": _numbers,
    "side": _sides,
    "colour": _colours,
}
"""Fact -> the scenes that differ from a given one in that fact at most."""
