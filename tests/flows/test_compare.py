"""Two runs side by side: found by what a user calls them, compared only on the same data, logged."""

import json
from pathlib import Path

import pytest

from components.errors import UserError
from components.evaluation.evaluate import Evaluation, evaluate
from components.evaluation.scoring.scorers import References
from components.registry import lookup
from components.tracking.runs import open_variant_run
from components.tracking.store import connect
from flows.compare import compare_runs
from tests.evaluation_fixtures import corpus
from tests.tracking_fixtures import PARAMS, enter_project


def run_with(variant: str, evaluation: Evaluation, test_data: str) -> str:
    """The id of a run that left these test captions."""
    dataset = {
        "name": "prepared-test",
        "digest": test_data,
        "source_type": "local",
        "source": "{}",
        "schema": "{}",
        "profile": "{}",
        "context": "test",
    }
    with open_variant_run(variant, stage="train", params=PARAMS, data="d", datasets=[dataset]) as run:
        evaluation.per_image().to_parquet("per_image.parquet")
        run.log_artifact("per_image.parquet", "test")
    return run.require_id()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run ids: perfect captions, guesses, and guesses for other data."""
    captions, systems = corpus()
    references = References(captions)
    copy, guess = (evaluate({"model": systems[name]}, references, samples=100) for name in ("copy", "guess"))
    with pytest.MonkeyPatch.context() as patch:
        enter_project(tmp_path_factory.mktemp("compare") / "project", patch)
        yield {
            "mlp": run_with("mlp", copy, "t1"),
            "transformer": run_with("transformer", guess, "t1"),
            "mlp-only": run_with("mlp-only", guess, "t2"),
        }


def test_a_real_difference_is_called_real_and_logged(runs, capsys):
    differences = compare_runs("mlp", "transformer", samples=300)
    assert all(d.low > 0 and d.difference == d.a - d.b for d in differences.values())
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "CIDEr is really better" in told and "BLEU-4 is really better" in told and "40 test pictures" in told
    )
    client = connect().client
    path = client.download_artifacts(runs["mlp"], f"comparisons/{runs['transformer']}.json")
    logged = json.loads(Path(path).read_text())["differences"]
    assert logged["CIDEr"]["difference"] == differences["CIDEr"].difference and logged["CIDEr"]["real"]
    tag = client.get_run(runs["mlp"]).data.tags[f"compared.{runs['transformer'][:8]}"]
    assert tag.startswith("with transformer on data d (seed 0): CIDEr is really better")


def test_the_other_way_round_the_sign_turns(runs, capsys):
    there, back = (
        compare_runs(*pair, samples=300) for pair in (("mlp", "transformer"), ("transformer", "mlp"))
    )
    assert back["CIDEr"].difference == -there["CIDEr"].difference
    assert "CIDEr is really worse" in " ".join(capsys.readouterr().out.split())


def test_a_run_is_found_by_id_name_variant_and_version(runs, capsys):
    store = connect()
    store.client.create_registered_model("captioner")
    version = store.client.create_model_version("captioner", "file:///nowhere", runs["mlp"])
    store.client.set_registered_model_alias("captioner", "champion", version.version)
    assert lookup.tested_run("mlp").name == "models:/captioner/1"
    assert lookup.tested_run("transformer").name == "transformer on data d (seed 0)"
    compare_runs("models:/captioner@champion", "transformer", samples=100)
    told = " ".join(capsys.readouterr().out.split())
    assert "models:/captioner/1 against transformer on data d (seed 0): CIDEr is really better" in told
    assert "transformer mlp, on data d 95 % version 1 (seed 0)" in told, "headings in two lines"
    for text in (
        "mlp",
        "mlp on data d (seed 0)",
        runs["mlp"],
        "models:/captioner/1",
        "models:/captioner@champion",
    ):
        assert lookup.find_run(text, store).info.run_id == runs["mlp"], text


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("mlp-only", "Not comparable: models:/captioner/1 was tested on the data t1, mlp-only on .* on t2"),
        ("mlp", "'mlp' and 'mlp' are the same: models:/captioner/1."),
        ("nonsense", "No run 'nonsense'. There are: .*transformer on data d .seed 0."),
        ("f" * 32, "No run 'f{32}'. There are: "),
        ("models:/captioner/99", "no such"),
        ("models:/captioner/latest", "write models:/NAME/VERSION"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_message(second, message, runs):
    with pytest.raises(UserError, match=message):
        compare_runs("mlp", second)
