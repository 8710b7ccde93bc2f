"""What makes a function a stage: a Prefect flow that a user's mistake ends with one message, and a command
line."""

import errno
import functools
import inspect
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import FailedRun
from prefect.flows import Flow
from prefect.states import Failed

from components.errors import UserError

PROJECT = Path(__file__).parents[1]


def stage(function: Callable) -> Flow:
    """A Prefect flow named after `function` (`train_caption` -> `train-caption`); see `_told`."""
    name = function.__name__.replace("_", "-")
    by_variant = "variant" in inspect.signature(function).parameters
    return flow(name=name, flow_run_name="{variant}" if by_variant else None)(_told(function))


def piece_task(function: Callable) -> Task:
    """A Prefect task that flows map over pieces of work, each with a `number`; see `_told`."""
    options = {"cache_policy": NO_CACHE, "task_run_name": "{piece.number}"}
    return task(name=function.__name__.replace("_", "-"), **options)(_told(function))


def _told(function: Callable) -> Callable:
    """`function`, but `UserError`, a full disk and the failure of a subflow or task end its run as a failed
    state that carries the message; anything else is a bug and keeps its traceback.
    """

    @functools.wraps(function)
    def run(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except (UserError, FailedRun) as error:
            return Failed(message=str(error))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            place = error.filename or PROJECT
            return Failed(message=f"No space left on the disk, writing {place}. Free some and run again.")

    return run


def main(stage_flow: Flow, **parameters) -> None:
    """Run a stage as a program: exit code 0, or 1 with one message, or 130 after Ctrl-C or SIGTERM."""
    # Left alone, SIGTERM would end this process, but not the temporary server that Prefect has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        state = stage_flow(**parameters, return_state=True)
    except KeyboardInterrupt:
        print(f"\n{stage_flow.name}: interrupted. `dvc repro` goes on from here.", file=sys.stderr)
        sys.exit(130)
    if not state.is_completed():
        print(f"\n{stage_flow.name} failed: {state.message}", file=sys.stderr)
        sys.exit(1)
