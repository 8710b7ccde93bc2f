"""Which code: the commit, and what was changed since."""

import os
import subprocess
import tempfile
from pathlib import Path

from components.code import PACKAGES

CODE = (*PACKAGES, "dvc.yaml")
"""What may decide results. params.yaml and dvc.lock are kept whole with every run, so they make no tree
dirty; nor do results, which every repro writes anew.
"""


def git_tags() -> dict[str, str]:
    """Commit, branch and whether code was changed since; empty outside a repository."""
    commit = git("rev-parse", "HEAD").strip()
    if not commit:
        return {}
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": git("rev-parse", "--abbrev-ref", "HEAD").strip(),
        "git.dirty": str(bool(code_changes())).lower(),
    }


def code_changes() -> str:
    """The changes of code since the commit, new files included, as `git apply` takes them; '' if there are
    none.
    """
    code = [name for name in CODE if Path(name).exists()]
    if not code:
        return ""
    with tempfile.TemporaryDirectory() as scratch:  # an index of our own: the user's is not touched
        index = {"GIT_INDEX_FILE": f"{scratch}/index"}
        git("read-tree", "HEAD", **index)
        git("add", "--all", "--", *code, **index)
        return git("diff", "--cached", "--binary", "HEAD", "--", *CODE, **index)


def git(*arguments: str, **environment: str) -> str:
    """What git prints; '' if it fails or is not there."""
    try:
        command, variables = ["git", *arguments], os.environ | environment
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""
