"""A copy of the project with tiny parameters, and its programs run there as a user runs them."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

import tests.parameters
from tests.parameters import merged
from tests.towers_fixtures import tiny_towers

ROOT = Path(__file__).parents[1]
COPIED = (
    "components",
    "flows",
    "captioner_plugin.py",
    "dvc.yaml",
    "prefect.yaml",
    "pyproject.toml",
    ".dvcignore",
    ".gitignore",
)

TINY = merged(
    tests.parameters.TINY,
    {
        "variants": ["mlp"],
        "data": {"num_images": 300},
        "train": {
            "epochs": 1,
            "validations": 1,
            "decoding": {"num_beams": 1, "length_penalty": None, "max_new_tokens": 8},
        },
        "evaluate": {"bootstrap_samples": 100},
    },
)
"""The suite's parameters, once through."""


def copy_project(folder: Path, changes: dict | None = None) -> Path:
    """Code and pipeline of the project in `folder`, with tiny towers and `changes` of the tiny parameters,
    installed for programs that run there (`run`)."""
    folder.mkdir(parents=True)
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    shutil.copytree(tiny_towers(), folder / "pretrained")
    (folder / "pretrained/captioner").mkdir()  # dvc.yaml names it
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(TINY, changes or {}), sort_keys=False))
    for name in ("mlruns", "raw"):
        (folder / name).mkdir()
    (folder / "mlflow.db").symlink_to("mlruns/mlflow.db")
    install(folder)
    return folder


def install(folder: Path) -> None:
    """What an editable installation leaves behind: the name and the entry points of pyproject.toml."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def environment(folder: Path) -> dict[str, str]:
    """Of a program in `folder`, free of what the test run itself has set."""
    ours = ("PREFECT_", "MLFLOW_", "DVC_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "PYTHONPATH": str(folder),
        "PWD": str(folder),  # as a shell sets it; prefect.yaml reads it
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "true",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "COLUMNS": "120",
    }


def run(folder: Path, *command: str, timeout: float = 900, **more: str) -> subprocess.CompletedProcess:
    """`command` in `folder`, its output as text; the module of `python -m` runs in this interpreter."""
    program = [sys.executable, *command[1:]] if command[0] == "python" else list(command)
    return subprocess.run(
        program,
        cwd=folder,
        env=environment(folder) | more,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
