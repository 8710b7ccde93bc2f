"""What `dvc repro` would run after a change: no more than it must, no less. DVC itself is asked, in a copy of
the project whose outputs stand for those of a finished run.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parameters import TINY

ROOT = Path(__file__).parents[2]
EVALUATE = {"evaluate@mlp", "evaluate@transformer"}
LAST = {"report", "register"}
TRAIN = {"train@mlp", "train@transformer"}


def dvc(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"DVC_NO_ANALYTICS": "true"}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project in which nothing is to be done."""
    project = tmp_path_factory.mktemp("dvc") / "project"
    for name in ("components", "flows"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "tests/params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, project)  # tests/params.yaml becomes the project's
    for folder in (
        "raw",  # not the user's own: it may be large
        "data/prepared",
        "data/towers/clip",
        "data/towers/gpt2",
        "pretrained/clip",
        "pretrained/gpt2",
        "pretrained/captioner",
        "data/features",
        "models",
        "results",
        "reports/plots",
    ):
        (project / folder).mkdir(parents=True)
        (project / folder / "made").write_text(folder)
    for variant in TINY["variants"]:
        for file in (
            f"models/{variant}",
            f"results/{variant}/per_image.parquet",
            f"results/{variant}/metrics.json",
            f"results/{variant}/summary.json",
        ):
            (project / file).parent.mkdir(exist_ok=True)
            (project / file).write_text("{}")
    for name in (
        "index.html",
        "registry.json",
        *(f"data/{n}" for n in ("index.html", "faults.parquet", "validation.json")),
        *(f"data/near_twins.{ending}" for ending in ("json", "parquet", "png")),
    ):
        (project / "reports" / name).parent.mkdir(exist_ok=True)
        (project / "reports" / name).write_text("{}")
    dvc(project, "init", "--no-scm", "--quiet")
    dvc(project, "commit", "--force", "--quiet")
    return project


@pytest.mark.parametrize(
    ("file", "old", "new", "stages"),
    [
        ("params.yaml", "num_beams: 2", "num_beams: 3", TRAIN | LAST),
        ("params.yaml", "init: null", "init: models/other", TRAIN | LAST),
        ("params.yaml", "max_tokens: 64", "max_tokens: 32", TRAIN | LAST),
        ("params.yaml", "workers: 1", "workers: 2", LAST),
        ("flows/train.py", "from functools", "from  functools", set()),
        ("components/report/charts.py", "import math", "import math  # a comment", {"report"}),
        ("components/registry/card.py", "import yaml", "import yaml  # a comment", {"register"}),
        ("components/evaluation/baselines.py", "import numpy", "import  numpy", EVALUATE | LAST),
        (
            "components/evaluation/scoring/java.py",
            "import subprocess",
            "import  subprocess",
            TRAIN | EVALUATE | LAST,
        ),
        ("components/training/sampler.py", "import torch", "import  torch", TRAIN),
        ("components/variants.py", '"mlp-only": ("mlp"', '"mlp-only": ("none"', TRAIN | {"register"}),
        ("components/code.py", "import ast", "import  ast", {"register"}),
        ("components/training/decoding.py", "import json", "import  json", TRAIN | {"register"}),
    ],
)
def test_a_change_runs_what_depends_on_it(file, old, new, stages, finished):
    path = finished / file
    before = path.read_text()
    assert before.count(old) >= 1
    path.write_text(before.replace(old, new, 1))
    try:
        assert set(json.loads(dvc(finished, "status", "--json"))) == stages
    finally:
        path.write_text(before)


def test_nothing_changed_runs_nothing(finished):
    assert json.loads(dvc(finished, "status", "--json")) == {}
