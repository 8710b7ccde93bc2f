"""One training in several processes, each with a GPU of its own, or its share of the processor's cores.

    launch(2, "-m", "flows.train", "mlp")                       # from a program
    torchrun --nproc-per-node 2 -m flows.train mlp              # the same by hand

A program that is `launched()` does its share by `work`. The process that fails first speaks for all; the
others end in silence.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run
from torch.multiprocessing import _prctl_pr_set_pdeathsig

from components.errors import UserError
from components.program import told

TOLD = "CAPTIONER_LAUNCHED"
"""In the environment of processes that `launch` started: it tells what they failed of."""


def launched() -> bool:
    """Whether this process is one of a distributed training: `launch`, torchrun or accelerate started it."""
    return "LOCAL_RANK" in os.environ


def world_size() -> int:
    """How many processes train, on all machines."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Whether this is the process that writes and logs."""
    return int(os.environ.get("RANK", 0)) == 0


def launch(number: int, *command: str) -> None:
    """`torchrun --standalone --nproc-per-node NUMBER COMMAND`. What ends this process ends those before.

    Raises:
        UserError: a process's mistake, or the machine has GPUs, but not as many.
        RuntimeError: a process failed; what it printed says why.
    """
    if torch.cuda.is_available() and number > (gpus := torch.cuda.device_count()):
        raise UserError(f"train.num_processes is {number}; this machine has {gpus} GPU(s), one a process.")
    share = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // number))}
    with tempfile.TemporaryDirectory(prefix="train-") as logs:
        starter = [sys.executable, "-m", __name__, "--standalone", f"--nproc-per-node={number}"]
        process = subprocess.Popen(
            [*starter, f"--log-dir={logs}", *command],
            env=share | os.environ | {TOLD: "true"},
            start_new_session=True,  # Ctrl-C reaches this process alone, which sees to the others
        )
        try:
            code = process.wait()
        except BaseException:  # Ctrl-C, SIGTERM, or Prefect cancels
            process.terminate()
            process.wait()
            raise
        if mistakes := [text for path in Path(logs).rglob("failure") if (text := path.read_text())]:
            raise UserError(mistakes[0])
    if code:
        raise RuntimeError("A process of the training failed. What it printed says why.")


def work(function: Callable[..., None], *args: Any) -> int:
    """Call `function(*args)` as one of the processes; the exit code of one that fails in silence.

    Raises:
        Exception: whatever `function` raises, if this process is the first to fail.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Another one failed, or torchrun was stopped: the first one closes what is open, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler if is_first() else signal.SIG_DFL)
    try:
        function(*args)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        mistake = told(error)
        if not _is_first_failure(mistake) or (mistake and TOLD in os.environ):
            return 1
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
    return 0


def _is_first_failure(mistake: str | None) -> bool:
    """Whether no other process of this machine has failed; `mistake` is then left for `launch`."""
    if (file := os.environ.get("TORCHELASTIC_ERROR_FILE")) is None:
        return True
    try:
        with (Path(file).parents[1] / "failure").open("x") as failure:
            failure.write(mistake or "")
    except FileExistsError:
        return False
    return True


def torchrun() -> int | str:
    """torchrun, silent of a failure that the process itself has told; who kills `launch` ends it, too."""
    _prctl_pr_set_pdeathsig(signal.SIGTERM)
    logging.disable()
    try:
        run(parse_args(None))
    except SignalException as error:
        for forgotten in psutil.Process().children():  # the signal came while they were being started
            forgotten.kill()
        return 128 + error.sigval
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.message if failure.exitcode < 0 else 1
    return 0


if __name__ == "__main__":
    sys.exit(torchrun())
