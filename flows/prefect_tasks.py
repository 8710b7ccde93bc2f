"""Pieces of work as Prefect tasks: in threads of a flow, or on a Dask or Ray cluster."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from prefect import unmapped
from prefect.context import FlowRunContext
from prefect.futures import as_completed
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from components.errors import UserError
from flows.parallel import Bar, Runner
from flows.stage import PieceTask


def map_prefect_task(
    runner: Runner,
    task: PieceTask,
    pieces: Sequence[Any],
    sizes: Sequence[int],
    progress: Bar,
    fixed: dict[str, Any],
) -> list[Any]:
    """See `flows.parallel.map_task`. Called inside of a flow.

    The runner becomes known inside a flow run, from params.yaml or the flow's parameters: it is started here
    and not by `flow.with_options(task_runner=...)`. Its tasks belong to the flow run all the same.
    """
    local = runner.name == "threads"  # elsewhere, a bar cannot travel
    arguments = {"piece": list(pieces), "progress": unmapped(progress if local else None)}
    arguments |= {name: unmapped(value) for name, value in fixed.items()}
    with started(runner) as prefect_runner:
        futures = prefect_runner.map(task.task, arguments)
        size_of = dict(zip(futures, sizes, strict=True))
        try:
            for future in as_completed(futures):
                future.result()
                if not local:
                    progress(size_of[future])
        except BaseException:
            progress.stopped = True
            raise
        return [future.result() for future in futures]


def make_runner(runner: Runner) -> TaskRunner:
    """The Prefect task runner.

    Raises:
        UserError: its package is not installed.
    """
    address, workers = runner.address, runner.workers
    if runner.name == "threads":
        return ThreadPoolTaskRunner(max_workers=workers)
    try:
        if runner.name == "dask":
            from prefect_dask import DaskTaskRunner

            here = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
            return DaskTaskRunner(address=address, cluster_kwargs=None if address else here)
        import ray  # noqa: F401  prefect_ray looks for it only when it starts
        from prefect_ray import RayTaskRunner

        here = {"num_cpus": workers, "include_dashboard": False}
        return RayTaskRunner(address=address, init_kwargs=None if address else here)
    except ImportError as error:
        raise UserError(
            f"task runner '{runner.name}': {error}. Install it: pip install -e '.[{runner.name}]'."
        ) from None


_at_work: ContextVar[tuple[Runner, TaskRunner] | None] = ContextVar("at_work", default=None)


@contextmanager
def started(runner: Runner) -> Iterator[TaskRunner]:
    """The Prefect task runner at work: that of the `started` around this one, if there is one."""
    around = _at_work.get()
    if around and around[0] == runner:
        yield around[1]
        return
    made = make_runner(runner)
    with _started(made):
        token = _at_work.set((runner, made))
        try:
            yield made
        finally:
            _at_work.reset(token)


@contextmanager
def _started(runner: TaskRunner) -> Iterator[None]:
    """See `started`.

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
            import ray
            from prefect_ray.context import remote_options

            if ray.cluster_resources().get("GPU"):  # hidden from tasks that ask for none
                stack.enter_context(remote_options(num_gpus=1))
        yield
