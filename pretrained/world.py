"""The world that the towers know: scenes composed anew for every step, with what people would say of them.

Three kinds, drawn at random: scenes of the default data set's grammar with its own drawings, in every
combination (what is held out there is held out from the *bridge*); the same with anything countable; and
single things, large, as icons, stickers and cut-outs are, under their CLDR names, keywords and sentences.

Needs Python, numpy and what `pretrained.catalogue` wrote: it also runs on a GPU machine without our packages.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.data.scenes.drawing import Drawing, with_article
from components.data.scenes.grammar import PLACES, Counts, Pair, references
from components.data.scenes.grounds import COLOURS, GROUNDS, PATTERNS, Ground
from components.data.scenes.layout import layout

SHARES = {"scenes": 0.4, "anything": 0.2, "single": 0.4}
MAX_SPRITES = 4
PLAIN = (255, 255, 255)

SINGLE = (
    "{a}",
    "{A}.",
    "a picture of {a}",
    "a drawing of {a}",
    "an icon of {a}",
    "{noun} icon",
    "this is {a}",
    "{a} on {ground} background",
    "{ground} background with {a}",
    "an illustration of {a} on {ground} background",
)


@dataclass(frozen=True)
class Placed:
    """A sprite in a picture: row of the catalogue, centre and longer side as shares of the picture, turn in
    radians."""

    sprite: int
    thing: int
    x: float
    y: float
    side: float
    turn: float


@dataclass(frozen=True)
class Picture:
    """What is to be composed, and what is said of it. `ground` is an index of GROUNDS, or None for white."""

    placed: list[Placed]
    ground: int | None
    captions: list[str]


class World:
    """Draws pictures by a `random.Random`.

    Args:
        folder: of things.json, sprites.npz
        default: the drawings of the default data set
    """

    def __init__(self, folder: Path):
        self.things = json.loads((folder / "things.json").read_text())
        self.inks = np.load(folder / "sprites.npz")["inks"]
        self.default = [(Drawing(**t["default"]), i) for i, t in enumerate(self.things) if t["default"]]
        self.countable = [i for i, thing in enumerate(self.things) if thing["countable"]]
        self.strangers = [i for i in self.countable if not self.things[i]["default"]]
        # What is toned differs little from the plain: seen a quarter as often.
        weights = [0.25 if "skin tone" in thing["name"] else 1.0 for thing in self.things]
        self.weights = np.cumsum(weights).tolist()

    def picture(self, rng: random.Random) -> Picture:
        """One picture of any kind."""
        kind = rng.choices(list(SHARES), SHARES.values())[0]
        if kind == "single":
            return self.single(rng)
        return self.scene(rng, self.countable if kind == "anything" else ())

    def foreign(self, rng: random.Random) -> Picture:
        """One picture that shows no two drawings of the default data set, which is tested by what stands
        together: single things, scenes of things that it does not have, and of one of its own beside one of
        these.

        Without the last ones a bridge learns that nothing of it ever stands in a scene.
        """
        if rng.random() < 0.4:
            return self.single(rng)
        return self.scene(rng, self.strangers, mixed=rng.random() < 0.7)

    def scene(self, rng: random.Random, wide: Sequence[int] = (), mixed: bool = False) -> Picture:
        """A scene of the grammar, with the default drawings or with the things `wide`, any of them.

        Args:
            mixed: of two different things, one is of the default drawings.
        """
        style = "openmoji" if not wide and rng.random() < 0.75 else None
        ground = rng.randrange(len(GROUNDS))
        if rng.random() < 1 / 3:
            [first] = self._drawings(rng, [wide], style)
            number = rng.choice(list(PLACES))
            scene: Counts | Pair = Counts(first[0], number, rng.choice(list(PLACES[number])), GROUNDS[ground])
            chosen = {first[0].name: first}
        else:
            pools = rng.sample([wide, ()], 2) if mixed else [wide, wide]
            first, second = self._drawings(rng, pools, style)
            numbers = rng.choice(((1, 1), (1, 1), (1, 2), (2, 1)))
            scene = Pair(first[0], second[0], *numbers, horizontal=rng.random() < 0.5, ground=GROUNDS[ground])
            chosen = {first[0].name: first, second[0].name: second}
        placed = []
        for drawing, x, y, side in layout(scene):
            _, thing, sprite = chosen[drawing.name]
            placed.append(self._place(rng, sprite, thing, x, y, side, loose=bool(wide)))
        return Picture(placed, ground, references(scene, rng, 4))

    def _drawings(
        self, rng: random.Random, pools: Sequence[Sequence[int]], style: str | None
    ) -> list[tuple[Drawing, int, int]]:
        """(drawing, thing, sprite) of each pool, of different names; an empty one: the default drawings."""
        found: dict[str, tuple[Drawing, int, int]] = {}
        while len(found) < len(pools):
            if pool := pools[len(found)]:
                thing = rng.choice(pool)
                known: dict[str, Any] = self.things[thing]
                drawing = Drawing(known["emoji"], "", known["noun"], known["plural"], None, False)
            else:
                drawing, thing = rng.choice(self.default)
            sprites = self.things[thing]["sprites"]
            own = style if style in sprites else rng.choice(list(sprites))
            if own != "openmoji" and not drawing.colour_in_name:  # other artists take other colours
                drawing = Drawing(drawing.emoji, "", drawing.noun, drawing.plural_noun, None, False)
            found[drawing.name] = (drawing, thing, rng.choice(sprites[own]))
        return list(found.values())

    def _place(
        self, rng: random.Random, sprite: int, thing: int, x: float, y: float, side: float, loose: bool
    ) -> Placed:
        """As `components.data.scenes.build.draw`, a little looser; `side` becomes that of the longer side."""
        width, height = self.inks[sprite]
        longer = side * min((max(width, height) / min(width, height)) ** 0.5, 1.2)
        slack = 0.06 if loose else 0.045
        half = longer / 2
        x, y = (min(max(c + rng.uniform(-slack, slack), half), 1 - half) for c in (x, y))
        turn = rng.uniform(-0.2, 0.2) if loose else 0.0
        return Placed(sprite, thing, x, y, longer * rng.uniform(0.88, 1.1), turn)

    def single(self, rng: random.Random) -> Picture:
        """One large thing; half of them on white, some cut to their ink and then to a square."""
        thing = rng.choices(range(len(self.things)), cum_weights=self.weights)[0]
        known = self.things[thing]
        sprite = rng.choice(known["sprites"][rng.choice(list(known["sprites"]))])
        side = rng.uniform(0.5, 1.0)
        if rng.random() < 0.35:
            width, height = self.inks[sprite]
            side = min(max(width, height) / min(width, height), 1.6) * rng.uniform(0.95, 1.05)
        slack = max(0.0, 1 - side) / 2
        x, y = (0.5 + rng.uniform(-slack, slack) for _ in range(2))
        ground = None if rng.random() < 0.5 else rng.randrange(len(GROUNDS))
        said = GROUNDS[ground] if ground is not None else Ground("white", "plain")
        placed = [Placed(sprite, thing, x, y, side, rng.uniform(-0.2, 0.2) if rng.random() < 0.5 else 0.0)]
        return Picture(placed, ground, [self.say(known, said, rng) for _ in range(4)])

    def say(self, thing: dict[str, Any], ground: Ground, rng: random.Random) -> str:
        """The name as CLDR has it, some keywords in their order, or a sentence."""
        dice = rng.random()
        if dice < 0.4:
            return thing["name"]
        if dice < 0.65 and len(thing["keywords"]) > 1:
            kept = rng.sample(thing["keywords"], min(rng.randint(2, 6), len(thing["keywords"])))
            return ", ".join(sorted(kept, key=thing["keywords"].index))
        noun = thing["noun"]
        name = noun[0].isupper() or ":" in noun or (noun.endswith("s") and not thing["countable"])
        a, on = noun if name else with_article(noun), with_article(ground.phrase)
        return rng.choice(SINGLE).format(a=a, A=a[0].upper() + a[1:], noun=noun, ground=on)


def arrays(pictures: Sequence[Picture]) -> dict[str, np.ndarray]:
    """The pictures for `compose`: [B x MAX_SPRITES] by sprite (-1: none), [B] their grounds (-1: white)."""
    shape = (len(pictures), MAX_SPRITES)
    out = {"sprite": np.full(shape, -1), "thing": np.full(shape, -1)}
    out |= {name: np.zeros(shape, np.float32) for name in ("x", "y", "side", "turn")}
    for b, picture in enumerate(pictures):
        for k, placed in enumerate(picture.placed):
            for name in out:
                out[name][b, k] = getattr(placed, name)
    out["ground"] = np.array([-1 if picture.ground is None else picture.ground for picture in pictures])
    return out


GROUND_RGB = np.array([COLOURS[ground.colour] for ground in GROUNDS] + [PLAIN], np.float32)
GROUND_PATTERN = np.array([PATTERNS.index(ground.pattern) for ground in GROUNDS] + [0])
