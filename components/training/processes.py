"""One training in several processes, each with a GPU of its own, or its share of the processor's cores.

    launch(2, train, "mlp")               # from a program, with torchrun's machinery
    torchrun --nproc-per-node 2 -m ...    # by hand: the module calls work(train, "mlp") if `launched()`

The process that fails first speaks for all: its exception is raised, or printed; the others end in silence.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from components.errors import UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Those that torchrun's agent takes for itself."""


def launched() -> bool:
    """Whether this process is one of a distributed training: torchrun, accelerate or `launch` started it."""
    return "LOCAL_RANK" in os.environ


def world_size() -> int:
    """How many processes train, on all machines."""
    return int(os.environ.get("WORLD_SIZE", 1))


def share_of_batch(batch_size: int, accumulation_steps: int = 1) -> int:
    """Examples that a process sees at a time, so that all together see `batch_size` in a step.

    Raises:
        UserError: they cannot be divided.
    """
    if batch_size % (world_size() * accumulation_steps):
        raise UserError(
            f"train.batch_size is {batch_size}: it cannot be divided among {world_size()} processes with "
            f"train.gradient_accumulation_steps {accumulation_steps}."
        )
    return batch_size // (world_size() * accumulation_steps)


def is_first() -> bool:
    """Whether this is the process that writes and logs."""
    return int(os.environ.get("RANK", 0)) == 0


def launch(number: int, function: Callable[..., None], *args: Any) -> None:
    """Call `function(*args)` in each of `number` new processes, joined as by `torchrun --standalone`.

    A signal ends them all and then has the effect that it would have had here.

    Raises:
        UserError: the machine has GPUs, but not as many.
        Exception: the first one that any of the processes raised.
    """
    if torch.cuda.is_available() and number > (gpus := torch.cuda.device_count()):
        raise UserError(f"train.num_processes is {number}; this machine has {gpus} GPU(s), one a process.")
    with tempfile.TemporaryDirectory(prefix="train-") as scratch, _signals_handed_on():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=number,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=scratch),
        )
        try:
            elastic_launch(config, _call)(function, *args)
        except ChildFailedError:
            for failure in Path(scratch).rglob("failure"):
                raise pickle.loads(failure.read_bytes()) from None
            raise


def work(function: Callable[..., None], *args: Any) -> None:
    """Call `function(*args)` as one of the processes that torchrun started; exit with 1 after a failure."""
    try:
        _call(function, *args)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not getattr(error, "speaks", False):
            sys.exit(1)
        if isinstance(error, UserError):
            sys.exit(f"\n{function.__name__} failed: {error}")
        raise


def _call(function: Callable[..., None], *args: Any) -> None:
    """What each process does."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, os.cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    if is_first():  # another one failed, or torchrun was stopped: close what is open, as after Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        function(*args)
    except Exception as error:
        error.speaks = _is_first_failure(error)
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _is_first_failure(error: Exception) -> bool:
    """Whether no other process of this machine has failed; `error` is then kept for `launch` to raise."""
    path = Path(os.environ.get("TORCHELASTIC_ERROR_FILE", "/none")).parent.parent / "failure"
    if not isinstance(error, UserError):
        error.add_note("".join(traceback.format_exception(error)))  # a traceback does not pass a process
    try:
        with path.open("xb") as file:
            pickle.dump(error, file)
    except FileExistsError:
        return False
    return True


@contextmanager
def _signals_handed_on() -> Iterator[None]:
    """Afterwards no process is left, and signals are given back to whom they belong; one that came, too."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    children = set(multiprocessing.active_children())
    received = None
    try:
        yield
    except SignalException as error:
        received = error.sigval
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
        for child in set(multiprocessing.active_children()) - children:  # a signal that comes while torchrun
            child.terminate()  # starts them makes it forget them
            child.join()
    if received is not None:
        signal.raise_signal(received)
        raise KeyboardInterrupt
