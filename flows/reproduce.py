"""Make a model version again, from its code, data and parameters, and see whether the test metrics are the same.

    python -m flows.reproduce models:/clip-gpt2-captioner/3

The code is checked out into a git worktree, reproduced/NAME-VERSION, and runs there, with an MLflow store of
its own: neither your files nor your runs are touched. The exit code is 1 if any digit differs.
"""

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from rich import box
from rich.console import Console
from rich.table import Table

from components.errors import UserError
from components.tracking import evaluation_metrics
from components.tracking.git import git
from components.tracking.origin import LOCK, Origin, environment, origin_of

FOLDER = Path("reproduced")
DATA_STAGE = "prepare"
"""Its outputs come from DVC's cache: where they were made from may have changed since."""


def reproduce(model: str, keep: bool = False) -> bool:
    """Whether the test metrics of `model` come out the same to the last digit. A worktree in which they did
    is removed unless `keep`; one in which they did not stays.

    Raises:
        UserError: the version does not say what made it, its commit or data are not here, or a stage fails.
    """
    origin = origin_of(model)
    folder = FOLDER / model.removeprefix("models:/").replace("/", "-").replace("@", "-")
    check_out(origin, folder)
    fetch_data(origin, folder)
    stages = [name for name in ("towers", "features", "train", "evaluate") if name in stages_of(origin)]
    dvc(folder, "repro", "--single-item", "--force", *(target(name, origin) for name in stages))
    results = folder / "results" / origin.variant / "metrics.json"
    again = evaluation_metrics(json.loads(results.read_text(encoding="utf-8")))
    same = report(origin, again)
    if same and not keep:
        git("worktree", "remove", "--force", str(folder))
    else:
        print(f"What was made lies in {folder}. Remove it with: git worktree remove --force {folder}")
    return same


def check_out(origin: Origin, folder: Path) -> None:
    """The worktree: the commit, changes that were not committed, params.yaml and dvc.lock of the version."""
    if not git("rev-parse", "--is-inside-work-tree"):
        raise UserError(f"{Path.cwd()}: no git repository, so no commit can be checked out.")
    if not git("rev-parse", "--verify", f"{origin.commit}^{{commit}}"):
        raise UserError(
            f"{origin.uri} was made by commit {origin.commit}, which is not in this clone. Get it: git fetch --all"
        )
    if folder.exists():
        raise UserError(f"{folder} exists already. Remove it with: git worktree remove --force {folder}")
    git("worktree", "prune")
    run(Path(), "git", "worktree", "add", "--quiet", "--detach", str(folder), origin.commit)
    print(f"{origin.uri}: {origin.variant}, commit {origin.commit[:12]}, in {folder}")
    if origin.changes:
        apply(origin, folder)
    elif origin.dirty:
        print("The code had changes that were not committed, and they were not kept: running without them.")
    (folder / "params.yaml").write_text(origin.params, encoding="utf-8")
    (folder / LOCK).write_text(origin.lock, encoding="utf-8")


def apply(origin: Origin, folder: Path) -> None:
    """The changes of code that were not committed when the version was registered."""
    files = sorted(
        {line.split(" b/", 1)[1] for line in origin.changes.splitlines() if line.startswith("diff ")}
    )
    print(f"The code had changes that were not committed: they are applied ({', '.join(files)}).")
    done = subprocess.run(
        ["git", "apply", "--whitespace=nowarn"],
        cwd=folder,
        input=origin.changes,
        text=True,
        capture_output=True,
    )
    if done.returncode:
        raise UserError(f"Those changes do not fit commit {origin.commit}: {done.stderr.strip()}")


def fetch_data(origin: Origin, folder: Path) -> None:
    """Data as they were, from the cache of this project or from its remote.

    Raises:
        UserError: they are in neither.
    """
    local = Path(".dvc", "config.local")
    if local.exists():
        (folder / ".dvc" / "config.local").write_text(local.read_text(encoding="utf-8"), encoding="utf-8")
    cache = subprocess.run(
        dvc_command("cache", "dir"), capture_output=True, text=True, check=True
    ).stdout.strip()
    dvc(folder, "cache", "dir", "--local", cache, quiet=True)
    try:
        dvc(folder, "checkout", "--force", DATA_STAGE, quiet=True)
    except UserError:
        try:
            dvc(folder, "pull", "--force", DATA_STAGE, quiet=True)
        except UserError as error:
            outs = ", ".join(f"{out['path']} ({out['md5']})" for out in stages_of(origin)[DATA_STAGE]["outs"])
            git("worktree", "remove", "--force", str(folder))
            raise UserError(
                f"The data of {origin.uri} are neither in DVC's cache {cache} nor in a remote: {outs}.\n{error}"
            ) from None


def stages_of(origin: Origin) -> Mapping[str, Mapping]:
    """Stage -> its entry in dvc.lock; of a matrix stage (train@mlp) that of the version's variant, as train."""
    stages = yaml.safe_load(origin.lock)["stages"]
    return {
        name.partition("@")[0]: e
        for name, e in stages.items()
        if name.partition("@")[2] in ("", origin.variant)
    }


def target(stage: str, origin: Origin) -> str:
    """How DVC calls the stage: train@mlp."""
    names = yaml.safe_load(origin.lock)["stages"]
    return stage if stage in names else f"{stage}@{origin.variant}"


def dvc_command(*arguments: str) -> list[str]:
    """DVC of the same installation as this program."""
    return [sys.executable, "-m", "dvc", *arguments]


def dvc(folder: Path, *arguments: str, quiet: bool = False) -> None:
    """Run DVC in the worktree."""
    run(folder, *dvc_command(*arguments), quiet=quiet)


def run(folder: Path, *command: str, quiet: bool = False) -> None:
    """Run a command in the worktree, with its own MLflow store and this program's Python.

    Raises:
        UserError: it fails.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))
    }
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment["PATH"]))
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=quiet, text=True)
    if done.returncode:
        reason = f": {done.stderr.strip().splitlines()[0]}" if quiet and done.stderr.strip() else ""
        raise UserError(f"`{shlex.join(command[-4:])}` failed in {folder}{reason}")


def report(origin: Origin, again: Mapping[str, float]) -> bool:
    """Print what differs; True if nothing does."""
    names = sorted(origin.metrics.keys() | again.keys())
    different = [n for n in names if origin.metrics.get(n, math.nan) != again.get(n, math.nan)]
    if not different:
        print(f"{origin.uri}: all {len(names)} test metrics came out the same to the last digit.")
        return bool(names)
    table = Table(title=f"{len(different)} of {len(names)} test metrics differ", box=box.SIMPLE_HEAD)
    for heading in ("", "registered", "made again"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in different:
        table.add_row(name, *(repr(values.get(name)) for values in (origin.metrics, again)))
    Console().print(table)
    here = environment()
    for name in sorted(here.keys() | origin.environment.keys()):
        if here.get(name) != origin.environment.get(name):
            print(f"{name} was {origin.environment.get(name, 'not recorded')}, is {here.get(name)}")
    return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="models:/NAME/VERSION", help="or models:/NAME@ALIAS")
    parser.add_argument("--keep", action="store_true", help="keep the worktree even if all is the same")
    options = parser.parse_args()
    try:
        sys.exit(not reproduce(options.model, options.keep))
    except UserError as error:
        sys.exit(f"flows.reproduce: {error}")
