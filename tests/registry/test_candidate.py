"""A trained and scored variant becomes a version."""

import json
import re

import pandas as pd
import pytest
from transformers.utils import logging

from components.model import CaptionModel, CaptionProcessor
from components.model.configuration import bridge_fields
from components.registry.candidate import SAMPLES, register_variant
from components.registry.card import LICENCES
from components.registry.samples import FOLDER
from components.tracking.provenance import scores_digest, tables_digest, weights_digest
from components.tracking.runs import open_variant_run
from components.tracking.store import connect
from components.training.decoding import Choice, Trial, write_choice
from tests.tracking_fixtures import enter_project

logging.set_verbosity_error()


@pytest.fixture(scope="module")
def model(params, towers, tmp_path_factory):
    """The folder of a model, as training leaves it."""
    folder = tmp_path_factory.mktemp("models") / "mlp"
    fields = bridge_fields(params.model.model_dump(), "mlp", True)
    captioner = CaptionModel.from_towers(towers / "clip", towers / "gpt2", **fields)
    captioner.processor = CaptionProcessor.from_towers(towers / "clip", towers / "gpt2")
    captioner.generation_config.update(max_new_tokens=4)
    captioner.save_pretrained(folder)
    trial = Trial({"num_beams": 1}, 1.0, None)
    write_choice(Choice([trial], trial), folder)
    return folder


@pytest.fixture
def results(tables, tmp_path):
    """Scores of captions that were written with other rounding."""
    folder = tmp_path / "results"
    folder.mkdir()
    ids = list(tables.split("test").images["image_id"])
    columns = {"image_id": ids, "system": "model", "caption": "as bfloat16 has it", "CIDEr": 1.0}
    pd.DataFrame(columns).to_parquet(folder / "per_image.parquet")
    cider = {"mean": 1.0, "low": 0.9, "high": 1.1}
    (folder / "metrics.json").write_text(json.dumps({"systems": {"model": {"CIDEr": cider}}}))
    return folder


def test_the_reloaded_version_is_compared_with_the_model_and_not_with_other_arithmetic(
    params, tables, model, results, tmp_path, monkeypatch
):
    enter_project(tmp_path / "project", monkeypatch)
    about = {"params": params.model_dump(by_alias=True), "data": tables_digest(tables)}
    with open_variant_run("mlp", stage="train", **about) as run:
        run.made(model=model)
    with open_variant_run("mlp", stage="evaluate", weights=weights_digest(model), **about) as run:
        run.made(results=results)
    candidate = register_variant("mlp", params, tables, model, results)
    assert candidate.problem is None
    assert scores_digest(results) == connect().client.get_run(candidate.run_id).data.tags["scores"]
    client = connect().client
    version = client.get_model_version(params.register_.name, candidate.version)
    card = version.description
    assert card.startswith("# ") and "as bfloat16 has it" in card and version.tags[LICENCES] in card
    files = {file.path for file in client.list_artifacts(candidate.run_id, FOLDER)}
    linked = set(re.findall(r"get-artifact\?run_uuid=" + candidate.run_id + r"&path=([^)]+)\)", card))
    assert linked == files and len(files) == min(SAMPLES, len(tables.split("test").images))
