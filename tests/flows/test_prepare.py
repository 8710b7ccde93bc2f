"""The stage `prepare` in pieces: the same bytes on every task runner, and after a kill it goes on."""

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from filelock import FileLock
from PIL import Image
from prefect.testing.utilities import prefect_test_harness

from components.config import Params
from components.data import shards
from components.data.prepare.prepare import prepare
from components.data.sources.base import Source
from components.data.tables import read_tables
from components.errors import UserError
from flows import prepare as stage
from tests.parameters import TINY, merged

pytestmark = pytest.mark.slow

PIECE = 64


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Pictures, one of them damaged, and their captions, in raw/; the current folder."""
    (tmp_path / "raw").mkdir()
    data, rng = io.BytesIO(), np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8)).resize((800, 600)).save(data, "JPEG")
    names = [f"{number}.jpg" for number in range(6 * PIECE + 5)]
    for name in names:  # what follows the end of a JPEG makes it another file and the same picture
        (tmp_path / "raw" / name).write_bytes(data.getvalue() + name.encode())
    (tmp_path / "raw" / names[70]).write_bytes(data.getvalue()[:2000])
    captions = [f"picture number {number}" for number in range(len(names))]
    pd.DataFrame({"image": names, "caption": captions}).to_csv(tmp_path / "raw" / "captions.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of pictures that are decoded, as they are."""
    names, ingest = [], Source.ingest

    def listed(self, place, scratch):
        names.append(place.file.name)
        return ingest(self, place, scratch)

    monkeypatch.setattr(Source, "ingest", listed)
    return names


def settings(on_invalid="quarantine", images=".", **task_runner) -> None:
    data = {"source": "table", "annotations": "captions.csv", "images": images, "on_invalid": on_invalid}
    Path("params.yaml").write_text(yaml.safe_dump(merged(TINY, {"data": data, "task_runner": task_runner})))


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_two_workers_of_a_cluster_prepare_the_same_as_threads(runner, project, monkeypatch):
    pytest.importorskip(f"prefect_{runner}", reason=f"needs pip install -e '.[{runner}]'")
    monkeypatch.setattr(shards, "SHARD_SIZE", 4_000_000)
    monkeypatch.setenv("RAY_worker_niceness", "0")
    settings(workers=2)
    stage.prepare.run()
    with_threads = content("data/prepared")
    assert sum(name.endswith(".tar") for name in with_threads) > 2
    settings(name=runner, workers=2)
    with prefect_test_harness(server_startup_timeout=300):
        state = stage.prepare.flow(return_state=True)
    assert state.is_completed(), state.message
    assert content("data/prepared") == with_threads


def test_a_killed_run_goes_on_and_decodes_no_finished_piece_again(project, decoded):
    settings()
    run = subprocess.Popen([sys.executable, "-m", "flows.prepare"], start_new_session=True)
    found = Path("data/prepared.unfinished/scratch/found")
    while len(finished := list(found.glob("*.parquet"))) < 2:
        assert run.poll() is None
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not Path("data/prepared").exists() and len(finished) < 7
    stage.prepare.run()
    assert 0 < len(decoded) <= 6 * PIECE + 5 - 2 * PIECE
    assert not Path("data/prepared.unfinished").exists()
    prepare(Params.load().data, "data/anew", "reports/anew")
    assert content("data/anew") == content("data/prepared")


def test_after_a_fault_only_pieces_that_have_changed_are_decoded_again(project, decoded):
    settings(on_invalid="fail")
    with pytest.raises(UserError, match="row 72: image-unreadable"):
        stage.prepare.run()
    assert len(decoded) == 6 * PIECE + 5
    decoded.clear()
    Path("raw/70.jpg").write_bytes(Path("raw/71.jpg").read_bytes() + b"70")
    stage.prepare.run()
    assert sorted(decoded) == sorted(f"{n}.jpg" for n in range(PIECE, 2 * PIECE))


def test_two_runs_at_once_do_not_spoil_each_other(project):
    settings()
    lock = FileLock(Path("data/prepared.unfinished/scratch/lock"))
    with lock, pytest.raises(UserError, match="another run is at work"):
        stage.prepare.run()


def test_an_archive_that_was_replaced_after_a_fault_is_unpacked_again(project):
    settings(on_invalid="fail", images="pictures.zip")

    def write(damaged: bytes) -> None:
        with zipfile.ZipFile("raw/pictures.zip", "w") as archive:
            for path in Path("raw").glob("*.jpg"):
                archive.writestr(path.name, damaged if path.name == "70.jpg" else path.read_bytes())

    write(Path("raw/71.jpg").read_bytes()[:-1000])
    with pytest.raises(UserError, match="row 72: image-unreadable"):
        stage.prepare.run()
    mended = Path("raw/71.jpg").read_bytes() + b"mended"
    write(mended)
    stage.prepare.run()
    assert read_tables("data/prepared").slices("70.jpg")[0].read() == mended
