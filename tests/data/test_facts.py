"""What is true of a scene can be told from its row, and a minimal pair differs in one fact."""

import random
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from components.data.scenes.build import plan, split_combinations
from components.data.scenes.facts import MINIMAL_PAIRS, from_json, objects_of, to_json
from components.data.scenes.grammar import PLACES, Counts, Pair, every_caption, references
from components.data.scenes.grounds import GROUNDS
from components.data.scenes.minimal_pairs import CHANGES, build_minimal_pairs, minimal_pair
from components.data.scenes.openmoji import drawings
from components.data.synonyms import SYNONYMS, forms, with_synonyms
from components.data.tables import read_tables
from components.evaluation.scoring.metrics import FACTS, SCENE_KINDS
from tests.parameters import prepare

NAMED = {drawing.name: drawing for drawing in drawings()}
SCENES = [scene for _, scene, _ in plan(900, seed=5)]
COCO = """
person bicycle car motorcycle airplane bus train truck boat traffic-light fire-hydrant stop-sign
parking-meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella handbag
tie suitcase frisbee skis snowboard sports-ball kite baseball-bat baseball-glove skateboard surfboard
tennis-racket bottle wine-glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot
hot-dog pizza donut cake chair couch potted-plant bed dining-table toilet tv laptop mouse remote keyboard
cell-phone microwave oven toaster sink refrigerator book clock vase scissors teddy-bear hair-drier
toothbrush
"""
"""The 80 categories, a hyphen for a space."""


def altered(scene, rng: random.Random) -> list:
    """Scenes with one fact changed: ground, thing, number, place."""
    other = rng.choice([drawing for drawing in drawings() if drawing not in dict(scene.things)])
    ground = scene.ground
    grounds = [
        ground._replace(colour="red" if ground.colour != "red" else "blue"),
        ground._replace(pattern="wavy" if ground.pattern != "wavy" else "plain"),
    ]
    changed = [replace(scene, ground=ground) for ground in grounds]
    if isinstance(scene, Counts):
        number = scene.number % 4 + 1
        places = [place for place in PLACES[scene.number] if place != scene.place]
        changed += [replace(scene, place=place) for place in places]
        changed += [replace(scene, number=number, place=place) for place in PLACES[number]]
        return [*changed, replace(scene, drawing=other)]
    (first, first_number), (second, second_number) = scene.things
    return [
        *changed,
        Pair(second, first, second_number, first_number, scene.horizontal, scene.ground),
        replace(scene, horizontal=not scene.horizontal),
        replace(scene, first=other),
        replace(scene, second=other),
        replace(scene, first_number=3 - scene.first_number),
        replace(scene, second_number=3 - scene.second_number),
    ]


def test_every_reference_is_right_for_its_scene_and_for_no_altered_one():
    rng = random.Random(0)
    for scene in SCENES:
        said = {text for _ in range(3) for text in references(scene, rng)}
        assert said <= every_caption(scene)
        for other in altered(scene, rng):
            assert said.isdisjoint(every_caption(other)), (scene, other)


def test_a_colour_may_be_left_out_but_not_be_wrong():
    fox = Counts(NAMED["fox"], 1, "left", GROUNDS[0])
    captions = every_caption(fox)
    for phrase in ("a fox", "an orange fox", "one fox", "one orange fox"):
        assert f"{phrase} on the left side of a white background" in captions
    assert not any("red fox" in caption for caption in captions)
    apple = every_caption(replace(fox, drawing=NAMED["green apple"]))
    assert all("green apple" in caption for caption in apple), "without the colour it could be another apple"


def test_scenes_survive_their_row():
    assert [from_json(to_json(scene)) for scene in SCENES] == SCENES


def test_objects_are_the_drawings_by_name_with_synonyms():
    scene = Pair(NAMED["black cat"], NAMED["gift"], 2, 1, True, GROUNDS[0])
    cat, gift = objects_of(scene)
    assert cat[:2] == ["black cat", "cat"] and gift[0] == "gift" and "present" in gift


def test_synonyms_know_coco_and_the_drawings():
    categories = {name.replace("-", " ") for name in COCO.split()}
    assert len(categories) == 80 and categories <= set(SYNONYMS)
    assert with_synonyms("bicycle") == ["bicycle", "bike"] and with_synonyms("gnu") == ["gnu"]
    for name, others in SYNONYMS.items():
        assert all(other and other == other.strip().lower() for other in (name, *others)), name
        assert name not in others and len(set(others)) == len(others), name


@pytest.mark.parametrize(
    ("noun", "plural"),
    [
        ("person", "people"),
        ("policeman", "policemen"),
        ("wine glass", "wine glasses"),
        ("sheep", "sheep"),
        ("maple leaf", "maple leaves"),
        ("black cat", "black cats"),
        ("knife", "knives"),
    ],
)
def test_forms(noun, plural):
    assert forms(noun) == (noun, plural)


def facts(scene) -> dict:
    """What a minimal pair may differ in; a side exchanged moves the numbers along."""
    things = scene.things
    sides = scene.place if isinstance(scene, Counts) else (things[0][0], scene.horizontal)
    return {
        "thing": {drawing.name for drawing, _ in things},
        "number": sorted(number for _, number in things),
        "side": sides,
        "colour": scene.ground.colour,
        "pattern": scene.ground.pattern,
        "kind": type(scene),
    }


@pytest.mark.parametrize("fact", FACTS)
def test_a_minimal_pair_differs_in_its_fact_alone_and_is_held_out(fact):
    combinations = split_combinations(random.Random(0))
    held_out = {frozenset(d.name for d in pair) for pair in combinations["pairs-test"]}
    held_out |= {(drawing.name, *stands) for drawing, *stands in combinations["counts-test"]}
    rng, kinds = random.Random(1), defaultdict(int)
    for _ in range(100):
        a, b = minimal_pair(fact, combinations, rng)
        differing = {name for name, value in facts(a).items() if value != facts(b)[name]}
        assert fact in differing and differing <= ({fact, "side"} if fact == "thing" else {fact}), (a, b)
        assert every_caption(a).isdisjoint(every_caption(b))
        for scene in (a, b):
            names = frozenset(drawing.name for drawing, _ in scene.things)
            counted = () if isinstance(scene, Pair) else (scene.drawing.name, scene.number, scene.place)
            assert (counted or names) in held_out
        kinds[a.kind] += 1
    assert len(kinds) > 1


def test_facts_and_kinds_go_by_the_same_names_in_data_and_evaluation():
    assert tuple(CHANGES) == FACTS and {scene.kind for scene in SCENES} == set(SCENE_KINDS)


def test_pairs_are_pictures_that_differ_where_their_scenes_do(tmp_path):
    options = {"num_images": 560, "image_size": 32, "seed": 3}
    pairs = build_minimal_pairs(tmp_path / "a", **options)
    assert pairs.images.groupby("fact")["pair"].nunique().to_dict() == dict.fromkeys(FACTS, 2)
    assert (pairs.images.groupby("pair")["sha256"].nunique() == 2).all()
    colour = pairs.images[pairs.images["pair"] == "colour-000"]["image_id"]
    one, two = (np.asarray(pairs.open_image(i), dtype=int) for i in colour)
    same = (one == two).all(axis=-1).mean()
    assert 0.02 < same < 0.9, "the drawing stays, the ground does not"
    again = build_minimal_pairs(tmp_path / "b", **options)
    assert again.images.equals(pairs.images) and again.captions.equals(pairs.captions)


def test_prepare_leaves_facts_and_pairs(tmp_path):
    tables = prepare(tmp_path / "prepared", source="scenes", num_images=300, image_size=32, seed=0)
    read = read_tables(tmp_path / "prepared")
    for row in read.images.itertuples():
        assert [list(names) for names in row.objects] == objects_of(from_json(row.scene))
        assert set(tables.references()[row.image_id]) <= every_caption(from_json(row.scene))
    pairs = read_tables(tmp_path / "prepared" / MINIMAL_PAIRS)
    assert len(pairs.images) == 8 and not set(pairs.images["sha256"]) & set(read.images["sha256"])
