"""`dvc repro`, with the variants side by side where that is faster.

    python -m flows.dvc_repro
    python -m flows.dvc_repro --dry-run        # what it would cost, and what would stop it, in about a minute

DVC runs one stage after the other. The variants need nothing of each other, and without a GPU their matrices
are too small for several cores: two trainings at once take two thirds of the time of one after the other. So
each variant is trained and evaluated by a `dvc repro` of its own, with its share of the cores, and a last one
does the rest.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import Any

from components.config import Params
from components.data.watched import require_watchable
from components.program import command_line, main
from components.tracking.faults import friendly
from components.tracking.store import connect
from flows.stage import in_flow
from flows.subflow import environment_below

DVC = (sys.executable, "-m", "dvc")
REPRO = (*DVC, "--wait-for-lock", "repro")


def repro(only: Sequence[str] | None = None) -> int:
    """Bring all stages up to date; the exit code of the `dvc repro` that failed, or 0.

    Args:
        only: these variants, trained and evaluated, and what they need; nothing about the others.

    Raises:
        UserError: params.yaml is missing or wrong, DVC cannot watch data.folder, or MLflow's server does not
            answer.
    """
    params = _ready()
    variants = only or params.variants
    if (only or at_once(variants) > 1) and (code := _repro_variants(variants)):
        return code
    return 0 if only else run({"": []})


def _repro_variants(variants: Sequence[str]) -> int:
    if code := run({"": ["features"]}):
        return code
    width = at_once(variants)
    share = {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)) // width)} if width > 1 else {}
    for start in range(0, len(variants), width):
        # Single items: to look at what lies upstream, each would need it for itself alone.
        commands = {
            v: ["--single-item", f"train@{v}", f"evaluate@{v}"] for v in variants[start : start + width]
        }
        if code := run(commands, **share):
            return code
    return 0


def up_to_date(variants: Sequence[str]) -> bool:
    """Whether DVC finds nothing to do for these variants."""
    stages = [f"{stage}@{variant}" for variant in variants for stage in ("train", "evaluate")]
    return subprocess.check_output([*DVC, "status", "--json", *stages]).strip() == b"{}"


def at_once(variants: Sequence[str]) -> int:
    """How many of them are trained side by side."""
    import torch  # imports slowly

    return 1 if torch.cuda.is_available() else min(len(os.sched_getaffinity(0)), len(variants))


def rehearse() -> int:
    """The dry run; see `flows.dry_run`.

    Raises:
        UserError: as `repro`.
    """
    params = _ready()
    from flows.dry_run import dry_run

    return dry_run(at_once(params.variants))


def _ready() -> Params:
    """The parameters, once it is known that DVC can look at the data, and that the MLflow store is there: a
    server that is down is told now."""
    params = Params.load()
    require_watchable(params.data.folder)  # before DVC looks at it, and stops or passes something over
    with friendly("Opening the MLflow store"):
        connect()
    return params


def run(commands: Mapping[str, Sequence[str]], **environment: str) -> int:
    """`dvc repro` with each of these arguments at once; the first exit code that is not 0, once all have
    ended. Ctrl-C, SIGTERM or Prefect's cancelling end their stages first.

    Args:
        commands: name -> arguments. What several print, or any in a flow, whose log it becomes, is told line
            by line, under their names.
        environment: of theirs, what differs.
    """
    told = in_flow() or len(commands) > 1
    options: dict[str, Any] = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT) if told else {}
    if told:
        environment["PYTHONUNBUFFERED"] = "1"
    here = {**(environment_below() if in_flow() else os.environ), **environment}
    # In sessions of their own: Ctrl-C reaches only us.
    processes = {
        name: subprocess.Popen([*REPRO, *arguments], env=here, start_new_session=True, **options)
        for name, arguments in commands.items()
    }
    # in copies of the context, by which Prefect knows the flow whose log it is
    readers = [
        Thread(target=copy_context().run, args=(_tell, process, f"{name}: " if name else ""))
        for name, process in processes.items()
    ]
    for reader in readers:
        reader.start()
    code = wait(*processes.values())
    for reader in readers:
        reader.join()
    return code


def wait(*processes: subprocess.Popen[bytes]) -> int:
    """See `run`."""
    try:
        codes = [process.wait() for process in processes]
    except BaseException:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)  # to the stage, too, which DVC waits for
        for process in processes:
            process.wait()
        raise
    return next(filter(None, codes), 0)


def _tell(process: subprocess.Popen[bytes], name: str) -> None:
    """Print the lines of `process` under a name; of a progress bar only how it ended."""
    for line in process.stdout or ():
        if text := line.decode(errors="replace").rstrip().rsplit("\r", 1)[-1].strip():
            print(f"{name}{text.removeprefix(name)}", flush=True)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("--dry-run", action="store_true", help="run nothing; exit code 1 if it cannot work")
    main(rehearse if parser.parse_args().dry_run else repro)
