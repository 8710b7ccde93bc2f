"""One parent a configuration, one child a variant, whichever process logs; nothing lost, nothing doubled."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from components.data.tables import FRAME_COLUMNS, Tables
from components.tracking.callback import MlflowCallback
from components.tracking.provenance import pipeline_key, weights_digest
from components.tracking.runs import open_variant_run
from components.tracking.store import connect
from tests.tracking_fixtures import PARAMS, enter_project

ROOT = Path(__file__).parents[2]
DATASET = {
    "name": "prepared-train",
    "digest": "0123456789abcdef",
    "source_type": "local",
    "source": "{}",
    "schema": '{"mlflow_colspec": []}',
    "profile": "{}",
    "context": "train",
}


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def trained(tmp_path_factory, patch):
    """A project, in a folder with a space and an accent in its name, where one variant was trained."""
    enter_project(tmp_path_factory.mktemp("tracking") / "a project é", patch)
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d1", datasets=[DATASET]) as run:
        for step in range(50):
            run.log_metrics({"train/loss": 1 / (step + 1), "train/gate/attention.0": step / 100}, step)
        _validate(MlflowCallback(run, _samples(tmp_path_factory.mktemp("data"))), step=50)
        Path("model.safetensors").write_bytes(b"weights")
        run.made(model=".")
    return run


@pytest.fixture(scope="module")
def store(trained):
    return connect()


def _samples(folder: Path) -> Tables:
    frames = []
    for image_id, colour in (("a", "red"), ("b", "blue")):
        file = folder / f"{colour}.png"
        Image.new("RGB", (16, 16), colour).save(file)
        frames.append((image_id, file.name, 0, file.stat().st_size))
    images = pd.DataFrame({"image_id": ["a", "b"], "file_name": ["red.png", "blue.png"]})
    captions = pd.DataFrame({"image_id": ["a", "b"], "caption": ["a red square", "a blue square"]})
    return Tables(images, captions, folder, pd.DataFrame(frames, columns=FRAME_COLUMNS))


def _validate(callback: MlflowCallback, step: int) -> None:
    from transformers import TrainerControl, TrainerState

    class Captioner:
        def caption(self, clips, **decoding):
            return [f"{clip[0].size[0]} wide" for clip in clips]

    state, control = TrainerState(global_step=step, is_world_process_zero=True), TrainerControl()
    callback.on_log(None, state, control, logs={"eval_CIDEr": 0.5})
    callback.on_evaluate(None, state, control, model=Captioner())


def test_a_training_leaves_everything_in_its_run(trained, store):
    run = store.client.get_run(trained.run_id)
    assert (run.info.run_name, run.info.status) == ("mlp on data d1 (seed 0)", "FINISHED")
    assert run.data.params["train.learning_rate"] == "0.003"
    assert (run.data.params["mapper"], run.data.params["resampler"]) == ("mlp", "true")
    assert run.data.metrics["eval/CIDEr"] == 0.5
    assert len(store.client.get_metric_history(trained.run_id, "train/loss")) == 50
    assert any(name.startswith("system/") for name in run.data.metrics)
    assert run.data.tags["data"] == "d1"
    assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == [DATASET["digest"]]
    files = {file.path for file in store.client.list_artifacts(trained.run_id)}
    assert files >= {"params.yaml", "val_captions.json", "images"}
    table = json.loads(Path(store.client.download_artifacts(trained.run_id, "val_captions.json")).read_text())
    assert table["data"][0] == [50, "a", "16 wide", "a red square"]


def test_all_lies_under_mlruns_and_a_bare_mlflow_finds_it(trained, store):
    assert {path.name for path in Path().iterdir()} == {"mlruns", "model.safetensors"}
    Path("mlflow.db").symlink_to("mlruns/mlflow.db")
    try:
        look = "import mlflow; print(*mlflow.search_runs(experiment_names=['clip-gpt2-captioner']).run_id)"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", look], capture_output=True, text=True, check=True
        )
        assert trained.run_id in done.stdout
    finally:
        Path("mlflow.db").unlink()


def test_nothing_waits_when_the_store_answered(trained):
    assert list(Path("mlruns/unsent").iterdir()) == []
    assert list(Path("mlruns/unfinished").iterdir()) == []


def test_another_process_adds_to_the_same_run(trained, store):
    before = store.client.get_run(trained.run_id).info
    program = (
        "from components.tracking.runs import open_variant_run\n"
        "from components.tracking.provenance import weights_digest\n"
        "from tests.tracking_fixtures import PARAMS\n"
        "made = weights_digest('.')\n"
        "with open_variant_run('mlp', stage='evaluate', params=PARAMS, data='d1', weights=made) as run:\n"
        "    run.log_metrics({'test/CIDEr': 1.25})\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, env=_environment()
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    after = store.client.get_run(trained.run_id)
    assert after.data.metrics["test/CIDEr"] == 1.25
    assert (after.info.status, after.info.end_time) == (before.status, before.end_time)


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_variants_share_a_parent_and_a_second_training_gets_a_run_of_its_own(trained, store):
    for variant in ("transformer", "mlp"):
        with open_variant_run(variant, stage="train", params=PARAMS, data="d1") as run:
            pass
        assert run.run_id
    runs = store.client.search_runs([store.experiment_id], f"tags.pipeline = '{pipeline_key(PARAMS, 'd1')}'")
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1
    assert sorted(run.data.params["variant"] for run in children) == ["mlp", "mlp", "transformer"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}


def test_other_decoding_parameters_get_runs_that_bring_the_training_along(trained, store):
    changed = PARAMS | {"evaluate": {"num_beams": 7}}
    ids, made = [], weights_digest(".")
    for stage in ("evaluate", "register"):
        with open_variant_run("mlp", stage=stage, params=changed, data="d1", weights=made) as run:
            run.log_metrics({f"test/{stage}": 2.0})
        ids.append(run.run_id)
    assert ids[0] == ids[1] != trained.run_id
    fork = store.client.get_run(ids[0])
    assert fork.data.params["evaluate.num_beams"] == "7"
    assert fork.data.tags["trained_in_run"] == trained.run_id
    assert len(store.client.get_metric_history(ids[0], "train/loss")) == 50
    assert fork.info.status == "FINISHED"
    assert store.client.get_run(trained.run_id).data.params["evaluate.num_beams"] == "2"
    assert "test/evaluate" not in store.client.get_run(trained.run_id).data.metrics


def test_an_interrupted_training_goes_on_in_its_run_and_keeps_its_parameters(trained, store):
    with (
        pytest.raises(KeyboardInterrupt),
        open_variant_run("mlp", stage="train", params=PARAMS, data="d2") as first,
    ):
        first.log_params({"data/captions": 5})
        raise KeyboardInterrupt
    assert store.client.get_run(first.run_id).info.status == "KILLED"
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d2") as second:
        second.log_params({"data/captions": 6, "data/faults": 0})
    assert second.run_id == first.run_id
    run = store.client.get_run(first.run_id)
    assert run.info.status == "FINISHED"
    assert (run.data.params["data/captions"], run.data.params["data/faults"]) == ("5", "0")
    assert not list(Path("mlruns/unsent").glob("*.rejected"))


def test_kill_9_loses_nothing(trained, store):
    program = (
        "import os, time\n"
        "from components.tracking.runs import open_variant_run\n"
        "from tests.tracking_fixtures import PARAMS\n"
        "with open_variant_run('mlp', stage='train', params=PARAMS, data='d3') as run:\n"
        "    run.log_metrics({'train/loss': 1.0}, 1)\n"
        "    assert run.flush()\n"
        "    run.log_metrics({'train/loss': 0.5}, 2)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=_environment())
    assert done.returncode == -9
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d3") as run:
        run.log_metrics({"train/loss": 0.25}, 3)
    history = store.client.get_metric_history(run.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5), (3, 0.25)]


def test_logging_takes_no_time(trained):
    made = weights_digest(".")
    with open_variant_run("mlp", stage="evaluate", params=PARAMS, data="d1", weights=made) as run:
        begin = time.perf_counter()
        for step in range(300):
            run.log_metrics({"test/speed": step}, step)
        each = (time.perf_counter() - begin) / 300
    assert each < 0.002  # 0.05 ms on an idle machine; a call that waits for the database takes 14 ms
