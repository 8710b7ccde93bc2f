"""A copy of the project with tiny parameters, and its programs run there as a user runs them."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

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

TINY = {
    "variants": ["mlp"],
    "data": {"num_images": 300, "image_size": 32},
    "model": {
        "mapper": {"mlp_dim": 32, "depth": 1, "heads": 2, "dim_feedforward": 32},
        "resampler": {"depth": 1, "heads": 2, "dim_head": 16, "num_latents": 4, "num_time_embeds": 2},
        "cross_attention": {"heads": 2, "dim_head": 16},
    },
    "train": {
        "epochs": 1,
        "batch_size": 32,
        "validations": 1,
        "validation_images": 16,
        "decoding": {"num_beams": 1, "max_new_tokens": 8},
    },
    "evaluate": {"bootstrap_samples": 100},
}


def copy_project(folder: Path, params: dict = TINY) -> Path:
    """Code and pipeline of the project in `folder`, with tiny towers, installed for programs that run there
    (`run`)."""
    folder.mkdir(parents=True)
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    shutil.copytree(tiny_towers(), folder / "pretrained")
    # params.yaml keeps all its keys, as `params:` of dvc.yaml wants them.
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(values, params), sort_keys=False))
    (folder / "mlruns").mkdir()
    (folder / "mlflow.db").symlink_to("mlruns/mlflow.db")
    install(folder)
    return folder


def merged(values: dict, changes: dict) -> dict:
    """`values` with the leaves of `changes`."""
    return values | {
        key: merged(values[key], change) if isinstance(change, dict) else change
        for key, change in changes.items()
    }


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
