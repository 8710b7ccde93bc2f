"""From captions to the files that later stages read, and back."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from components.errors import UserError
from components.evaluation.bootstrap import Interval
from components.evaluation.evaluate import compare, evaluate
from components.evaluation.results import read_metrics, read_per_image, systems, written
from components.evaluation.scoring.metrics import METRICS, TRUTH
from components.evaluation.scoring.scorers import References
from components.evaluation.table import results_table
from tests.evaluation_fixtures import corpus


@pytest.fixture(scope="module")
def evaluation():
    references, systems = corpus()
    systems = {"model": systems["copy"], "nearest_neighbour": systems["guess"], "blind": systems["constant"]}
    draw = np.random.default_rng(0)
    extra = {
        "model": {
            "clip": draw.normal(30, 5, (40, 1)),
            "likelihood": np.stack([np.full(40, 20.0), np.full(40, 10.0)], 1),
        }
    }
    return evaluate(systems, References(references), extra, {"unique": 0.5, "without_end": 0.0}, samples=300)


@pytest.fixture(scope="module")
def folder(evaluation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    evaluation.write(folder)
    return folder


def test_every_score_stands_inside_its_interval(evaluation, folder):
    content = json.loads((folder / "metrics.json").read_text())
    few = json.loads((folder / "summary.json").read_text())
    assert {"CIDEr", "BLEU-4"} <= few.keys() and len(few) <= 8
    of_model = content["systems"]["model"]
    assert few == {name: pytest.approx(of_model[name]["mean"], abs=1e-4) for name in few}
    assert set(content) == {"systems", "monitors", "scoring"} and content == read_metrics(folder)
    content = content["systems"]
    assert set(content) == {"model", "nearest_neighbour", "blind"}
    assert set(content["model"]) == set(METRICS) - set(TRUTH)
    assert set(content["blind"]) == set(content["model"]) - {"CLIPScore", "perplexity"}
    for rows in (content["model"], content["blind"]):
        for name, row in rows.items():
            assert row["low"] <= row["mean"] <= row["high"], name
    assert content["model"]["perplexity"]["mean"] == pytest.approx(np.exp(2))
    assert content["model"]["CIDEr"]["low"] > content["nearest_neighbour"]["CIDEr"]["high"]


def test_per_image_scores_average_to_the_corpus_score(evaluation, folder):
    frame = pd.read_parquet(folder / "per_image.parquet")
    assert list(frame.columns[:3]) == ["image_id", "system", "caption"]
    assert len(frame) == 3 * 40
    model = read_per_image(folder / "per_image.parquet")
    assert model["CIDEr"].mean() == pytest.approx(evaluation.intervals["model"]["CIDEr"].mean)
    assert list(model.index) == evaluation.image_ids
    assert frame[frame["system"] == "blind"]["CLIPScore"].isna().all()


def test_compare_from_files_is_compare_from_memory(evaluation, folder):
    path = folder / "per_image.parquet"
    a, b = read_per_image(path), read_per_image(path, "nearest_neighbour")
    differences = compare(a, b.sample(frac=1, random_state=0), samples=300)
    for name in ("CIDEr", "BLEU-4"):
        means = [evaluation.intervals[system][name].mean for system in ("model", "nearest_neighbour")]
        assert differences[name].difference == pytest.approx(means[0] - means[1])
        assert differences[name].real and differences[name].p < 0.05
    assert not compare(a, a, samples=100)["CIDEr"].real


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: compare(a, a.iloc[1:]), "1 are in one only, such as 'image-0'"),
        (lambda a: compare(a, a, metrics=("Cider",)), "No metric 'Cider'. There are CIDEr"),
        (
            lambda a: compare(a, a.assign(clip_statistics=None), metrics=("CLIPScore",)),
            "'CLIPScore' was not computed",
        ),
    ],
)
def test_what_cannot_be_compared_is_named(folder, change, message):
    with pytest.raises(UserError, match=message):
        change(read_per_image(folder / "per_image.parquet"))


def test_unreadable_results_are_named(folder, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_per_image(tmp_path / "per_image.parquet")
    (tmp_path / "per_image.parquet").write_bytes(b"half written")
    with pytest.raises(UserError, match="not the scores of an evaluation"):
        read_per_image(tmp_path / "per_image.parquet")
    with pytest.raises(UserError, match="no system 'mlp'. It has blind, model, nearest_neighbour"):
        read_per_image(folder / "per_image.parquet", "mlp")
    with pytest.raises(UserError, match=r"metrics.json: no such file"):
        read_metrics(tmp_path)
    for content, message in (("{", "not JSON"), ('{"model": {}}', "scores of another version")):
        (tmp_path / "metrics.json").write_text(content)
        with pytest.raises(UserError, match=f"metrics.json: .*{message}"):
            read_metrics(tmp_path)


def test_systems_and_scores_are_written_the_same_everywhere(evaluation):
    """The report, the card, Prefect's table and the plots read them here."""
    metrics = evaluation.metrics()
    one, two = systems({"mlp": metrics}), systems({"mlp": metrics, "transformer": metrics})
    assert [(s.name, s.baseline) for s in one] == [
        ("mlp", False),
        ("nearest neighbour", True),
        ("blind", True),
    ]
    names = ["mlp", "transformer", "nearest neighbour", "blind mlp", "blind transformer"]
    assert [system.name for system in two] == names
    assert one[0].scores == evaluation.intervals["model"]
    assert written("CIDEr", Interval(0.7123, 0.6899, 0.7344)) == "0.712 (0.690–0.734)"
    assert written("perplexity", Interval(4.06, 3.9, 4.2)) == "4.1 (3.9–4.2)"
    assert written("CLIPScore", Interval(-7.0, -8.71, -5.2)) == "-7.0 (-8.7 to -5.2)"
    assert written("CIDEr", None) == ""


def test_table_fits_a_terminal_and_names_everything(evaluation):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results_table({"mlp": evaluation.metrics(), "transformer": evaluation.metrics()}))
    text = console.export_text()
    heading = "\n".join(text.splitlines()[1:3])
    assert heading.count(" transformer") == heading.count(" mlp") == heading.count(" blind") == 2
    for name in (
        "neighbour",
        "CIDEr",
        "perplexity",
        "no end",
        "50.0%",
    ):
        assert name in text
    row = evaluation.intervals["model"]["CIDEr"]
    assert f"{row.mean:.3f}" in text and f"{row.low:.2f}–{row.high:.2f}" in text
