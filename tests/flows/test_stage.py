"""A stage is plain Python by itself: nothing of Prefect, and of MLflow only what it needs."""

import errno
import json
import subprocess
import sys

import pytest
from PIL import Image

from components.config import Variant
from components.errors import UserError
from components.model import CaptionModel, CaptionProcessor
from flows.artifacts import versions_artifact
from flows.parallel import Runner, map_task
from flows.stage import NeedsFlow, Stage, in_flow, main, piece_task, stage
from tests.flows_fixtures import ROOT, environment

RUN = """
import runpy, sys
module, *sys.argv = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__")
finally:
    print(*sorted({"prefect", "mlflow"} & sys.modules.keys()), file=sys.stderr)
"""


@stage
def careful(number: int = 0, variant: Variant = "mlp") -> int:
    """Fails in each way that a stage can."""
    if number == 1:
        raise UserError("captions.csv: row 3: no caption.")
    if number == 2:
        raise OSError(errno.ENOSPC, "No space left on device", "models/mlp/model.safetensors")
    return 1 // (number - 3)


@pytest.fixture(autouse=True)
def without_a_server(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def test_a_command_captions_without_prefect_and_a_folder_without_mlflow(pretrained, tmp_path):
    clip, gpt2 = pretrained / "clip", pretrained / "gpt2"
    model = CaptionModel.from_towers(clip, gpt2)
    model.processor = CaptionProcessor.from_towers(clip, gpt2)
    model.save_pretrained(tmp_path / "model")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    command = [sys.executable, "-c", RUN, "flows.caption", "caption", "a.png", "--model", "model"]
    code = environment(ROOT)
    done = subprocess.run(command, cwd=tmp_path, env=code, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image"] == "a.png"
    assert done.stderr.splitlines()[-1] == "", "imported although nothing needs it"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "model"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"number": 1}, "captions.csv: row 3: no caption."),
        ({"number": 2}, "No space left on the disk, writing models/mlp/model.safetensors. Free some and"),
        ({"variant": "cnn"}, "variant is 'cnn': Input should be 'mlp', 'transformer'"),
    ],
)
def test_a_mistake_ends_a_command_with_one_message(parameters, message, capsys):
    with pytest.raises(SystemExit, match="1"):
        main(careful, **parameters)
    told = capsys.readouterr().err
    assert told.partition(": ")[2].startswith(message) and told.startswith("\n") and told.count("\n") == 2
    main(careful, number=0)


def test_what_prefect_alone_can_do_is_run_anew_as_a_flow(monkeypatch):
    from prefect.states import Failed

    @stage
    def on_a_cluster() -> None:
        map_task(Runner("dask"), piece_task(lambda piece, progress: piece), [1], [1])

    with pytest.raises(NeedsFlow, match="the task runner is 'dask'"):
        on_a_cluster()
    monkeypatch.setattr(Stage, "flow", lambda self, return_state: Failed(message="it was a flow"))
    with pytest.raises(UserError, match="^it was a flow$"):
        on_a_cluster.run()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/api", "http://nowhere.invalid/api", "nonsense"])
def test_a_server_that_does_not_answer_is_told_at_once(url, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", url)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(UserError, match=f"PREFECT_API_URL is {url}: no Prefect server answers there .*unset"):
        careful.run()


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        careful.run(number=3)


def test_a_stage_in_a_stage_is_a_call_and_its_mistake_that_of_both():
    @stage
    def outer(number: int) -> None:
        assert not in_flow()
        careful(number)

    with pytest.raises(UserError, match="^captions.csv: row 3: no caption.$"):
        outer.run(number=1)
    assert careful(0) == -1


def test_artifacts_are_for_flows_alone():
    assert versions_artifact("captioner", {"mlp": {"version": 1}}) is None


@pytest.mark.parametrize("workers", [1, 3])
def test_results_of_threads_stand_in_the_order_of_the_pieces(workers):
    @piece_task
    def double(piece, progress, *, by):
        progress(1)
        return piece * by

    assert map_task(Runner(workers=workers), double, [3, 1, 2], [1, 1, 1], by=2) == [6, 2, 4]
    assert map_task(Runner(workers=workers), double, [], []) == []


def test_a_temporary_server_that_does_not_come_up_in_time_is_one_message(tmp_path):
    (tmp_path / "demo.py").write_text(
        "from flows.stage import NeedsFlow, in_flow, main, stage\n\n"
        "@stage\ndef demo() -> None:\n    if not in_flow():\n        raise NeedsFlow('a cluster')\n\n"
        "main(demo)\n"
    )
    limited = environment(tmp_path) | {
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(tmp_path / ".prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "1",
    }
    command = [sys.executable, "demo.py"]
    done = subprocess.run(command, cwd=tmp_path, env=limited, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "Prefect's temporary server did not come up in time" in done.stderr
