"""What makes a function a stage: a command that a user's mistake ends with one message.

It is plain Python, and a Prefect flow where a server is there to show it.
"""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from pydantic import validate_call

from components.errors import UserError
from components.program import command_line, told
from components.program import main as run_program
from flows.server_address import require_answer
from flows.subflow import run_flow

if TYPE_CHECKING:
    from prefect import Flow, Task


class NeedsFlow(Exception):
    """Raised by a stage that runs as it stands, about what Prefect alone can do."""


class Stage:
    """Decorates a function that can be run as it stands, or as a Prefect flow of its name (`train_caption` ->
    `train-caption`).

    Called inside of a flow, it is a subflow. Prefect takes a second to import, and is imported only then.
    """

    def __init__(self, function: Callable) -> None:
        functools.update_wrapper(self, function)
        self.name = function.__name__.replace("_", "-")
        self.unchecked, self.function = function, validate_call(function)

    @cached_property
    def flow(self) -> "Flow":
        """The Prefect flow; a mistake ends its run as a failed state."""
        from prefect import flow

        by_variant = "variant" in inspect.signature(self).parameters
        options = {"name": self.name, "flow_run_name": "{variant}" if by_variant else None}
        return flow(**options)(_ending_in_a_state(self.unchecked))

    def __call__(self, *args, **kwargs) -> Any:
        return (self.flow if in_flow() else self.function)(*args, **kwargs)

    def run(self, **parameters: Any) -> None:
        """Run it, as a flow if there is a server. If it turns out that one is needed, it is run anew, on a
        server that Prefect starts for as long.

        Raises:
            UserError: the flow failed, or the server does not answer.
        """
        # the server of flows.prefect_server, which `flows` has found, or one of the user's own
        if url := os.environ.get("PREFECT_API_URL"):
            require_answer(url)
        else:
            try:
                self.function(**parameters)
                return
            except NeedsFlow:
                pass
        with _temporary_server_in_time():
            state = run_flow(self.flow, parameters)
        if not state.is_completed():
            raise UserError(state.message)


class PieceTask:
    """Decorates what `flows.parallel.map_task` maps over pieces of work, each with a `number`: a function
    that can be called as it stands or be run as a Prefect task.
    """

    def __init__(self, function: Callable) -> None:
        functools.update_wrapper(self, function)
        self.name, self.function = function.__name__.replace("_", "-"), function

    @cached_property
    def task(self) -> "Task":
        """The Prefect task."""
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        options = {"name": self.name, "cache_policy": NO_CACHE, "task_run_name": "{piece.number}"}
        return task(**options)(_ending_in_a_state(self.function))

    def __call__(self, *args, **kwargs) -> Any:
        return self.function(*args, **kwargs)


stage, piece_task = Stage, PieceTask


def in_flow() -> bool:
    """Whether a Prefect flow is running here."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


@contextmanager
def _temporary_server_in_time() -> Iterator[None]:
    """Around a flow, whose own mistakes end in its state.

    Raises:
        UserError: the server that Prefect starts for a flow without one did not come up.
    """
    try:
        yield
    except RuntimeError as error:
        if "ephemeral" not in str(error):
            raise
        raise UserError(
            "Prefect's temporary server did not come up in time: the machine is busy, or the messages above "
            "say why. Run again with more seconds, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=600, or "
            "with a server that is up before: python -m flows.prefect_server COMMAND."
        ) from None


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


def main(program: Stage, **parameters: Any) -> None:
    """Run a stage as a program, see `components.program.main`; its parameters without a default are read from
    the command line unless they are given.
    """
    run_program(program.run, **(parameters or parameters_of(program)))


def parameters_of(program: Stage) -> dict[str, str]:
    """The parameters without a default, from the command line."""
    parser = command_line(sys.modules[program.__module__].__doc__)
    for name, parameter in inspect.signature(program).parameters.items():
        if parameter.default is parameter.empty:
            parser.add_argument(name, choices=get_args(parameter.annotation) or None)
    return vars(parser.parse_args())
