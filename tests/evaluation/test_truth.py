"""Whether captions are true: CHAIR by hand, scenes by their facts, and the way of both to files and page."""

import io
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from components.data.scenes.build import plan
from components.data.scenes.facts import objects_of, to_json
from components.data.scenes.grammar import Counts, Pair, references
from components.data.scenes.grounds import GROUNDS
from components.data.scenes.openmoji import drawings
from components.data.synonyms import with_synonyms
from components.data.tables import Tables
from components.errors import UserError
from components.evaluation.evaluate import compare, evaluate
from components.evaluation.objects import Objects, Vocabulary
from components.evaluation.results import read_metrics, read_per_image
from components.evaluation.scenes import Scenes, pair_statistics, read_pairs
from components.evaluation.scoring.language import Language
from components.evaluation.scoring.metrics import METRICS
from components.evaluation.scoring.scorers import References
from components.evaluation.table import results_table
from components.evaluation.truth import Truth
from components.report.content import load_variant
from components.report.render import _said
from components.tracking.names import evaluation_metrics

ENGLISH = Language.of([])
NAMED = {drawing.name: drawing for drawing in drawings()}
FOX_ABOVE_CAR = Pair(NAMED["fox"], NAMED["car"], 1, 1, horizontal=False, ground=GROUNDS[0])
THREE_KEYS = Counts(NAMED["key"], 3, "row", GROUNDS[0])


def coco_like(objects: list[list[str] | None], captions: list[list[str]]) -> Tables:
    """Images with objects by name and with references."""
    ids = [str(number) for number in range(len(objects))]
    listed = [None if names is None else [with_synonyms(name) for name in names] for names in objects]
    images = pd.DataFrame({"image_id": ids, "objects": pd.Series(listed, dtype=object)})
    rows = [
        (image_id, caption) for image_id, several in zip(ids, captions, strict=True) for caption in several
    ]
    return Tables(images, pd.DataFrame(rows, columns=["image_id", "caption"]), Path())


def of_scenes(scenes: list) -> Tables:
    """Images of scenes, with references."""
    ids, rng = [f"scene-{number}" for number in range(len(scenes))], random.Random(0)
    images = pd.DataFrame(
        {
            "image_id": ids,
            "kind": [scene.kind for scene in scenes],
            "objects": [objects_of(scene) for scene in scenes],
            "scene": [to_json(scene) for scene in scenes],
        }
    )
    rows = [(i, text) for i, scene in zip(ids, scenes, strict=True) for text in references(scene, rng)]
    return Tables(images, pd.DataFrame(rows, columns=["image_id", "caption"]), Path())


def score(name: str, statistics: dict[str, np.ndarray]) -> float:
    return METRICS[name].corpus(statistics[METRICS[name].family])


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("A hot dog, with two puppies.", ["hot dog", "dog"]),  # the longest match first; a synonym's plural
        ("People on bikes", ["person", "bicycle"]),
        ("a dog on a train track", ["dog"]),  # not a train
        ("three wine glasses and a knife", ["wine glass"]),  # no knife in this data set
        ("doghouse, catalogue, category", []),
        ("", []),
    ],
)
def test_objects_are_found_in_captions(caption, named):
    names = ("hot dog", "dog", "person", "bicycle", "train", "wine glass", "cat")
    vocabulary = Vocabulary(map(with_synonyms, names))
    assert [sorted(mention.names) for mention in vocabulary.mentions(caption)] == [[name] for name in named]


def test_a_hot_dog_is_no_dog_even_where_no_data_set_object_is_a_hot_dog():
    assert Vocabulary([["dog"]]).mentions("a hot dog") == []


def test_mentions_say_where_they_stand():
    (mention,) = Vocabulary([["maple leaf"]]).mentions("look - two (maple leaves)!")
    assert (mention.start, mention.end) == (3, 5)


def test_chair_and_recall_by_hand():
    tables = coco_like(
        [["dog", "cat"], ["car"], [], None],
        [["a dog"], ["a car beside a bench"], ["nothing"], ["a dog"]],
    )
    tables.images.at[3, "objects"] = None
    train = coco_like([["bench"]], [["a bench"]])
    everything = Tables(pd.concat([tables.images, train.images]), tables.captions, Path())
    objects = Objects(everything, tables)
    captions = ["a puppy and a car and a car", "a bench", "a cat", "a cat"]
    statistics = {"objects": objects.statistics(captions)}
    # Named: dog, car, car; bench (a reference has it); cat. Wrong: car, car; cat. The last image is unknown.
    assert score("CHAIRi", statistics) == pytest.approx(3 / 5)
    assert score("CHAIRs", statistics) == pytest.approx(2 / 3)
    # There: dog, cat; car, bench. Named: dog; bench.
    assert score("object_recall", statistics) == pytest.approx(2 / 4)
    assert [[sorted(m.names) for m in several] for several in objects.invented(captions)] == [
        [["car"], ["car"]],
        [],
        [["cat"]],
        [],
    ]
    silent = {"objects": objects.statistics([""] * 4)}
    assert score("CHAIRi", silent) == score("CHAIRs", silent) == score("object_recall", silent) == 0


def test_ambiguous_words_count_in_favour_and_prove_nothing():
    """'heart' may be the red or the blue one; that a reference says 'heart' does not put both there."""
    red = [["red heart", "heart"]]
    images = pd.DataFrame({"image_id": ["a", "b"], "objects": [red, [["blue heart", "heart"]]]})
    captions = pd.DataFrame({"image_id": ["a", "b"], "caption": ["a heart", "a heart"]})
    tables = Tables(images, captions, Path())
    objects = Objects(tables, tables)
    assert objects.statistics(["two hearts", "a red heart"])[:, 0].tolist() == [0, 1]
    assert objects.exact(["two hearts", "a red heart"]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("caption", "right", "marked"),
    [
        ("an orange fox is above a car on a white background", True, []),
        ("A white background with a fox above a red car.", True, []),
        ("a fox is above a bell on a white background", False, ["bell"]),
        ("a fox below a car on a white background", False, ["below"]),
        ("two foxes above a car on a white background", False, ["two", "foxes"]),
        ("a fox above a car on a striped white background", False, ["striped"]),
        ("a fox above a green car on a white background", False, ["green"]),
        ("a fox above a car", False, []),  # nothing is wrong, and something missing
    ],
)
def test_a_caption_of_a_scene_is_right_in_everything_or_marked(caption, right, marked):
    scenes = Scenes([to_json(FOX_ABOVE_CAR)])
    assert scenes.entirely_right([caption]).tolist() == [right]
    (places,) = scenes.wrong_words([caption])
    assert [caption.split()[place] for place in places] == marked


def test_references_are_right_and_those_of_other_scenes_are_not():
    tables = of_scenes([scene for _, scene, _ in plan(300, seed=2)][:90])
    truth, texts = Truth(tables, tables, ENGLISH), list(tables.references().values())
    own = truth.statistics([several[0] for several in texts])
    for name in ("entirely_right", "entirely_right_counts", "drawings_right", "object_recall"):
        assert score(name, own) == 1, name
    assert score("CHAIRi", own) == 0
    others = truth.statistics([texts[number - 1][0] for number in range(len(texts))])
    assert score("entirely_right", others) == 0 and score("CHAIRs", others) > 0.9


def test_kinds_are_told_apart():
    group = Pair(NAMED["fox"], NAMED["car"], 2, 1, horizontal=True, ground=GROUNDS[0])
    tables = of_scenes([THREE_KEYS, FOX_ABOVE_CAR, group, group])
    said = [several[0] for several in tables.references().values()]
    statistics = Truth(tables, tables, ENGLISH).statistics([*said[:3], "a fox beside a car"])
    shares = [score(f"entirely_right{kind}", statistics) for kind in ("", "_counts", "_pairs", "_groups")]
    assert shares == [0.75, 1, 1, 0.5]
    assert score("drawings_right", statistics) == 1, "the last caption names the right ones"


def test_a_pair_counts_if_both_of_its_captions_are_right(tmp_path):
    a, b = FOX_ABOVE_CAR, Pair(NAMED["car"], NAMED["fox"], 1, 1, horizontal=False, ground=GROUNDS[0])
    tables = of_scenes([a, b, a, b])
    pairs = Tables(
        tables.images.assign(
            pair=["side-0", "side-0", "thing-0", "thing-0"], fact=["side"] * 2 + ["thing"] * 2
        ),
        tables.captions,
        Path(),
    )
    above, below = "a fox above a car on a white background", "a fox below a car on a white background"
    found = {"minimal_pairs": pair_statistics(pairs, [above, below, above, above])}
    names = ("minimal_pairs", "minimal_pairs_side", "minimal_pairs_thing", "minimal_pairs_number")
    assert [score(name, found) for name in names] == [0.5, 1, 0, 0]
    assert read_pairs(Tables(tables.images, tables.captions, tmp_path)) is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An evaluation of scenes, written: the model is right once in three, the baseline never."""
    tables = of_scenes([THREE_KEYS, FOX_ABOVE_CAR] * 3)
    ids, texts = list(tables.images["image_id"]), list(tables.references().values())
    said = {
        "model": [texts[0][0], "a key above a car on a white background", *[t[0] for t in texts[2:5]], ""],
        "blind": [several[0] for several in reversed(texts)],
    }
    truth = Truth(tables, tables, ENGLISH)
    extra = {name: truth.statistics(captions) for name, captions in said.items()}
    extra["model"]["minimal_pairs"] = np.array([[1.0, 1.0] + [1.0, 1.0] * 4, [0.0, 1.0] + [0.0, 1.0] * 4])
    evaluation = evaluate(
        {name: dict(zip(ids, captions, strict=True)) for name, captions in said.items()},
        References(tables.references()),
        extra,
        notes=truth.notes(said["model"]),
        samples=200,
    )
    folder = tmp_path_factory.mktemp("results")
    evaluation.write(folder)
    return folder


def test_truth_stands_in_the_files_with_intervals(folder):
    metrics = read_metrics(folder)["systems"]
    for system, right in (("model", 4 / 6), ("blind", 0)):
        row = metrics[system]["entirely_right"]
        assert row["mean"] == pytest.approx(right) and row["low"] <= row["mean"] <= row["high"]
    assert metrics["model"]["minimal_pairs"]["mean"] == 0.5 and "minimal_pairs" not in metrics["blind"]
    assert metrics["model"]["CHAIRi"]["mean"] == pytest.approx(1 / 7)
    rows = read_per_image(folder / "per_image.parquet")
    assert rows["entirely_right"].tolist() == [1, 0, 1, 1, 1, 0]
    assert [list(names) for names in rows["wrong_names"]] == [[], ["key"], [], [], [], []]
    assert list(rows["wrong_words"].iloc[1]) == [1]
    blind = read_per_image(folder / "per_image.parquet", "blind")
    assert compare(rows, blind, ("entirely_right",), samples=100)["entirely_right"].difference > 0.5
    with pytest.raises(UserError, match="'minimal_pairs' was not computed"):
        compare(rows, blind, ("minimal_pairs",))


def test_truth_reaches_mlflow_table_and_page(folder):
    metrics = read_metrics(folder)
    logged = evaluation_metrics(metrics)
    for name in (
        "entirely_right",
        "entirely_right_counts_low",
        "CHAIRs_high",
        "minimal_pairs",
        "blind/CHAIRi",
    ):
        assert f"test/{name}" in logged
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results_table({"mlp": metrics, "transformer": metrics}))
    text = console.export_text()
    assert "CHAIRi" in text and "drawings right" in text and "minimal pairs" in text
    variant = load_variant("mlp", folder, folder)
    assert "<mark>key</mark>" in _said(variant, "scene-1") and "✗" in _said(variant, "scene-1")
    assert "✓" in _said(variant, "scene-0") and "<mark>" not in _said(variant, "scene-0")
    assert "(nothing)" in _said(variant, "scene-5")


def test_data_without_facts_changes_nothing(tmp_path):
    tables = coco_like([["dog"]], [["a dog"]])
    bare = Tables(tables.images[["image_id"]], tables.captions, Path())
    train, unknown = Tables(tables.images, tables.captions, Path()), coco_like([None], [["a dog"]])
    for data, test in ((bare, bare), (train, unknown)):
        truth = Truth(data, test, ENGLISH)
        assert truth.statistics(["a cat"]) == {} and truth.notes(["a cat"]) == {}
    evaluation = evaluate({"model": {"0": "a cat"}}, References(bare.references()), samples=100)
    evaluation.write(tmp_path)
    columns = pd.read_parquet(tmp_path / "per_image.parquet").columns
    assert not {"entirely_right", "CHAIRi", "wrong_names", "objects_statistics"} & set(columns)
    variant = load_variant("mlp", tmp_path, tmp_path)
    assert _said(variant, "0") == "a cat"


def test_captions_that_are_not_english_are_not_judged_by_english_names():
    """Else a caption that names none of the objects would invent none: CHAIR of 0."""
    tables = coco_like([["dog"], ["cat"]], [["一只狗"], ["一只猫"]])
    captions = [several[0] for several in tables.references().values()]
    truth = Truth(tables, tables, Language.of(captions))
    assert truth.statistics(captions) == {} and truth.notes(captions) == {}


def test_objects_without_scenes_mark_what_is_not_there():
    tables = coco_like([["dog"], ["cat"]], [["a dog"], ["a cat"]])
    notes = Truth(tables, tables, ENGLISH).notes(["a dog and two cats", "a cat"])
    assert notes == {"wrong_names": [["cat"], []], "wrong_words": [[4], []]}
