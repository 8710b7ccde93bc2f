"""The tables of docs/troubleshooting.md: what the code says when something is wrong, read from the code.

python -m docs.messages
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from components.data.prepare import quarantine, schema  # noqa: F401 (they fill RULES)
from components.data.prepare.rules import RULES

PAGE = Path(__file__).with_name("troubleshooting.md")
BEGIN = "<!-- from here on written by python -m docs.messages -->"
ROOT = PAGE.parents[1]
ERRORS = ("UserError", "NothingRegistered")
TOPICS = {
    "Parameters": ("components/config.py", "flows/use_profile.py"),
    "Data": ("components/data", "flows/prepare.py"),
    "Towers": ("components/towers",),
    "Features": ("components/features",),
    "Model": ("components/model",),
    "Training": ("components/training", "flows/train.py", "components/planning"),
    "Evaluation": ("components/evaluation", "flows/evaluate.py", "flows/compare.py"),
    "Runs and registry": ("components/tracking", "components/registry", "flows/reproduce.py"),
    "Flows, Prefect, clusters": ("flows", "components/program.py"),
}
"""Heading -> where its messages stand; the first one that has a file takes it."""


def messages(file: Path) -> Iterator[str]:
    """The errors of a file that say more than one sentence: what is wrong, and what to do."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
            continue
        said = _text(node.exc.args[0])
        telling = any(sign in said for sign in (". ", ": ", "? ")) and sum(map(str.isalpha, said)) > 20
        if telling and getattr(node.exc.func, "id", None) in ERRORS:
            yield said


def _text(node: ast.expr) -> str:
    """A string as it stands, with … for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "…"


def tables() -> str:
    """All topics, then what data are checked for."""
    lines, taken = [], set()
    for topic, places in TOPICS.items():
        files = sorted(file for place in places for file in _python(ROOT / place) if file not in taken)
        taken.update(files)
        if found := sorted({message for file in files for message in messages(file)}, key=str.lower):
            lines += ["", f"## {topic}", "", *(f"- `{message.replace('`', chr(39))}`" for message in found)]
    lines += ["", "## What data are checked for", ""]
    lines += ["| rule | what is wrong | to do |", "| --- | --- | --- |"]
    for name, rule in sorted(RULES.items()):
        lines.append(f"| `{name}` | {rule.reason} | {rule.advice} |")
    return "\n".join([*lines, ""])


def _python(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def page() -> str:
    """The page with its tables as the code has them now."""
    before, _, _ = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
