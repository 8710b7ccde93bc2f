"""A store that is down, locked or moved costs one message and nothing else."""

import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image

from components.errors import UserError
from components.tracking import send_later
from components.tracking.faults import friendly
from components.tracking.provenance import weights_digest
from components.tracking.runs import open_variant_run
from components.tracking.store import EXPERIMENT, connect, project_root
from tests.tracking_fixtures import PARAMS, enter_project

ROOT = Path(__file__).parents[2]


@pytest.fixture
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A project whose database exists already: creating one takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        folder = enter_project(tmp_path_factory.mktemp("template") / "project", patch)
        connect()
    return folder


@pytest.fixture
def project(template, tmp_path, patch):
    shutil.copytree(template, tmp_path / "project")
    return enter_project(tmp_path / "project", patch)


def test_a_locked_database_costs_one_warning_and_loses_nothing(project, caplog):
    holder = sqlite3.connect("mlruns/mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    begin = time.monotonic()
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d") as run:
        run.log_metrics({"train/loss": 1.0}, 1)
        run.log_metrics({"train/loss": 0.5}, 2)
        inside = time.monotonic() - begin
        Path("model.safetensors").write_bytes(b"weights")
        run.made(model=".")
    holder.execute("COMMIT")
    assert inside < 3
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "is locked by another process" in warnings[0]
    assert "mlruns/unsent" in warnings[0]

    assert run.run_id is None
    made = weights_digest(".")
    with open_variant_run("mlp", stage="evaluate", params=PARAMS, data="d", weights=made) as run:
        run.log_metrics({"test/CIDEr": 2.0})
    history = connect().client.get_metric_history(run.run_id, "train/loss")
    assert [point.value for point in history] == [1.0, 0.5]
    assert connect().client.get_run(run.run_id).data.metrics["test/CIDEr"] == 2.0
    assert list(Path("mlruns/unsent").iterdir()) == []


def test_a_server_that_is_down_costs_one_warning_and_send_later_delivers(project, patch, caplog, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{free.getsockname()[1]}"
    patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    patch.setenv("MLFLOW_TRACKING_URI", down)
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d") as run:
        run.log_metrics({"train/loss": 1.0}, 1)
        with pytest.raises(UserError, match="does not answer"):
            run.require_id()
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    assert f"the MLflow server {down} does not answer" in caplog.text
    assert send_later.main() == 1
    assert "does not answer" in capsys.readouterr().err

    patch.delenv("MLFLOW_TRACKING_URI")
    assert send_later.main() == 0
    assert "sent to run" in capsys.readouterr().out
    store = connect()
    (run,) = store.client.search_runs([store.experiment_id], "tags.variant = 'mlp'")
    assert (run.data.metrics["train/loss"], run.info.status) == (1.0, "FINISHED")
    assert send_later.main() == 0
    assert "Nothing is waiting" in capsys.readouterr().out


def test_an_entry_that_the_store_refuses_is_put_aside_and_the_rest_goes_on(project, caplog):
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d") as run:
        run.log_metrics({"a name with $": 1.0}, 1)
        assert run.flush()
        run.log_metrics({"train/loss": 1.0}, 2)
    assert "refused" in caplog.text
    assert connect().client.get_run(run.run_id).data.metrics["train/loss"] == 1.0
    assert "a name with $" in next(Path("mlruns/unsent").glob("*.rejected")).read_text()


def test_a_half_written_line_of_a_full_disk_does_not_block_the_rest(project):
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d") as run:
        with run.journal.path.open("a") as file:
            file.write('{"kind": "metrics", "val\n')
        run.log_metrics({"train/loss": 1.0}, 2)
    assert connect().client.get_run(run.run_id).data.metrics["train/loss"] == 1.0


def test_a_stage_that_runs_twice_is_refused(project):
    first, second = (open_variant_run("mlp", stage="train", params=PARAMS, data="d") for _ in range(2))
    with first, pytest.raises(UserError, match="twice"), second:
        pass


def test_a_project_that_was_moved_keeps_its_artifacts(project, tmp_path, patch):
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d") as run:
        run.log_text("hello", "note.txt")
    shutil.move(project, tmp_path / "moved here")
    enter_project(tmp_path / "moved here", patch)
    client = connect().client
    assert Path(client.download_artifacts(run.run_id, "note.txt")).read_text() == "hello"
    with open_variant_run("transformer", stage="train", params=PARAMS, data="d") as other:
        other.log_text("new", "note.txt")
    assert not project.exists()


def test_a_copy_of_a_project_is_a_project_of_its_own(project, tmp_path, patch):
    """`cp -r`: it has the runs of the original and their files, and writes nothing there."""
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d") as run:
        run.log_text("hello", "note.txt")
    shutil.copytree(project, tmp_path / "copy")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    enter_project(tmp_path / "copy", patch)
    with open_variant_run("transformer", stage="train", params=PARAMS, data="d") as other:
        other.log_text("new", "note.txt")
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    shutil.rmtree(project)
    client = connect().client
    notes = [
        Path(client.download_artifacts(id_, "note.txt")).read_text() for id_ in (run.run_id, other.run_id)
    ]
    assert notes == ["hello", "new"]


def test_artifacts_that_cannot_be_written_hold_nothing_up_and_are_told_once(project, patch, caplog, capsys):
    """A server, not ours, whose artifacts go to a folder that this machine cannot write."""
    nowhere = project / "no folder"
    nowhere.touch()
    elsewhere = f"sqlite:///{project / 'server.db'}"
    MlflowClient(elsewhere).create_experiment(EXPERIMENT, (nowhere / "artifacts").as_uri())
    patch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d") as run:
        run.log_text("hello", "note.txt")
        run.log_image("val/captions", Image.new("RGB", (4, 4)), 1)
        run.log_metrics({"train/loss": 1.0}, 1)
    sent = MlflowClient(elsewhere).get_run(run.run_id)
    assert (sent.data.metrics["train/loss"], sent.info.status) == (1.0, "FINISHED")
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "log_text was refused: " in warning and str(nowhere) in warning and "send_later" in warning

    assert send_later.main() == 0
    assert f"log_image was refused: Not a directory: {nowhere}" in capsys.readouterr().out
    nowhere.unlink()
    assert send_later.main() == 0
    files = {file.path for file in MlflowClient(elsewhere).list_artifacts(run.run_id)}
    assert files == {"params.yaml", "note.txt", "images"}
    assert list(Path("mlruns/unsent").iterdir()) == []


def test_two_processes_may_create_the_database_at_once(tmp_path, patch):
    enter_project(tmp_path / "project", patch)
    program = "from components.tracking.store import connect; print(connect().experiment_id)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    racers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    results = [racer.communicate() for racer in racers]
    assert [(out.strip(), err) for out, err in results] == [("1", ""), ("1", "")]


def test_a_users_tracking_uri_wins(project, tmp_path, patch):
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'mlruns' / 'mlflow.db'}?timeout=7")
    assert connect().uri.endswith("?timeout=7")
    patch.delenv("MLFLOW_TRACKING_URI")
    assert connect().uri == f"sqlite:///{project}/mlruns/mlflow.db"


def test_an_experiment_in_a_workspace_of_dvc_logs_to_the_project(project, patch):
    workspace = project / ".dvc" / "tmp" / "exps" / "tmp1234"
    workspace.mkdir(parents=True)
    patch.chdir(workspace)
    assert project_root() == project
    patch.chdir(project)
    assert project_root() == project


def test_a_deleted_experiment_is_named(project):
    store = connect()
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(UserError, match="mlflow experiments restore --experiment-id 1"):
        connect()


def test_a_database_of_another_version_is_named(project):
    with sqlite3.connect("mlruns/mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(UserError, match="made by another MLflow version"), friendly("Opening"):
        connect()


def test_a_model_whose_training_the_store_does_not_know_gets_a_run_of_its_own(project):
    """Pulled from a remote on another machine, say; the next stage adds to the same run."""
    ids = set()
    for stage in ("evaluate", "register"):
        with open_variant_run("mlp", stage=stage, params=PARAMS, data="d", weights="w") as run:
            ids.add(run.require_id())
    assert len(ids) == 1


def test_a_lost_model_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="model.safetensors: No such file.*dvc repro train"):
        weights_digest(tmp_path)
