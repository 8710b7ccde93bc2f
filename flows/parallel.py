"""Map a task over pieces of work: in threads here, or on a Dask or Ray cluster, as parameters say."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, wraps
from threading import Lock
from typing import Any, Literal

from prefect import Task, unmapped
from prefect.context import FlowRunContext
from prefect.exceptions import FailedRun
from prefect.futures import as_completed
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from tqdm import tqdm

from components.errors import UserError

Runner = Literal["threads", "dask", "ray"]
Progress = Callable[[int], None]


def make_runner(kind: Runner = "threads", address: str | None = None, workers: int = 1) -> TaskRunner:
    """The Prefect task runner called `kind`.

    Args:
        address: of a running cluster, whose machines see this folder at this path; None makes one here.
        workers: threads, or processes of the cluster made here.

    Raises:
        UserError: the package of the runner is not installed, or an address was given to threads.
    """
    if kind == "threads":
        if address:
            raise UserError(f"address is '{address}', but threads have none: set task_runner to dask or ray.")
        return ThreadPoolTaskRunner(max_workers=workers)
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
    import ray  # noqa: F401  prefect_ray looks for it only when it starts
    from prefect_ray import RayTaskRunner

    if address:
        return RayTaskRunner(address=address)
    return RayTaskRunner(init_kwargs={"num_cpus": workers, "include_dashboard": False})


def map_task(
    runner: TaskRunner, task: Task, pieces: Sequence[Any], sizes: Sequence[int], **fixed: Any
) -> list[Any]:
    """`task(piece, progress=..., **fixed)` of every piece, on `runner`; the results in the order of `pieces`.

    The runner becomes known inside a flow run, from params.yaml or the flow's parameters: it is started here
    and not by `flow.with_options(task_runner=...)`. Its tasks belong to the flow run all the same.

    Args:
        sizes: how many images each piece has, for the progress bar.

    Raises:
        Whatever the first task raised that failed; what others have finished is kept.
    """
    if not pieces:
        return []
    with tqdm(total=sum(sizes), desc=task.name, unit="image") as bar, _started(runner):
        progress = Bar(bar) if isinstance(runner, ThreadPoolTaskRunner) else None  # a bar cannot travel
        futures = runner.map(
            task,
            {"piece": list(pieces), "progress": unmapped(progress)}
            | {name: unmapped(value) for name, value in fixed.items()},
        )
        size_of = dict(zip(futures, sizes, strict=True))
        try:
            for future in as_completed(futures):
                future.result()
                if progress is None:
                    bar.update(size_of[future])
        except BaseException:
            if progress is not None:
                progress.stopped = True
            raise
        return [future.result() for future in futures]


def once(load: Callable) -> Callable:
    """`load` keeps its last result for all tasks of a process; of several threads one loads, the others wait:
    two models loaded at once spoil each other, since torch's switches for that are global."""
    kept, lock = lru_cache(maxsize=1)(load), Lock()

    @wraps(load)
    def locked(*args):
        with lock:
            return kept(*args)

    return locked


@dataclass
class Bar:
    """The `progress` of tasks in this process: moves the bar, and ends the tasks once one has failed or
    Ctrl-C was pressed, where the runner would wait for them."""

    bar: tqdm
    stopped: bool = False

    def __call__(self, count: int) -> None:
        if self.stopped:
            raise FailedRun("stopped: another piece failed, or Ctrl-C was pressed")
        self.bar.update(count)


@contextmanager
def _started(runner: TaskRunner) -> Iterator[None]:
    """The runner at work.

    Processes of a cluster report to the server of this flow; else each would start one of its own.
    """
    with ExitStack() as stack:
        if not isinstance(runner, ThreadPoolTaskRunner):
            here = str(FlowRunContext.get().client.api_url)
            stack.enter_context(temporary_settings({PREFECT_API_URL: here}))
        try:
            stack.enter_context(runner)
            if runner.name == "dask":
                _ = runner.client  # connects
        except Exception as error:  # Ray raises anything
            reason = " ".join(str(error).split())
            raise UserError(f"task runner '{runner.name}' did not start: {reason}") from error
        if runner.name == "ray":
            stack.enter_context(_one_gpu_each())
        yield


def _one_gpu_each() -> AbstractContextManager:
    """Ray hides the GPUs of a cluster from tasks that ask for none."""
    import ray
    from prefect_ray.context import remote_options

    return remote_options(num_gpus=1) if ray.cluster_resources().get("GPU") else nullcontext()
