"""`prefect deployment run train-caption`: the hook acts for that command in this folder, and nowhere else."""

import logging
import os

import prefect
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.plugins import HookContext

from captioner_plugin import setup_environment

CONTEXT = HookContext(prefect_version=prefect.__version__, api_url=None, logger_factory=logging.getLogger)


@pytest.fixture
def original(monkeypatch):
    """Prefect's own method, put back afterwards."""
    method = PrefectClient.read_deployment_by_name
    monkeypatch.setattr(PrefectClient, "read_deployment_by_name", method)
    return method


def test_another_project_in_the_same_environment_is_left_alone(original, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["prefect", "deployment", "run", "x"])
    before = dict(os.environ)
    setup_environment(ctx=CONTEXT)
    assert PrefectClient.read_deployment_by_name is original and dict(os.environ) == before


def test_other_commands_are_left_alone(original, monkeypatch):
    monkeypatch.setattr("sys.argv", ["prefect", "worker", "start"])
    setup_environment(ctx=CONTEXT)
    assert PrefectClient.read_deployment_by_name is original


def test_a_prefect_that_changed_costs_a_warning(original, monkeypatch, caplog):
    monkeypatch.setattr("sys.argv", ["prefect", "deployment", "run", "train-caption"])
    for owner in PrefectClient.__mro__:
        if "read_deployment_by_name" in vars(owner):
            monkeypatch.delattr(owner, "read_deployment_by_name")
    setup_environment(ctx=CONTEXT)
    assert "wants FLOW/DEPLOYMENT" in caplog.text


@pytest.mark.parametrize(("typed", "asked"), [("a", "a/a"), ("a/b", "a/b")])
def test_a_name_stands_for_its_flow_and_deployment(original, monkeypatch, typed, asked):
    asked_for = []
    monkeypatch.setattr(PrefectClient, "read_deployment_by_name", lambda self, name: asked_for.append(name))
    monkeypatch.setattr("sys.argv", ["prefect", "deployment", "run", typed])
    setup_environment(ctx=CONTEXT)
    PrefectClient.read_deployment_by_name(None, typed)
    assert asked_for == [asked]
