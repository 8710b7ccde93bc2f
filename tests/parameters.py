"""The suite's parameters: tests/params.yaml, changed where a test says so. params.yaml is the user's."""

from copy import deepcopy
from pathlib import Path

import yaml

from components.config import DataParams, Params, lay_over
from components.data.prepare import prepare as stage
from components.data.tables import Tables

ROOT = Path(__file__).parents[1]
TINY = yaml.safe_load((ROOT / "tests/params.yaml").read_text())
HUB = yaml.safe_load((ROOT / "profiles/hub.yaml").read_text())


def merged(values: dict, changes: dict) -> dict:
    """`values` with the leaves of `changes`, in a copy."""
    values = deepcopy(values)
    lay_over(values, changes)
    return values


def tiny(**changes) -> Params:
    """The suite's parameters with `changes`, nested as in params.yaml."""
    return Params.model_validate(merged(TINY, changes))


def prepare(out: Path, **data) -> Tables:
    """What the stage makes of the suite's `data` with these changes; its report lies beside `out`."""
    params = DataParams.model_validate(merged(TINY["data"], data))
    return stage.prepare(params, out, report=out.with_name(f"{out.name}-report"))
