"""Imports point downwards only: a layer knows what stands before it here, and nothing else."""

import pytest

from components.code import PACKAGES, ROOT, imported

LAYERS = (
    ("errors", "files", "progress", "variants"),
    ("code", "config", "program"),
    ("data",),
    ("features",),
    ("model",),
    ("towers", "evaluation"),
    ("training",),
    ("tracking", "planning"),
    ("report", "registry"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_every_part_has_its_layer():
    parts = {path.stem for path in (ROOT / "components").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__init__", "__pycache__"} == set(LEVEL)


@pytest.mark.parametrize("part", LEVEL)
def test_imports_point_downwards(part):
    own = [p for p in FILES if p.relative_to(ROOT).with_suffix("").parts[:2] == ("components", part)]
    names = {name for path in own for name in imported(path)}
    assert own and not {name for name in names if name.startswith("flows")}, "nothing imports flows but flows"
    others = {name.split(".")[1] for name in names if name.count(".")} & set(LEVEL) - {part}
    upwards = {other for other in others if LEVEL[other] >= LEVEL[part]}
    assert not upwards, f"{part} imports {sorted(upwards)}, which do not stand below it"
