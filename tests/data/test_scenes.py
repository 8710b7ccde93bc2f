"""The embedded data set: deterministic, honest splits, right English, pictures that show what is said."""

import random
import re
from collections import Counter
from pathlib import Path

import emoji
import numpy as np
import pandas as pd
import pytest

from components.data.scenes.build import KINDS, build_scenes, draw, plan
from components.data.scenes.drawing import pluralize, with_article
from components.data.scenes.grammar import PLACES, Counts, Pair, references
from components.data.scenes.grounds import COLOURS, GROUNDS
from components.data.scenes.layout import layout
from components.data.scenes.openmoji import cldr_name, drawings, render
from components.data.tables import SPLITS, Tables
from components.errors import UserError

GROUND = GROUNDS[0]
NAMED = {drawing.name: drawing for drawing in drawings()}


@pytest.fixture(scope="module")
def full_plan() -> pd.DataFrame:
    """All scenes of the default size, without drawing them: split, kind, group, captions."""
    rows = [(split, scene.kind, scene.group, texts) for split, scene, texts in plan(14000, seed=0)]
    return pd.DataFrame(rows, columns=["split", "kind", "group", "captions"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return build_scenes(tmp_path_factory.mktemp("data") / "scenes", num_images=300, image_size=64, seed=1)


def test_combinations_of_one_split_occur_in_no_other(full_plan: pd.DataFrame) -> None:
    """Else the nearest training picture could be right everywhere, and copying look like understanding."""
    groups = {split: set(full_plan["group"][full_plan["split"] == split]) for split in SPLITS}
    assert groups["train"].isdisjoint(groups["val"] | groups["test"])
    assert groups["val"].isdisjoint(groups["test"])
    assert len(groups["test"]) > 100


def test_no_held_out_caption_stands_in_training(full_plan: pd.DataFrame) -> None:
    texts = {
        split: {t for ts in full_plan["captions"][full_plan["split"] == split] for t in ts}
        for split in SPLITS
    }
    assert texts["train"].isdisjoint(texts["val"] | texts["test"])


def test_every_held_out_word_is_learned_from_many_pictures(full_plan: pd.DataFrame) -> None:
    """A word never seen cannot be said; the rarest plural must have been seen ten times."""
    seen = Counter(
        word
        for texts in full_plan["captions"][full_plan["split"] == "train"]
        for word in set(" ".join(texts).split())
    )
    held_out = {
        word
        for texts in full_plan["captions"][full_plan["split"] != "train"]
        for t in texts
        for word in t.split()
    }
    assert min(seen[word] for word in held_out) >= 10


def test_kinds_have_the_same_share_in_every_split(full_plan: pd.DataFrame) -> None:
    shares = full_plan.groupby("split")["kind"].value_counts(normalize=True)
    for split in SPLITS:
        for kind in KINDS:
            assert shares[split][kind] == pytest.approx(1 / 3, abs=0.001)
    assert full_plan["split"].value_counts().to_dict() == {"train": 12602, "val": 699, "test": 699}


def test_five_different_references_of_human_length(full_plan: pd.DataFrame) -> None:
    for texts in full_plan["captions"]:
        assert len(set(texts)) == 5
        assert all(8 <= len(text.split()) <= 18 for text in texts)


def test_grammar_agrees_with_the_number_and_the_sound(full_plan: pd.DataFrame) -> None:
    """'an orange fox' and 'two mice are', never 'a orange fox' or 'two mouse is'."""
    texts = {text for texts in full_plan["captions"] for text in texts}
    for text in texts:
        for article, word in re.findall(r"\b(an?) (\w+)", text):
            assert (article == "an") == (word[0] in "aeiou" and word != "unicorn"), text
        for number, word, verb in re.findall(r"\b(two|three|four|an?|one) ((?:\w+ )+?)(is|are)\b", text):
            assert (verb == "are") == (number in ("two", "three", "four")), (text, word)
        assert not re.search(r"there is (two|three|four)|there are (a|an|one) ", text), text


@pytest.mark.parametrize(
    ("noun", "plural"),
    [
        ("snowman", "snowmen"),
        ("mouse", "mice"),
        ("maple leaf", "maple leaves"),
        ("cactus", "cacti"),
        ("strawberry", "strawberries"),
        ("fox", "foxes"),
        ("octopus", "octopuses"),
        ("key", "keys"),
        ("teddy bear", "teddy bears"),
        ("dish", "dishes"),
    ],
)
def test_plurals(noun: str, plural: str) -> None:
    assert pluralize(noun) == plural


def test_noun_phrases() -> None:
    assert NAMED["green apple"].phrase(3) == "three green apples"  # its name has the colour: always said
    assert NAMED["fox"].phrase(1) == "a fox"
    assert NAMED["fox"].phrase(1, coloured=True) == "an orange fox"
    assert NAMED["elephant"].phrase(1) == "an elephant"
    assert with_article("unicorn") == "a unicorn"


def test_names_are_unique_and_cldr_s() -> None:
    """A noun is CLDR's name, one of its aliases in the package `emoji`, or the last word of either."""
    assert len(NAMED) == len(drawings())
    for drawing in drawings():
        data = emoji.EMOJI_DATA[drawing.emoji]
        known = {
            cldr_name(drawing.emoji),
            *(alias.strip(":").replace("_", " ") for alias in data.get("alias", [])),
        }
        known = {name.replace("’", "'") for name in known}
        assert any(
            name == drawing.noun or name.split(" without")[0].endswith(drawing.noun) for name in known
        ), drawing


def test_colours_that_captions_name_are_in_the_drawings() -> None:
    """'an orange fox' must be one: a tenth of its ink at least has a hue and lightness of that name."""
    for drawing in drawings():
        if drawing.colour:
            pixels = np.array(render(drawing.emoji, 32))
            ink = pixels[pixels[..., 3] > 200][:, :3].astype(int)
            assert _has_colour(ink, drawing.colour).mean() > 0.1, drawing


def _has_colour(rgb: np.ndarray, name: str) -> np.ndarray:
    red, green, blue = rgb.T
    high, low = rgb.max(1), rgb.min(1)
    return {
        "red": (red - np.maximum(green, blue) > 80),
        "green": (green > red) & (green - blue > 30),
        "blue": (blue - red > 40),
        "yellow": (np.minimum(red, green) - blue > 60) & (red - green < 80),
        "orange": (red - blue > 80) & (red - green > 30) & (green > blue),
        "brown": (red > green) & (green > blue) & (high < 190),
        "pink": (red > 200) & (red - green > 30) & (blue > green - 20),
        "purple": (np.minimum(red, blue) - green > 15),
        "grey": (high - low < 25) & (high > 80) & (high < 220),
        "black": high < 70,
    }[name]


def test_pictures_show_relation_and_number() -> None:
    fox, car = NAMED["fox"], NAMED["car"]
    beside = layout(Pair(fox, car, 2, 1, horizontal=True, ground=GROUND))
    above = layout(Pair(fox, car, 1, 2, horizontal=False, ground=GROUND))
    assert [d.name for d, *_ in beside] == ["fox", "fox", "car"]
    assert max(x for d, x, *_ in beside if d is fox) < min(x for d, x, *_ in beside if d is car)
    assert max(y for d, _, y, _ in above if d is fox) < min(y for d, _, y, _ in above if d is car)
    for number, places in PLACES.items():
        for place in places:
            assert len(layout(Counts(fox, number, place, GROUND))) == number


def test_drawings_stay_inside_and_apart_from_the_ground() -> None:
    rng = np.random.default_rng(0)
    for drawing in drawings():
        picture = np.array(draw(Counts(drawing, 1, "bottom", GROUND), 64, rng)).astype(int)
        ground = np.array(COLOURS[GROUND.colour])
        ink = (np.abs(picture - ground).max(-1) > 60).mean()
        assert 0.02 < ink < 0.35, drawing


def test_references_of_one_scene_share_content_and_differ_in_words() -> None:
    scene = Pair(NAMED["fox"], NAMED["car"], 2, 1, horizontal=True, ground=GROUND)
    texts = references(scene, random.Random(0))
    assert all("foxes" in text and "car" in text and "white" in text for text in texts)
    assert any("to the right of two" in text for text in texts + references(scene, random.Random(1)))


def test_same_arguments_same_bytes(small: Tables, tmp_path: Path) -> None:
    again = build_scenes(tmp_path / "again", num_images=300, image_size=64, seed=1)
    files = sorted(path.relative_to(small.folder) for path in small.folder.rglob("*") if path.is_file())
    assert len(files) == 4, "three tables and a shard"
    for file in files:
        assert (again.folder / file).read_bytes() == (small.folder / file).read_bytes(), file
    other = build_scenes(tmp_path / "other", num_images=300, image_size=64, seed=2)
    assert not set(other.images["sha256"]) & set(small.images["sha256"])


def test_size_is_a_parameter(tmp_path: Path) -> None:
    tables = build_scenes(tmp_path / "large", num_images=300, image_size=96, seed=1)
    assert tables.open_image(tables.images["image_id"][0]).size == (96, 96)


def test_too_few_images_are_refused_whole(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="num_images is 9"):
        build_scenes(tmp_path / "tiny", num_images=9, image_size=64, seed=0)
    assert not list(tmp_path.iterdir())
