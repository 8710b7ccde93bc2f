"""A scratch copy of the project, to measure in: this code by links, and all that it makes its own."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINKED = ("benchmarks", "components", "flows", "dvc.yaml", "pyproject.toml", "pretrained")


def make_copy(folder: Path, dvc: bool = True) -> None:
    """Lay it out in `folder`, which is there; params.yaml and raw/'s content are still missing.

    Args:
        dvc: for `dvc repro`, too.
    """
    for name in ("raw", "mlruns"):
        (folder / name).mkdir()
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    if dvc:
        subprocess.run(["dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
        (folder / ".dvc" / "config.local").write_text((ROOT / ".dvc" / "config").read_text())


def environment(folder: Path) -> dict[str, str]:
    """Of programs that run there."""
    return os.environ | {"PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "true"}
