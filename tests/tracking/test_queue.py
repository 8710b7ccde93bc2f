"""Queued DVC experiments run in a copy of the project: with its data, or told why not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from components.data.tables import read_tables

ROOT = Path(__file__).parents[2]
DATA = [f"data.{key}" for key in ("source=table", "annotations=captions.csv", "images=images")]


def run(project: Path, *command: str) -> str:
    """What a command in `project` says."""
    who = {f"GIT_{role}_{what}": "t@t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | who | {"PATH": path, "PYTHONPATH": "", "DVC_NO_ANALYTICS": "true"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr


def experiment(project: Path, how: str) -> str:
    """Try to prepare the data as an experiment."""
    settings = [word for setting in DATA for word in ("-S", setting)]
    return run(project, "dvc", "exp", "run", how, "--name", how.strip("-"), *settings, "prepare")


@pytest.fixture
def project(tmp_path):
    """The project in Git, with pictures and captions of its user's in raw/."""
    for name in ("components", "flows"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "raw").mkdir()
    shutil.copy(ROOT / "raw" / "README.md", tmp_path / "raw")
    for command in ("git init --quiet", "dvc init --quiet", "git add --all", "git commit --quiet -m all"):
        run(tmp_path, *command.split())
    (tmp_path / "raw" / "images").mkdir()
    names = [f"{number}.png" for number in range(60)]
    for number, name in enumerate(names):
        Image.new("RGB", (32, 32), (4 * number, 0, 0)).save(tmp_path / "raw" / "images" / name)
    rows = [f"{name},{number} dogs" for number, name in enumerate(names)]
    (tmp_path / "raw" / "captions.csv").write_text("\n".join(["image,caption", *rows]))
    return tmp_path


def test_data_in_raw_that_nobody_tracks_are_told_and_once_tracked_are_found(project):
    told = experiment(project, "--temp")
    assert "raw/captions.csv: no such file. A queued experiment runs in a copy of what" in told
    assert "dvc add raw/captions.csv raw/images && git add raw" in told

    run(project, "dvc", "add", "raw/captions.csv", "raw/images")
    run(project, "git", "add", "raw")
    experiment(project, "--queue")
    told = run(project, "dvc", "exp", "run", "--run-all")
    assert "queue" in run(project, "dvc", "exp", "list", "--name-only"), told
    run(project, "dvc", "exp", "apply", "queue")
    assert len(read_tables(project / "data" / "prepared").images) == 60
