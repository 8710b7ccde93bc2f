"""dvc.yaml tells the truth: whatever code decides a stage's outputs stands among its dependencies."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

HARMLESS = {
    "components/config.py": "types and bounds; the values that a stage reads stand among its params",
    "components/errors.py": "the class of messages",
    "components/files.py": "how outputs are put in place, not what is in them",
    "components/registry": "what is registered, and found there",
    "components/tracking": "what MLflow is told",
}
"""Code that every stage may import although no output depends on it, and why."""

HARMLESS_IN = {
    "train": {
        "components/data/prepare/report.py": "counts of data faults, for MLflow",
        "components/data/display.py": "for MLflow",
        "components/evaluation/results.py": "imported with Prefect's artifacts",
    },
    "evaluate": {"components/data/display.py": "for Prefect"},
    "register": {"components/data/display.py": "imported with Prefect's artifacts"},
    "features": {"components/features/live.py": "what stages after it use instead of its store"},
    "report": {"components/features/live.py": "same numbers as the store's"},
}


def imported(path: Path) -> set[str]:
    """Names of the project's modules that a file imports, inside functions too, where slow imports stand;
    but not those for type checkers.
    """
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] in ("components", "flows")}


def files_of(module: str) -> set[Path]:
    """The file of a module and the `__init__.py` of each package that it lies in; none for a mere name."""
    parts = module.split(".")
    paths = {ROOT.joinpath(*parts[: n + 1], "__init__.py") for n in range(len(parts))}
    paths.add(ROOT.joinpath(*parts).with_suffix(".py"))
    return {path for path in paths if path.exists() and path.read_text().strip()}


def covered(path: str, prefixes) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def needed(stage: str) -> set[str]:
    """Everything under components/ that the stage imports, directly or not."""
    harmless = HARMLESS | HARMLESS_IN.get(stage, {})
    deps = STAGES[stage]["deps"] if isinstance(STAGES[stage]["deps"], list) else []
    waiting, seen, found = [ROOT / "flows" / f"{stage}.py"], set(), set()
    while waiting:
        path = waiting.pop()
        name = path.relative_to(ROOT).as_posix()
        if path in seen or (covered(name, harmless) and not covered(name, deps)):
            continue
        seen.add(path)
        if name.startswith("components/"):
            found.add(name)
        waiting += [file for module in imported(path) for file in files_of(module)]
    return found


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
