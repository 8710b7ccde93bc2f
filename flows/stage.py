"""What makes a function a stage: a Prefect flow that a user's mistake ends with one message, and a command
line."""

import errno
import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from flows.server import running_server

PROJECT = Path(__file__).parents[1]

# Quiet, local and offline, unless the user decided otherwise. Before Prefect and transformers are imported.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_PLUGINS_ENABLED", "false")  # ours is for the command line
if url := running_server():
    os.environ.setdefault("PREFECT_API_URL", url)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from prefect import flow  # noqa: E402
from prefect.exceptions import FailedRun  # noqa: E402
from prefect.flows import Flow  # noqa: E402
from prefect.states import Failed  # noqa: E402

from components.errors import UserError  # noqa: E402


def stage(function: Callable) -> Flow:
    """A Prefect flow named after `function` (`train_caption` -> `train-caption`).

    `UserError`, a full disk and the failure of a subflow end it as a failed state that carries the message;
    anything else is a bug and keeps its traceback.
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

    return flow(name=function.__name__.replace("_", "-"))(run)


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
