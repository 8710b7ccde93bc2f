"""What makes a function a stage: a command that a user's mistake ends with one message.

It is plain Python, and a Prefect flow where a server is there to show it.
"""

import errno
import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError, validate_call

from components.errors import UserError

if TYPE_CHECKING:
    from prefect import Flow, Task

PROJECT = Path(__file__).parents[1]


class NeedsFlow(Exception):
    """Raised by a stage that runs as it stands, about what Prefect alone can do."""


class Stage:
    """A function that can be run as it stands, or as a Prefect flow of its name (`train_caption` ->
    `train-caption`).

    Called inside of a flow, it is a subflow. Prefect takes a second to import, and is imported only then.
    """

    def __init__(self, function: Callable) -> None:
        functools.update_wrapper(self, function)
        self.name = function.__name__.replace("_", "-")
        self.function = validate_call(function)

    @cached_property
    def flow(self) -> "Flow":
        """The Prefect flow; a mistake ends its run as a failed state."""
        from prefect import flow

        by_variant = "variant" in inspect.signature(self.__wrapped__).parameters
        options = {"name": self.name, "flow_run_name": "{variant}" if by_variant else None}
        return flow(**options)(_ending_in_a_state(self.__wrapped__))

    def __call__(self, *args, **kwargs) -> Any:
        return (self.flow if in_flow() else self.function)(*args, **kwargs)

    def run(self, **parameters) -> str | None:
        """Run it; None, or what a user is told of its failure.

        A flow if there is a server. If it turns out that one is needed, it is run anew, as a flow on a server
        that Prefect starts for as long.
        """
        if not has_server():
            try:
                self.function(**parameters)
                return None
            except NeedsFlow:
                pass
            except Exception as error:
                if (message := told(error)) is None:
                    raise
                return message
        state = self.flow(**parameters, return_state=True)
        return None if state.is_completed() else state.message


def stage(function: Callable) -> Stage:
    """The decorator."""
    return Stage(function)


def piece_task(function: Callable) -> "PieceTask":
    """The decorator of what `flows.parallel.map_task` maps over pieces of work, each with a `number`."""
    return PieceTask(function)


class PieceTask:
    """A function that can be called as it stands or be run as a Prefect task."""

    def __init__(self, function: Callable) -> None:
        functools.update_wrapper(self, function)
        self.name = function.__name__.replace("_", "-")

    @cached_property
    def task(self) -> "Task":
        """The Prefect task."""
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        options = {"name": self.name, "cache_policy": NO_CACHE, "task_run_name": "{piece.number}"}
        return task(**options)(_ending_in_a_state(self.__wrapped__))

    def __call__(self, *args, **kwargs) -> Any:
        return self.__wrapped__(*args, **kwargs)


def has_server() -> bool:
    """Whether a Prefect server is there to show a flow: that of flows.serve, or one of the user's own."""
    return bool(os.environ.get("PREFECT_API_URL"))  # `flows` has set it, if its server runs


def in_flow() -> bool:
    """Whether a Prefect flow is running here."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def told(error: Exception) -> str | None:
    """What a user is told of a mistake or a full disk; None of a bug, which keeps its traceback."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ValidationError):  # of a stage's parameters
        faults = [(".".join(map(str, fault["loc"])), fault) for fault in error.errors()]
        return "; ".join(f"{name} is {fault['input']!r}: {fault['msg']}" for name, fault in faults)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        place = error.filename or PROJECT
        return f"No space left on the disk, writing {place}. Free some and run again."
    return None


def _ending_in_a_state(function: Callable) -> Callable:
    """`function`, but what a user is told, and the failure of a subflow or task, end its run as a failed
    state that carries the message."""
    from prefect.exceptions import FailedRun
    from prefect.states import Failed

    @functools.wraps(function)
    def run(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception as error:
            message = str(error) if isinstance(error, FailedRun) else told(error)
            if message is None:
                raise
            return Failed(message=message)

    return run


def main(program: Stage, **parameters) -> None:
    """Run a stage as a program: exit code 0, or 1 with one message, or 130 after Ctrl-C or SIGTERM."""
    # Left alone, SIGTERM would end this process, but not what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        message = program.run(**parameters)
    except KeyboardInterrupt:
        print(f"\n{program.name}: interrupted. `dvc repro` goes on from here.", file=sys.stderr)
        sys.exit(130)
    if message is not None:
        print(f"\n{program.name} failed: {message}", file=sys.stderr)
        sys.exit(1)
