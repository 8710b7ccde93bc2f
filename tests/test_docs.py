"""The pages tell the truth: every command in them is tried, or says why not; links and messages are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.messages import PAGE, page

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "pretrained/README.md"])
PROGRAMS = ("python -m", "captioner", "make", "dvc", "prefect", "mlflow", "pip", "torchrun", "docker", ".ci/")

GATE = "the gate runs it: .ci/run"
HOURS = "takes long or needs a GPU; tried by hand before a release"
OUTSIDE = "needs a machine, an account or a network that tests do not have"
TRIED = {
    ".ci/run": GATE,
    ".venv/bin/captioner caption": "tests/flows/test_command.py::test_the_example_is_captioned_at_once",
    "NAME=ann PASSWORD": "tests/servers/test_team.py::test_a_colleague_without_the_project",
    "benchmarks/gpu.sh": HOURS,
    "captioner caption": "tests/flows/test_command.py::test_the_example_is_captioned_at_once",
    "captioner": "tests/flows/test_command.py::test_every_command_tells_what_it_does",
    "cd ": "no program",
    "chmod": "no program of ours",
    "cp .env.example": "no program of ours",
    "dvc dag": "DVC draws it from dvc.yaml",
    "dvc exp": "tests/tracking/test_queue.py",
    "dvc metrics": "tests/flows/test_dvc.py",
    "dvc params": "tests/flows/test_dvc.py",
    "dvc plots": "tests/report/test_dvc_plots.py",
    "dvc gc": "no program of ours",
    "dvc push": "tests/servers/test_team.py::test_a_clone_pulls_what_was_pushed",
    "dvc pull": "tests/servers/test_team.py::test_a_clone_pulls_what_was_pushed",
    "dvc remote": "tests/servers/test_team.py::test_a_clone_pulls_what_was_pushed",
    "dvc repro": "tests/flows/test_dvc.py::test_a_change_runs_what_depends_on_it",
    "docker": OUTSIDE,
    "docker compose run --rm mlflow": "tests/servers/test_team.py::test_the_database_can_be_upgraded",
    "docker compose up": "tests/servers/test_team.py",
    "echo 's3.configure": "tests/servers/test_team.py::test_a_key_that_may_only_read",
    "export": "tests/servers/test_team.py",
    "git": "no program of ours",
    "hf upload": OUTSIDE,
    "make": GATE,
    "make lock": OUTSIDE,
    "make serve": "tests/flows/test_deployment.py::test_the_short_command_runs_the_pipeline_to_completion",
    "mlflow gc": "no program of ours",
    "mlflow models serve": "tests/registry/test_registry.py",
    "mlflow ui": "tests/tracking/test_runs.py",
    "pip": OUTSIDE,
    "pre-commit": OUTSIDE,
    "prefect": "tests/flows/test_deployment.py::test_the_short_command_runs_the_pipeline_to_completion",
    "python -m benchmarks": HOURS,
    "python -m build": OUTSIDE,
    "python -m components.model": "tests/model/test_summary.py",
    "python -m docs.messages": "tests/test_docs.py::test_the_messages_are_those_of_the_code",
    "python -m flows.caption": "tests/flows/test_stage.py::test_a_command_captions_without_prefect",
    "python -m flows.compare": "tests/flows/test_compare.py::test_a_real_difference_is_called_real",
    "python -m flows.dvc_repro": "tests/flows/test_dvc_repro.py::test_variants_are_trained_at_once",
    "python -m flows.dvc_repro --dry-run": "tests/flows/test_dry_run.py::test_where_all_is_well",
    "python -m flows.export": "tests/flows/test_export.py::test_a_version_becomes_a_folder",
    "python -m flows.prefect_server": "tests/flows/test_prefect_server.py::test_a_command_has_a_server",
    "python -m flows.prepare": "tests/flows/test_prepare.py",
    "python -m flows.reproduce": "tests/flows/test_reproduce.py::test_the_same_code_data_and_parameters",
    "python -m flows.use_profile": "tests/test_config.py",
    "python -m pretrained": "tests/pretrained",
    "torchrun": "tests/training/test_processes.py",
}
"""How a command begins -> the test that runs it, or why none does."""


def commands(text: str) -> set[str]:
    """All commands of a page: the lines of its shell blocks, and code that begins as a program's call."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line.partition(" #")[0] for block in blocks for line in block.splitlines()]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    found = lines + [code for code in inline if code.startswith(tuple(f"{name} " for name in PROGRAMS))]
    return {part.strip() for line in found for part in line.split(" && ") if part.strip(" #")}


def known(command: str) -> str | None:
    """Where the longest beginning of `command` in `TRIED` says that it is tried."""
    return TRIED.get(max((begin for begin in TRIED if command.startswith(begin)), key=len, default=""))


ALL = {command: file for file in PAGES for command in commands(file.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("command", sorted(ALL))
def test_a_command_is_tried_or_says_why_not(command):
    assert known(command), f"{ALL[command].name}: say in TRIED where '{command}' is tried, or why not"


@pytest.mark.parametrize("where", sorted({where for where in TRIED.values() if where.startswith("tests/")}))
def test_where_it_is_tried_exists(where):
    file, _, name = where.partition("::")
    assert (ROOT / file).exists()
    assert not name or f"def {name}" in (ROOT / file).read_text(encoding="utf-8")


def modules() -> dict[str, set[str]]:
    """Module of ours that a page calls -> the options it is called with."""
    found: dict[str, set[str]] = {}
    for command in ALL:
        if match := re.match(r"python -m ((?:flows|components|benchmarks|pretrained)\.[\w.]+)", command):
            found.setdefault(match[1], set()).update(re.findall(r"--[a-z][\w-]*", command))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(modules()))
def test_a_program_has_the_options_that_pages_name(module):
    asked = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not (missing := {option for option in modules()[module] if option not in done.stdout}), missing


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_links_lead_somewhere(file):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (file.parent / link).exists()]
    assert not missing


def test_the_messages_are_those_of_the_code():
    assert PAGE.read_text(encoding="utf-8") == page(), "write them anew: python -m docs.messages"
