"""Metrics keep one name from the Trainer to the compare page; parameters stay readable."""

import os

import pandas as pd
import pytest

from components.data.tables import Tables
from components.tracking.names import evaluation_metrics, logged_scores, trainer_metrics
from components.tracking.provenance import (
    data_name,
    dataset_entry,
    dvc_tags,
    flatten,
    pipeline_key,
    source_tags,
    tables_digest,
)
from tests.tracking_fixtures import PARAMS


def test_trainer_logs_get_our_names():
    logs = {
        "loss": 1.5,
        "learning_rate": 1e-3,
        "grad_norm": 0.2,
        "gate/attention.0": 0.1,
        "tokens_per_second": 9.0,
    }
    assert trainer_metrics(logs) == {
        "train/loss": 1.5,
        "train/learning_rate": 1e-3,
        "train/grad_norm": 0.2,
        "train/gate/attention.0": 0.1,
        "train/tokens_per_second": 9.0,
    }
    assert trainer_metrics(
        {"eval_CIDEr": 1.0, "eval_BLEU-4": 0.3, "eval_runtime": 2, "epoch": 1, "note": "x"}
    ) == {
        "eval/CIDEr": 1.0,
        "eval/BLEU-4": 0.3,
        "train/eval_seconds": 2.0,
        "train/epoch": 1.0,
    }


def test_evaluation_report_is_flattened_with_intervals():
    cider = {"mean": 1.0, "low": 0.9, "high": 1.1}
    report = {
        "systems": {"model": {"CIDEr": cider, "perplexity": {"mean": 4}}, "blind": {"CIDEr": cider}},
        "monitors": {"unique": 0.5},
        "text": {"a": "b"},
    }
    assert evaluation_metrics(report) == {
        "test/CIDEr": 1.0,
        "test/CIDEr_low": 0.9,
        "test/CIDEr_high": 1.1,
        "test/perplexity": 4.0,
        "test/blind/CIDEr": 1.0,
        "test/blind/CIDEr_low": 0.9,
        "test/blind/CIDEr_high": 1.1,
        "test/monitors/unique": 0.5,
    }


def test_of_all_scores_a_run_shows_what_one_looks_for_and_validation_first():
    mean = {"mean": 1.0, "low": 0.9, "high": 1.1}
    names = ("CIDEr", "BLEU-1", "entirely_right", "entirely_right_pairs", "METEOR")
    systems = {system: dict.fromkeys(names, mean) for system in ("model", "blind")}
    logged = logged_scores({"systems": systems, "monitors": {"unique": 0.5}})
    assert [*sorted(logged)] == [
        "test/CIDEr",
        "test/blind/CIDEr",
        "test/blind/entirely_right",
        "test/details/BLEU-1",
        "test/details/CIDEr_high",
        "test/details/CIDEr_low",
        "test/details/METEOR",
        "test/details/entirely_right_high",
        "test/details/entirely_right_low",
        "test/details/entirely_right_pairs",
        "test/entirely_right",
        "test/monitors/unique",
    ]
    followed = trainer_metrics({"loss": 1.0, "eval_loss": 1.0, "eval_CIDEr": 1.0, "gate/attention.0": 0.1})
    assert min([*followed, *logged]) == "eval/CIDEr", "the first that MLflow draws"


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ({"source": "scenes", "folder": "raw"}, "scenes 521d"),
        ({"source": "auto", "folder": "raw/flickr8k", "annotations": None}, "flickr8k 521d"),
        ({"source": "table", "folder": "raw", "annotations": "raw/captions.csv"}, "captions.csv 521d"),
        ({"source": "coco", "folder": "raw/coco", "annotations": {"train": "a.json"}}, "coco 521d"),
        ({"source": "datasets", "folder": "raw", "annotations": "owner/photos"}, "owner/photos 521d"),
    ],
)
def test_runs_of_other_data_have_other_names(section, name):
    assert data_name({"data": section}, "521dd4ff087fae99") == name


def test_parameters_read_as_in_yaml_and_never_get_cut():
    flat = flatten(PARAMS | {"data": {"note": "x" * 600}})
    assert flat["train.learning_rate"] == "0.003"
    assert flat["train.resume"] == "true"
    assert flat["train.limit"] == "null"
    assert flat["train.sizes"] == "[1, 2]"
    assert flat["towers.clip"] == "pretrained/clip"
    assert flat["data.note"] == "(600 characters: see params.yaml)"
    assert not any(name.startswith("variants") for name in flat)


def test_pipeline_key_tells_configurations_apart_but_not_the_variants_trained_together():
    key = pipeline_key(PARAMS, "data")
    assert key == pipeline_key(PARAMS | {"variants": ["mlp"]}, "data")
    assert len({key, pipeline_key(PARAMS | {"seed": 1}, "data"), pipeline_key(PARAMS, "other")}) == 3


def test_tables_digest_sees_pictures_captions_and_splits_but_not_the_order_of_rows(tmp_path):
    images = pd.DataFrame({"image_id": ["a", "b"], "split": ["test", "test"], "sha256": ["1", "2"]})
    captions = pd.DataFrame({"caption_id": [0, 1], "image_id": ["a", "b"], "caption": ["x", "y"]})
    digest = tables_digest(Tables(images, captions, tmp_path))
    assert digest == tables_digest(Tables(images[::-1], captions[::-1], tmp_path))
    for changed in (images.assign(sha256=["1", "3"]), images.assign(split=["test", "train"])):
        assert digest != tables_digest(Tables(changed, captions, tmp_path))
    assert digest != tables_digest(Tables(images, captions.assign(caption=["x", "z"]), tmp_path))
    entry = dataset_entry(Tables(images, captions, tmp_path), "test")
    assert (entry["digest"], entry["context"]) == (digest, "test")


def test_dvc_hashes_are_those_of_the_variant_and_of_the_stages_before(tmp_path):
    lock = tmp_path / "dvc.lock"
    lock.write_text(
        "stages:\n"
        "  prepare:\n    outs: [{path: data/prepared, md5: aa.dir}]\n"
        "  train@mlp:\n    outs: [{path: models/mlp, md5: bb.dir}]\n"
        "  train@transformer:\n    outs: [{path: models/transformer, md5: cc.dir}]\n"
        "  evaluate@mlp:\n    outs: [{path: a.parquet, md5: dd}, {path: b.json, md5: ee}]\n"
    )
    assert dvc_tags("mlp", lock) == {
        "dvc.prepare": "aa.dir",
        "dvc.train": "bb.dir",
        "dvc.evaluate/a.parquet": "dd",
        "dvc.evaluate/b.json": "ee",
    }
    assert dvc_tags("mlp", tmp_path / "none") == {}


def test_a_user_id_without_a_name_is_a_user(monkeypatch):
    """A container that runs as `--user 4000000` has no line for it in /etc/passwd."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert source_tags("train")["mlflow.user"] == "4000000"
