"""Make a model version again from its code, data and parameters: are the test metrics the same?

    python -m flows.reproduce models:/clip-gpt2-captioner/3

The code is checked out into a git worktree, reproduced/NAME-VERSION, and runs there, with an MLflow store of
its own: neither your files nor your runs are touched. The exit code is 1 if any digit differs.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from components.errors import UserError
from components.program import command_line, main
from components.registry.origin import LOCK, Origin, environment, origin_of
from components.tracking.git import git
from components.tracking.names import evaluation_metrics

FOLDER = Path("reproduced")
DVC = (sys.executable, "-m", "dvc")
DATA = "prepare"
"""The stage whose outputs come from DVC's cache: what they were made from may have changed since."""

STAGES = ("towers", "features", "train", "evaluate")
"""Those that run again."""


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
    again = [targets(origin)[name] for name in STAGES]
    run(folder, *DVC, "repro", "--single-item", "--force", *again)
    results = folder / "results" / origin.variant / "metrics.json"
    same = report(origin, evaluation_metrics(json.loads(results.read_text(encoding="utf-8"))))
    if same and not keep:
        remove(folder)
    else:
        print(f"What was made lies in {folder}. Remove it with: git worktree remove --force {folder}")
    return same


def check_out(origin: Origin, folder: Path) -> None:
    """The worktree: the commit, changes that were not committed, params.yaml and dvc.lock of the version."""
    if not git("rev-parse", "--is-inside-work-tree"):
        raise UserError(f"{Path.cwd()}: no git repository, so no commit can be checked out.")
    if not git("rev-parse", "--verify", "--quiet", f"{origin.commit}^{{commit}}"):
        raise UserError(
            f"{origin.uri} was made by commit {origin.commit}, which is not in this clone. "
            "Get it: git fetch --all"
        )
    if folder.exists():
        raise UserError(f"{folder} exists already. Remove it with: git worktree remove --force {folder}")
    git("worktree", "prune")
    run(Path(), "git", "worktree", "add", "--quiet", "--detach", str(folder), origin.commit, quiet=True)
    print(f"{origin.uri}: {origin.variant}, commit {origin.commit[:12]}, in {folder}")
    if origin.changes:
        apply_changes(origin, folder)
    elif origin.dirty:
        print("The code had changes that were not committed, and they were not kept: running without them.")
    (folder / "params.yaml").write_text(origin.params, encoding="utf-8")
    (folder / LOCK).write_text(origin.lock, encoding="utf-8")


def apply_changes(origin: Origin, folder: Path) -> None:
    """The code as it was when the version was registered, though it was not committed."""
    lines = [line for line in origin.changes.splitlines() if line.startswith("diff ")]
    files = ", ".join(line.partition(" b/")[2] for line in lines)
    print(f"The code had changes that were not committed; they were kept and are applied: {files}")
    command = ["git", "apply", "--whitespace=nowarn"]
    done = subprocess.run(command, cwd=folder, input=origin.changes, text=True, capture_output=True)
    if done.returncode:
        remove(folder)
        raise UserError(f"Those changes do not fit commit {origin.commit}: {done.stderr.strip()}")


def fetch_data(origin: Origin, folder: Path) -> None:
    """The data as they were, from the DVC cache of this project or from its remote.

    Raises:
        UserError: they are in neither.
    """
    local = Path(".dvc", "config.local")  # its remotes
    if local.exists():
        (folder / local).write_text(local.read_text(encoding="utf-8"), encoding="utf-8")
    cache = subprocess.check_output([*DVC, "cache", "dir"], text=True).strip()
    run(folder, *DVC, "cache", "dir", "--local", cache, quiet=True)
    for command in ("checkout", "pull"):
        try:
            return run(folder, *DVC, command, "--force", targets(origin)[DATA], quiet=True)
        except UserError as error:
            reason = error
    remove(folder)
    outs = yaml.safe_load(origin.lock)["stages"][DATA]["outs"]
    files = ", ".join(f"{out['path']} ({out['md5']})" for out in outs)
    raise UserError(f"The data of {origin.uri} lie neither in {cache} nor in a remote: {files}. {reason}")


def targets(origin: Origin) -> dict[str, str]:
    """Stage -> how DVC calls it: {"towers": "towers", "train": "train@mlp", ...}.

    Raises:
        UserError: a stage has no entry in dvc.lock.
    """
    known = {}
    for name in yaml.safe_load(origin.lock)["stages"]:
        stage, _, variant = name.partition("@")
        if variant in ("", origin.variant):
            known[stage] = name
    if lacking := {DATA, *STAGES} - known.keys():
        raise UserError(f"{origin.uri}: its dvc.lock has no stage {', '.join(sorted(lacking))}.")
    return known


def run(folder: Path, *command: str, quiet: bool = False) -> None:
    """Run a command in the worktree with this program's Python, and without settings that lead elsewhere.

    Raises:
        UserError: it fails.
    """
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    settings["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), settings["PATH"]))
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=quiet, text=True)
    if done.returncode:
        said = f": {' '.join(done.stderr.split())}" if quiet else ""
        raise UserError(f"`{shlex.join(command)}` failed in {folder}{said}")


def remove(folder: Path) -> None:
    """The worktree and all in it."""
    git("worktree", "remove", "--force", str(folder))


def report(origin: Origin, again: Mapping[str, float]) -> bool:
    """Print what differs; True if nothing does."""
    names = sorted(origin.metrics.keys() | again.keys())
    different = [name for name in names if origin.metrics.get(name) != again.get(name)]
    if not different:
        print(f"{origin.uri}: all {len(names)} test metrics came out the same to the last digit.")
        return True
    print(f"{origin.uri}: {len(different)} of {len(names)} test metrics differ:")
    for name in different:
        print(f"{name} was {origin.metrics.get(name)}, is {again.get(name)}")
    here, there = environment(), origin.environment
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            print(f"{name} was {there.get(name, 'not recorded')}, is {here.get(name)}")
    return False


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("model", metavar="models:/NAME/VERSION", help="or models:/NAME@ALIAS")
    parser.add_argument("--keep", action="store_true", help="keep the worktree even if all is the same")
    options = parser.parse_args()
    main(lambda: not reproduce(options.model, options.keep))
