"""Map a task over pieces of work: in threads here, or on a Dask or Ray cluster, as parameters say."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, wraps
from threading import Lock
from typing import Any, Literal

from tqdm import tqdm

from components.config import TaskRunnerParams
from components.errors import UserError
from components.progress import progress_bar
from flows.stage import NeedsFlow, PieceTask, in_flow, piece_task

RunnerName = Literal["threads", "dask", "ray"]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Runner:
    """Where pieces are worked on.

    Attributes:
        address: of a running cluster, whose machines see this folder at this path; None makes one here.
        workers: threads, or processes of the cluster made here.

    Raises:
        UserError: an address was given to threads.
    """

    name: RunnerName = "threads"
    address: str | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if self.name == "threads" and self.address:
            raise UserError(
                f"address is '{self.address}', but threads have none: take the task runner dask or ray."
            )

    @classmethod
    def of(cls, settings: TaskRunnerParams, workers: int) -> "Runner":
        """As params.yaml says, with so many `workers` where it does not."""
        return cls(settings.name, settings.address, settings.workers or workers)


@dataclass
class Bar:
    """The `progress` of tasks in this process: moves the bar, and ends the tasks once one has failed or
    Ctrl-C was pressed, where their threads would be waited for."""

    bar: tqdm
    stopped: bool = False

    def __call__(self, count: int) -> None:
        if self.stopped:
            raise UserError("stopped: another piece failed, or Ctrl-C was pressed")
        self.bar.update(count)


def map_task(
    runner: Runner, task: PieceTask, pieces: Sequence[Any], sizes: Sequence[int], **fixed: Any
) -> list[Any]:
    """`task(piece, progress=..., **fixed)` of every piece, on `runner`; the results in the order of `pieces`.

    Threads do without Prefect; inside of a flow the pieces are Prefect tasks.

    Args:
        sizes: how many images each piece has, for the progress bar.

    Raises:
        NeedsFlow: a cluster outside of a flow. Otherwise whatever the first task raised that failed; what
            others have finished is kept.
    """
    if not pieces:
        return []
    _require_flow(runner)
    with progress_bar(sum(sizes), task.name) as bar:
        progress = Bar(bar)
        if in_flow():
            from flows.prefect_tasks import map_prefect_task

            return map_prefect_task(runner, task, pieces, sizes, progress, fixed)
        with ThreadPoolExecutor(runner.workers) as pool:
            futures = [pool.submit(task, piece, progress=progress, **fixed) for piece in pieces]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                progress.stopped = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [future.result() for future in futures]


def map_function(
    runner: Runner, function: Callable, pieces: Sequence[Any], sizes: Sequence[int], **fixed: Any
) -> list[Any]:
    """`map_task` of a function that is not marked as one: `components.data.prepare.pieces.MapPieces`."""
    return map_task(runner, piece_task(function), pieces, sizes, **fixed)


@contextmanager
def at_work(runner: Runner) -> Iterator[None]:
    """A cluster that is made here serves all `map_task` inside, which else makes one each.

    Raises:
        NeedsFlow: a cluster outside of a flow.
    """
    _require_flow(runner)
    if runner.name == "threads":
        yield
        return
    from flows.prefect_tasks import started

    with started(runner):
        yield


def _require_flow(runner: Runner) -> None:
    if runner.name != "threads" and not in_flow():
        raise NeedsFlow(f"the task runner is '{runner.name}', which works for Prefect's flows alone")


def once(load: Callable) -> Callable:
    """`load` keeps its last result for all tasks of a process; of several threads one loads, the others wait:
    two models loaded at once spoil each other, since torch's switches for that are global."""
    kept, lock = lru_cache(maxsize=1)(load), Lock()

    @wraps(load)
    def locked(*args):
        with lock:
            return kept(*args)

    return locked
