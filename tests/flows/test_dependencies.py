"""dvc.yaml tells the truth: whatever code decides a stage's outputs stands among its dependencies."""

import pytest
import yaml

from components.code import HARMLESS, ROOT, code_of, covered
from components.registry.flavor import MODULES

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

ASKED = "the severity of a rule, which the stage features alone asks for"

HARMLESS_IN = {
    "train": {
        "components/data/prepare/rules.py": ASKED,
        "components/data/prepare/report.py": "counts of data faults, for MLflow",
        "components/data/display.py": "for MLflow",
        "components/evaluation/results.py": "imported with Prefect's artifacts",
    },
    "evaluate": {
        "components/data/display.py": "for Prefect",
        "components/data/prepare/rules.py": ASKED,
    },
    "register": {"components/data/display.py": "imported with Prefect's artifacts"},
    "features": {"components/features/live.py": "what stages after it use instead of its store"},
    "report": {
        "components/features/live.py": "same numbers as the store's",
        "components/data/prepare/rules.py": ASKED,
    },
}


def needed(stage: str) -> set[str]:
    """Everything under components/ that the stage imports, directly or not; a harmless dependency, too."""
    deps = STAGES[stage]["deps"]
    harmless = [name for name in HARMLESS | HARMLESS_IN.get(stage, {}) if not covered(name, deps)]
    carried = MODULES if stage == "register" else ()  # what a version brings along
    files = code_of([f"flows.{stage}", *carried], harmless)
    return {name for name, file in files.items() if not covered(name, ["flows"]) and file.stat().st_size}


@pytest.mark.parametrize("stage", STAGES)
def test_code_that_a_stage_imports_is_among_its_dependencies(stage):
    missing = {name for name in needed(stage) if not covered(name, STAGES[stage]["deps"])}
    assert not missing, f"dvc.yaml: {stage}: add to deps (or say in HARMLESS why not): {sorted(missing)}"


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_among_the_dependencies_is_imported(stage):
    """A dependency that nothing uses runs stages again for nothing."""
    code = [dep for dep in STAGES[stage]["deps"] if dep.startswith("components")]
    found = needed(stage)
    assert code and [dep for dep in code if not any(covered(name, [dep]) for name in found)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_in_an_output_is_not_decided_by_a_flow(stage):
    """DVC does not look at flows: they read, call components, and say what has come of it."""
    code = (ROOT / "flows" / f"{stage}.py").read_text()
    assert not [word for word in ("atomic_path", "write_text", "json.dump", "platform.") if word in code]


def test_the_pipeline_does_not_pre_train():
    """`dvc repro` runs whatever makes a dependency, in any dvc.yaml: the towers in git may be no outs."""
    file = ROOT / "pretrained/dvc.yaml"
    stages = yaml.safe_load(file.read_text())["stages"] if file.exists() else {}
    outs = {
        next(iter(out)) if isinstance(out, dict) else out
        for s in stages.values()
        for out in s.get("outs", [])
    }
    made = {out for out in outs for dep in STAGES["towers"]["deps"] if covered(out, [dep])}
    assert not made, f"pretrained/dvc.yaml: no outs, for `make run` would pre-train: {sorted(made)}"
