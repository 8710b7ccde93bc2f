"""Stage `prepare`: pictures and captions in one checked, canonical form.

python -m flows.prepare
"""

import os
from functools import partial
from pathlib import Path

from components.config import Params
from components.data.prepare.prepare import prepare as prepare_data
from components.errors import UserError
from components.tracking.store import project_root
from flows.parallel import Runner, at_work, map_function
from flows.paths import PREPARED, VALIDATION
from flows.stage import main, stage


@stage
def prepare() -> None:
    """Build the data set of params.yaml, check it and write it to data/prepared."""
    params = Params.load()
    data, runner = params.data, Runner.of(params.task_runner, workers=os.cpu_count() or 1)
    try:
        with at_work(runner):
            map_pieces = partial(map_function, runner)
            prepare_data(data, out=PREPARED, report=VALIDATION.parent, map_pieces=map_pieces)
    except UserError as error:
        raise UserError(f"{error}{not_copied(data.folder)}") from error


def not_copied(folder: str) -> str:
    """What to do if this is a queued DVC experiment, which lacks data that lie in the project; else ''."""
    here, there = ({path.name for path in Path(at, folder).glob("*")} for at in (Path(), project_root()))
    if not (lacking := sorted(there - here)):
        return ""
    files = " ".join(f"{folder}/{name}" for name in lacking)
    return (
        f" A queued experiment runs in a copy of what Git and DVC track. Track the data: dvc add {files} && "
        f"git add {folder}; or give data.folder as an absolute path."
    )


if __name__ == "__main__":
    main(prepare)
