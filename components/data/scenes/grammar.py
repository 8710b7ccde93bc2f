"""The captions of the scenes: a small grammar in which every word follows from how the picture was made.

    scene       -> counts | pair
    counts      -> 1-4 drawings of one kind, where they stand, ground          'three foxes side by side ...'
    pair        -> drawings of two kinds, at most two of one, relation, ground 'two foxes above a red car ...'
    noun phrase -> article or number, (colour,) noun                           'an orange fox', 'two wolves'
    relation    -> to the left of | to the right of | above | below
    ground      -> (on) a (striped) blue background | a (striped) blue picture

Five templates are drawn for each picture, so that its references differ in their words as humans' do. A
colour that CLDR's name has ('green apple') is always said; a colour that the drawing merely has ('an orange
fox') in every second phrase.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from components.data.scenes.drawing import NUMBERS, Drawing, with_article
from components.data.scenes.grounds import Ground


@dataclass(frozen=True)
class Counts:
    """`number` drawings of one kind; `place` is a key of PLACES[number]."""

    drawing: Drawing
    number: int
    place: str
    ground: Ground

    kind = "counts"

    @property
    def things(self) -> tuple[tuple[Drawing, int], ...]:
        """What is drawn, and how often."""
        return ((self.drawing, self.number),)

    @property
    def group(self) -> str:
        """What is held out as a whole: the drawing with its number and place."""
        return f"{self.number} {self.drawing.name}, {self.place}"


@dataclass(frozen=True)
class Pair:
    """Two kinds of drawing; `first` is left of or above `second`."""

    first: Drawing
    second: Drawing
    first_number: int
    second_number: int
    horizontal: bool
    ground: Ground

    @property
    def things(self) -> tuple[tuple[Drawing, int], ...]:
        """What is drawn, and how often; the left or upper one first."""
        return ((self.first, self.first_number), (self.second, self.second_number))

    @property
    def kind(self) -> str:
        """One of each, or more."""
        return "pairs" if self.first_number == self.second_number == 1 else "groups"

    @property
    def group(self) -> str:
        """What is held out as a whole: the two drawings, whatever their order, numbers and relation."""
        return " + ".join(sorted((self.first.name, self.second.name)))


Scene = Counts | Pair

PLACES = {
    1: {
        "middle": ("in the middle of", "in the middle"),
        "left": ("on the left side of", "on the left side"),
        "right": ("on the right side of", "on the right side"),
        "top": ("at the top of", "at the top"),
        "bottom": ("at the bottom of", "at the bottom"),
    },
    2: {
        "row": ("side by side on", "side by side"),
        "column": ("one above the other on", "one above the other"),
    },
    3: {"row": ("in a row on", "in a row"), "column": ("in a column on", "in a column")},
    4: {"square": ("in two rows on", "in two rows")},
}
"""Number -> place -> how it is said before the ground, and alone."""

COUNT_TEMPLATES = (
    "{np} {place_of} {ground} background",
    "there {verb} {np} {place_of} {ground} background",
    "{ground} background with {np} {place}",
    "{np} {verb} {place_of} {ground} background",
    "{ground} picture with {np} {place}",
    "{np} drawn {place_of} {ground} background",
)

PAIR_TEMPLATES = (
    "{first} {relation} {second} on {ground} background",
    "{first} {verb} {relation} {second} on {ground} background",
    "there {verb} {first} {relation} {second} on {ground} background",
    "{second} {inverse} {first} on {ground} background",
    "{ground} background with {first} {relation} {second}",
    "{ground} picture with {first} {first_side} and {second} {second_side}",
)

RELATIONS = {True: ("to the left of", "to the right of"), False: ("above", "below")}
SIDES = {True: ("on the left", "on the right"), False: ("at the top", "at the bottom")}


def references(scene: Scene, rng: random.Random, number: int = 5) -> list[str]:
    """`number` captions of `scene`, all of different templates."""
    return [_say(template, scene, _phrases(scene, rng)) for template in rng.sample(_templates(scene), number)]


def every_caption(scene: Scene) -> set[str]:
    """All captions that say just what `scene` is: whatever `references` can draw, and 'one' for 'a' anywhere.

    Those of two scenes that differ in any fact have none in common, so that a caption is right if it is here.
    """
    ways = [_ways(drawing, number) for drawing, number in scene.things]
    return {_say(t, scene, phrases) for t in _templates(scene) for phrases in itertools.product(*ways)}


def _templates(scene: Scene) -> tuple[str, ...]:
    return COUNT_TEMPLATES if isinstance(scene, Counts) else PAIR_TEMPLATES


def _phrases(scene: Scene, rng: random.Random) -> list[str]:
    """A noun phrase for each of the things; of a drawing that stands alone people say 'one' now and then."""
    phrases = [drawing.phrase(number, coloured=rng.random() < 0.5) for drawing, number in scene.things]
    if isinstance(scene, Counts) and scene.number == 1 and rng.random() < 0.25:
        return [_one(phrases[0])]
    return phrases


def _ways(drawing: Drawing, number: int) -> list[str]:
    """All noun phrases for `number` of a drawing."""
    phrases = [drawing.phrase(number, coloured) for coloured in (False, True)]
    return phrases if number > 1 else [*phrases, *map(_one, phrases)]


def _one(phrase: str) -> str:
    """'a fox' -> 'one fox'."""
    return f"{NUMBERS[1]} {phrase.split(' ', 1)[1]}"


def _say(template: str, scene: Scene, phrases: Sequence[str]) -> str:
    """`template` filled in; a verb agrees with the first of the things."""
    ground = with_article(scene.ground.phrase)
    verb = "is" if scene.things[0][1] == 1 else "are"
    if isinstance(scene, Counts):
        place_of, place = PLACES[scene.number][scene.place]
        return template.format(np=phrases[0], place_of=place_of, place=place, ground=ground, verb=verb)
    relation, inverse = RELATIONS[scene.horizontal]
    first_side, second_side = SIDES[scene.horizontal]
    return template.format(
        first=phrases[0],
        second=phrases[1],
        relation=relation,
        inverse=inverse,
        first_side=first_side,
        second_side=second_side,
        ground=ground,
        verb=verb,
    )
