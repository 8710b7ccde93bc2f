"""A stage that a program started by a flow runs is a subflow of it, as if the flow had called it."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.states import State

ABOVE = "CAPTIONER_FLOW_RUN"
"""In the environment: the id of the flow run that started this program."""


def environment_below() -> dict[str, str]:
    """Of programs that the flow here starts: its own, without what Prefect keeps there about this run."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT__")}
    return kept | {
        ABOVE: str(context.flow_run.id),
        "PREFECT_API_URL": str(context.client.api_url),
        # The flow here logs what they print, and puts time and name before it.
        "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(message)s",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT": "%(task_run_name)s: %(message)s",
    }


def run_flow(flow: "Flow", parameters: Mapping[str, Any]) -> "State":
    """Run `flow` below the flow run that started this program, if one did."""
    if (above := os.environ.get(ABOVE)) is None:
        return flow(**parameters, return_state=True)
    from prefect import Task, flow_engine
    from prefect.client.orchestration import get_client
    from prefect.states import Pending

    with get_client(sync_client=True) as client:
        task = Task(flow.fn, name=flow.name)  # stands for the subflow there, as where Prefect calls one
        task_run = client.create_task_run(task, UUID(above), dynamic_key=uuid4().hex, state=Pending())
        flow_run = client.create_flow_run(
            flow,
            parameters=flow.serialize_parameters(dict(parameters)),
            parent_task_run_id=task_run.id,
            state=Pending(),
        )
    return flow_engine.run_flow(flow, flow_run, return_type="state")


def failure_below() -> str | None:
    """What the newest failed subflow of the flow here failed of; None if none has failed."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.context import FlowRunContext

    here = {"any_": [FlowRunContext.get().flow_run.id]}
    failed = {"parent_flow_run_id": here, "state": {"type": {"any_": ["FAILED"]}}}
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(failed), sort=FlowRunSort.START_TIME_DESC, limit=1
        )
    return runs[0].state.message if runs else None
