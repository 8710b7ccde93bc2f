"""What a user sees of a mistake: one message, no traceback, an exit code, nothing half-written."""

import errno
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.errors import UserError
from flows.stage import Stage
from tests.parameters import TINY, merged

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the suite's params.yaml, in which stages can be run as users run them."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(TINY))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def start(project: Path, *command: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # As from a terminal: a shell that runs the tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(project: Path, *command: str) -> tuple[int, str]:
    process = start(project, *command)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def assert_told(result: tuple[int, str], *parts: str) -> None:
    code, output = result
    assert code == 1 and "Traceback" not in output, output
    for part in parts:
        assert part in output


def test_a_misspelt_key(project):
    (project / "params.yaml").write_text(yaml.safe_dump(TINY | {"maper": "mlp"}))
    assert_told(run(project, "flows.prepare"), "unknown key 'maper'", "Known here: seed, variants, data")
    assert not (project / "data").exists()


def test_a_missing_stage_output(project):
    assert_told(run(project, "flows.features"), "data/prepared", "prepare")


@pytest.fixture
def prepared(project, tables, monkeypatch) -> Path:
    """The project with its data; the current folder."""
    monkeypatch.chdir(project)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (project / "data").mkdir()
    (project / "data/prepared").symlink_to(tables.folder)
    return project


@pytest.mark.parametrize("name", ["features", "train", "evaluate"])
def test_towers_that_are_missing_are_named(name, prepared):
    with pytest.raises(UserError, match=r"^data/towers/clip/config.json: no such .* `dvc repro towers`.$"):
        program(name).run(**OF_VARIANT.get(name, {}))


@pytest.mark.parametrize("name", ["evaluate", "report", "register"])
def test_models_and_results_that_are_missing_are_named(name, prepared, towers):
    (prepared / "data/towers").symlink_to(towers)
    model = prepared / "models/mlp"
    message = r": no such file. Make it with `dvc repro train@mlp`.$"
    with pytest.raises(UserError, match=f"^models/mlp/config.json{message}"):
        program(name).run(**OF_VARIANT.get(name, {}))
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    with pytest.raises(UserError, match=f"^models/mlp/model.safetensors{message}"):
        program(name).run(**OF_VARIANT.get(name, {}))
    if name != "evaluate":
        (model / "model.safetensors").touch()
        with pytest.raises(UserError, match=r"^results/mlp/metrics.json: .*`dvc repro evaluate@mlp`.$"):
            program(name).run()


OF_VARIANT = {"train": {"variant": "mlp"}, "evaluate": {"variant": "mlp"}}


def program(name: str) -> Stage:
    """The stage of this name."""
    return getattr(importlib.import_module(f"flows.{name}"), name)


def test_a_variant_that_is_missing_or_unknown(project):
    for argument, told in ((), "required: variant"), (("cnn",), "invalid choice: 'cnn' (choose from"):
        code, output = run(project, "flows.train", *argument)
        assert code == 2 and told in output and "Traceback" not in output


def test_a_corrupt_picture(project, tables, pretrained):
    (project / "pretrained").symlink_to(pretrained)
    prepared = project / "data" / "prepared"
    shutil.copytree(tables.folder, prepared)
    victim = tables.split("val").images["image_id"][0]
    [place] = tables.slices(victim)
    with (prepared / place.file.name).open("r+b") as shard:
        shard.seek(place.offset + 60)
        shard.write(bytes(place.size - 60))
    assert_told(run(project, "flows.towers"), place.file.name, victim, "Restore it")
    assert not (project / "data" / "towers").exists()


@pytest.fixture
def endless(project) -> Iterator[subprocess.Popen]:
    """A stage that would go on for days; killed, if the test has not ended it."""
    many = {"data": {"num_images": 10_000_000}}
    (project / "params.yaml").write_text(yaml.safe_dump(merged(TINY, many)))
    process = start(project, "flows.prepare")
    yield process
    process.kill()
    process.wait()


def test_ctrl_c_leaves_nothing_half_written(project, endless):
    deadline = time.monotonic() + 90
    while not list(project.glob("data/prepared.unfinished/**/*.tar")):
        assert time.monotonic() < deadline and endless.poll() is None
        time.sleep(0.1)
    endless.send_signal(signal.SIGINT)
    output, _ = endless.communicate(timeout=60)
    assert endless.returncode == 130 and "interrupted" in output
    assert list((project / "data").iterdir()) == []


def test_an_unknown_model_and_no_picture(project):
    assert_told(run(project, "flows.caption", "nowhere.png"), "nowhere.png: no such file or folder")


def test_a_full_disk_and_a_users_mistake_end_a_flow_as_a_failed_state():
    from prefect.testing.utilities import prefect_test_harness

    from flows.stage import stage

    @stage
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "models/mlp/model.safetensors")

    @stage
    def mistaken() -> None:
        raise UserError("captions.csv: row 3: no caption.")

    @stage
    def parent() -> None:
        mistaken()

    with prefect_test_harness(server_startup_timeout=120):
        state = full.flow(return_state=True)
        assert state.is_failed() and "models/mlp/model.safetensors" in state.message
        state = parent.flow(return_state=True)
        assert state.is_failed() and state.message == "captions.csv: row 3: no caption."
