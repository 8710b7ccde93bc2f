"""Which of the project's code decides an output: the files that a module imports, directly or not.

The resume of a training, the version of a registered model and dvc.yaml all ask here.
"""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("components", "flows")
"""All of the project's own code."""

HARMLESS = {
    "components/code.py": "this: whether a training goes on, not how",
    "components/config.py": "types and bounds; the values that a stage reads stand among its params",
    "components/errors.py": "the class of messages",
    "components/files.py": "how outputs are put in place, not what is in them",
    "components/program.py": "the command line, and how mistakes are told",
    "components/progress.py": "what is seen of work while it lasts",
    "components/registry": "what is registered, and found there",
    "components/tracking": "what MLflow is told",
}
"""Code that may be imported although no output depends on it, and why."""


def code_of(modules: Iterable[str], harmless: Iterable[str] = HARMLESS) -> dict[str, Path]:
    """The files of `modules` and of all that they import, functions' imports included: name -> file, sorted.

    Args:
        modules: dotted names.
        harmless: names of files and folders, relative to the project, to be left out with their imports.
    """
    waiting, found = [file for module in modules for file in files_of(module)], {}
    while waiting:
        file = waiting.pop()
        name = file.relative_to(ROOT).as_posix()
        if name not in found and not covered(name, harmless):
            found[name] = file
            waiting += [each for module in imported(file) for each in files_of(module)]
    return dict(sorted(found.items()))


def code_digest(modules: Iterable[str], harmless: Iterable[str] = HARMLESS) -> str:
    """SHA-256 of `code_of`, names and contents."""
    digest = hashlib.sha256()
    for name, file in code_of(modules, harmless).items():
        digest.update(f"{name}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def covered(name: str, places: Iterable[str]) -> bool:
    """Whether the file `name` is one of `places`, or lies in one."""
    return any(name == place or name.startswith(f"{place}/") for place in places)


def imported(file: Path) -> set[str]:
    """The project's modules that a file imports, inside functions too, where slow imports stand; but not
    those for type checkers alone.
    """
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return {name for name in names if name.split(".")[0] in PACKAGES}


def files_of(module: str) -> set[Path]:
    """The file of a module and the `__init__.py` of each package that it lies in; none for a mere name."""
    parts = module.split(".")
    paths = {ROOT.joinpath(*parts[: n + 1], "__init__.py") for n in range(len(parts))}
    paths.add(ROOT.joinpath(*parts).with_suffix(".py"))
    return {path for path in paths if path.exists()}
