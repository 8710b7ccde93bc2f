"""Map a task over pieces of work: in threads, or on a Dask or Ray cluster, as a parameter says."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from prefect import Task
from prefect.futures import as_completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from components.errors import UserError

Runner = Literal["threads", "dask", "ray"]


def task_runner(kind: Runner = "threads", address: str | None = None, workers: int = 1) -> TaskRunner | None:
    """The Prefect task runner called `kind`; None for one thread, which needs none.

    Args:
        address: of a running cluster, whose machines see this folder at this path; None makes one here.
        workers: threads, or processes of the cluster made here.

    Raises:
        UserError: the package of the runner is not installed.
    """
    if kind == "threads":
        return ThreadPoolTaskRunner(max_workers=workers) if workers > 1 else None
    try:
        return _dask(address, workers) if kind == "dask" else _ray(address, workers)
    except ImportError as error:
        raise UserError(f"task runner '{kind}': {error}. Install it: pip install -e '.[{kind}]'.") from None


def _dask(address: str | None, workers: int) -> TaskRunner:
    from prefect_dask import DaskTaskRunner

    if address:
        return DaskTaskRunner(address=address)
    return DaskTaskRunner(
        cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    )


def _ray(address: str | None, workers: int) -> TaskRunner:
    from prefect_ray import RayTaskRunner

    if address:
        return RayTaskRunner(address=address)
    return RayTaskRunner(init_kwargs={"num_cpus": workers, "include_dashboard": False})


def map_task(
    runner: TaskRunner | None,
    task: Task,
    pieces: Sequence[Any],
    finished: Callable[[int], None] = lambda i: None,
    **fixed: Any,
) -> list[Any]:
    """`task(piece, **fixed)` of every piece, on `runner`; the results in the order of `pieces`.

    Args:
        task: its first parameter is called `piece`.
        finished: called with the number of each piece when it is done.

    Raises:
        Whatever a task raised; what other tasks have finished is kept.
    """
    if not pieces:
        return []
    if runner is None:
        return [_here(task, piece, i, finished, fixed) for i, piece in enumerate(pieces)]
    with runner:
        futures = [runner.submit(task, {"piece": piece, **fixed}) for piece in pieces]
        number = {id(future): i for i, future in enumerate(futures)}
        for future in _done(runner, futures):
            future.result()
            finished(number[id(future)])
        return [future.result() for future in futures]


def _here(task: Task, piece: Any, i: int, finished: Callable[[int], None], fixed: dict[str, Any]) -> Any:
    result = task.fn(piece, **fixed)
    finished(i)
    return result


def _done(runner: TaskRunner, futures: list) -> Iterator[Any]:
    """In the order of completion where the runner can tell."""
    return as_completed(futures) if isinstance(runner, ThreadPoolTaskRunner) else iter(futures)
