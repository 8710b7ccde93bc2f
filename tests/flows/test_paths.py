"""flows/paths.py and dvc.yaml name the same files."""

from pathlib import Path

import pytest
import yaml

from flows import paths
from tests.parameters import ROOT

PATHS = {name: path for name, path in vars(paths).items() if isinstance(path, Path)}
del PATHS["CHECKPOINTS"]  # neither input nor output of a stage


def outputs() -> set[Path]:
    """Of every stage; of one a variant, the folder that holds all variants'."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    listed = [out for stage in stages for key in ("outs", "metrics") for out in stage.get(key, [])]
    names = [next(iter(out)) if isinstance(out, dict) else out for out in listed]
    return {Path(name.split("/${item.variant}")[0]) for name in names}


@pytest.mark.parametrize("name", PATHS)
def test_every_path_is_what_a_stage_leaves(name):
    assert PATHS[name] in outputs()


@pytest.mark.parametrize("out", sorted(outputs()))
def test_every_output_is_a_path_or_lies_beside_a_file_that_is_one(out):
    beside = {path.parent for path in PATHS.values() if path.suffix}
    assert out in PATHS.values() or out.parent in beside
