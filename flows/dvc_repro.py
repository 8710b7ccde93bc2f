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
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from components.config import Params
from components.data.watched import require_watchable
from components.program import command_line, main
from components.tracking.faults import friendly
from components.tracking.store import connect

DVC = (sys.executable, "-m", "dvc", "--wait-for-lock", "repro")


def repro() -> int:
    """Bring all stages up to date; the exit code of the `dvc repro` that failed, or 0.

    Raises:
        UserError: params.yaml is missing or wrong, DVC cannot watch data.folder, or MLflow's server does not
            answer.
    """
    params, cores = Params.load(), len(os.sched_getaffinity(0))
    require_watchable(params.data.folder)  # before DVC looks at it, and stops or passes something over
    variants = params.variants
    if (width := at_once(variants)) > 1:
        with friendly("Opening the MLflow store"):  # a server that is down is told now
            connect()
        if code := wait(dvc("features")):
            return code
        for start in range(0, len(variants), width):
            if code := side_by_side(variants[start : start + width], cores // width):
                return code
    return wait(dvc())


def at_once(variants: Sequence[str]) -> int:
    """How many of them are trained side by side."""
    import torch  # imports slowly

    return 1 if torch.cuda.is_available() else min(len(os.sched_getaffinity(0)), len(variants))


def rehearse() -> int:
    """The dry run; see `flows.dry_run`.

    Raises:
        UserError: as `repro`.
    """
    params = Params.load()
    require_watchable(params.data.folder)
    with friendly("Opening the MLflow store"):
        connect()
    from flows.dry_run import dry_run

    return dry_run(at_once(params.variants))


def dvc(*targets: str, **options: Any) -> subprocess.Popen[bytes]:
    """`dvc repro TARGETS`, in a session of its own: Ctrl-C reaches only us."""
    return subprocess.Popen([*DVC, *targets], start_new_session=True, **options)


def wait(*processes: subprocess.Popen[bytes]) -> int:
    """The first exit code that is not 0, once all have ended. Ctrl-C and SIGTERM end their stages first."""
    try:
        codes = [process.wait() for process in processes]
    except KeyboardInterrupt:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)  # to the stage, too, which DVC waits for
        for process in processes:
            process.wait()
        raise
    return next(filter(None, codes), 0)


def side_by_side(variants: Sequence[str], threads: int) -> int:
    """Train and evaluate `variants` at once, each with `threads` cores; the first exit code that is not 0."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    options = dict(env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    # Single items: to look at what lies upstream, each would need it for itself alone.
    processes = [dvc("--single-item", f"train@{v}", f"evaluate@{v}", **options) for v in variants]
    readers = [threading.Thread(target=_tell, args=pair) for pair in zip(variants, processes, strict=True)]
    for reader in readers:
        reader.start()
    code = wait(*processes)
    for reader in readers:
        reader.join()
    return code


def _tell(variant: str, process: subprocess.Popen[bytes]) -> None:
    """Print the lines of `process` under the name of its variant; of a progress bar only how it ended."""
    for line in process.stdout or ():
        if text := line.decode(errors="replace").rstrip().rsplit("\r", 1)[-1].strip():
            print(f"{variant}: {text}", flush=True)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("--dry-run", action="store_true", help="run nothing; exit code 1 if it cannot work")
    main(rehearse if parser.parse_args().dry_run else repro)
