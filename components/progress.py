"""How far work has come: a bar in a terminal; elsewhere, in a log, a line a minute."""

import sys
from typing import Any

from tqdm import tqdm

SECONDS = 60  # between lines of a log


class Lines:
    """A file for `tqdm`: what would write over itself in a terminal becomes lines of stderr."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Each line was."""


def progress_bar(total: int, name: str | None, unit: str = "image") -> tqdm:
    """Of `total` units of work, called `name`; None shows nothing."""
    if name is None or sys.stderr.isatty():
        return tqdm(total=total, desc=name, unit=unit, disable=name is None)
    line = "{desc}: {n_fmt} of {total_fmt} {unit}s in {elapsed}, {remaining} to go"
    pace: dict[str, Any] = {"delay": SECONDS, "mininterval": SECONDS, "maxinterval": SECONDS}
    # `disable`: the environment may silence the bars of libraries, not these
    return tqdm(total=total, desc=name, unit=unit, file=Lines(), bar_format=line, disable=False, **pace)
