"""Features and captions on every task runner: the same bytes, wherever a piece is computed."""

import json
import threading
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from prefect.testing.utilities import prefect_test_harness

from components.config import Params
from components.data.tables import read_tables
from components.errors import UserError
from components.features.live import LiveFeatures
from components.model import CaptionModel, CaptionProcessor
from flows import caption as captions
from flows import features as stage
from flows.caption_batches import Batch
from flows.parallel import Runner, map_task
from flows.prefect_tasks import make_runner
from flows.stage import piece_task
from flows.stage import stage as as_stage
from tests.parameters import TINY, merged

pytestmark = pytest.mark.slow

SHARD = 120  # rows: the 400 pictures become four shards
CLUSTERS = ("ray", "dask")


@pytest.fixture(scope="module")
def server():
    """One Prefect server for the module."""
    with prefect_test_harness(server_startup_timeout=300):
        yield


@pytest.fixture
def project(tables, towers, tmp_path, monkeypatch, server):
    """A project folder with data and towers; the current folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prepared").symlink_to(tables.folder)
    (tmp_path / "data" / "towers").symlink_to(towers)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def compute(project, monkeypatch):
    """Runs the stage `features` with these settings; what the store holds then."""
    monkeypatch.setattr(stage.plan_shards, "__defaults__", (SHARD, 1))

    def run(cache=True, **task_runner) -> dict[str, bytes]:
        changes = {"features": {"cache": cache}, "task_runner": task_runner}
        Path("params.yaml").write_text(yaml.safe_dump(merged(TINY, changes)))
        state = stage.features.flow(return_state=True)
        assert state.is_completed(), state.message
        return {path.name: path.read_bytes() for path in Path("data/features").iterdir()}

    return run


@pytest.fixture
def model(towers, project):
    """A captioner whose captions depend on the picture: an untrained bridge, loud and with open gates."""
    model = CaptionModel.from_towers(towers / "clip", towers / "gpt2", feature_layer=-2)
    model.processor = CaptionProcessor.from_towers(towers / "clip", towers / "gpt2")
    with torch.no_grad():
        for weight in model.bridge_parameters():
            weight.copy_(torch.full_like(weight, 2.0) if weight.numel() == 1 else 4 * weight)
    model.save_pretrained(project / "model")
    return "model"


@pytest.mark.parametrize("runner", CLUSTERS)
def test_two_workers_of_a_cluster_compute_the_same_features_as_threads(runner, compute):
    pytest.importorskip(f"prefect_{runner}", reason=f"needs pip install -e '.[{runner}]'")
    with_threads = compute()
    assert sum(name.startswith("shard") and name.endswith("npy") for name in with_threads) == 4
    for path in Path("data/features").iterdir():
        path.unlink()
    assert compute(name=runner, workers=2) == with_threads


@pytest.mark.parametrize("runner", ["threads", *CLUSTERS])
def test_captions_stand_in_the_order_of_the_pictures_on_every_runner(runner, model, tables, monkeypatch):
    if runner in CLUSTERS:
        pytest.importorskip(f"prefect_{runner}", reason=f"needs pip install -e '.[{runner}]'")
    monkeypatch.setattr(captions, "FILES", 7)
    files = []
    for image_id in reversed(tables.images["image_id"][:20]):
        files.append(f"{image_id}.png")
        Path(files[-1]).write_bytes(tables.slices(image_id)[0].read())
    assert captions.caption.flow(files, model=model, out="one.jsonl", return_state=True).is_completed()
    state = captions.caption.flow(
        files, model=model, out="two.jsonl", task_runner=runner, workers=2, return_state=True
    )
    assert state.is_completed(), state.message
    assert Path("two.jsonl").read_bytes() == Path("one.jsonl").read_bytes()
    rows = [json.loads(line) for line in Path("two.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == files
    assert len({row["caption"] for row in rows}) > 1


def test_pictures_that_cannot_be_read_are_named_and_cost_no_other_its_caption(model):
    Path("photos").mkdir()
    for name in ("a.png", "c.JPG", ".hidden.png"):
        Image.new("RGB", (40, 30), "red").save(Path("photos", name))
    Path("photos/b.jpg").write_bytes(b"\xff\xd8 no picture")
    state = captions.caption.flow(["photos"], model=model, out="out.jsonl", return_state=True)
    assert state.is_failed() and "photos/b.jpg (not a picture of a known format)" in state.message
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == ["photos/a.png", "photos/c.JPG"]


def test_several_threads_compute_once_and_a_store_can_be_switched_off(compute):
    first = compute(workers=2)
    assert compute(workers=2) == first
    report = Path("reports/data/near_twins.json")
    assert json.loads(report.read_text())["compared"]["train"] > 0
    compute(cache=False)
    assert json.loads(report.read_text())["compared"]["train"] == 0  # nothing is kept that could be compared
    assert isinstance(stage.open_features(Params.load(), read_tables("data/prepared")), LiveFeatures)


def test_a_damaged_picture_ends_the_stage_with_its_name_and_keeps_finished_shards(project, compute, tables):
    import shutil

    Path("data/prepared").unlink()
    shutil.copytree(tables.folder, "data/prepared")
    image_id = tables.images["image_id"].iloc[SHARD + 5]
    [place] = tables.slices(image_id)
    victim = Path("data/prepared") / place.file.name
    content = victim.read_bytes()
    victim.write_bytes(
        content[: place.offset + 60] + bytes(place.size - 60) + content[place.offset + place.size :]
    )
    with pytest.raises(AssertionError, match=f"{victim.name}: image '{image_id}'"):
        compute()
    assert Path("data/features/shard-00000.parquet").exists()
    assert not Path("data/features/shard-00001.parquet").exists()
    victim.write_bytes(content)
    written = Path("data/features/shard-00000.npy").stat().st_mtime_ns
    compute()
    assert Path("data/features/shard-00000.npy").stat().st_mtime_ns == written


@pytest.mark.parametrize("in_prefect", [False, True])
def test_when_one_piece_fails_others_stop_at_their_next_report(in_prefect, server):
    failed, reached = threading.Event(), []

    @piece_task
    def work(piece, progress):
        if piece.number == 0:
            failed.set()
            raise UserError("piece 0 is broken.")
        failed.wait(60)
        for count in range(1000):
            threading.Event().wait(0.01)
            progress(1)
            reached.append(count)

    @as_stage
    def mapping() -> None:
        pieces = [Batch(number, []) for number in range(3)]
        map_task(Runner(workers=2), work, pieces, [1, 1000, 1000])

    if in_prefect:
        message = mapping.flow(return_state=True).message
    else:
        with pytest.raises(UserError) as told:
            mapping.run()
        message = str(told.value)
    assert message == "piece 0 is broken."
    assert len(reached) < 1000


def test_a_runner_that_is_not_installed_or_needs_no_address_says_so(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "prefect_ray", None)
    with pytest.raises(UserError, match=r"pip install -e '.\[ray\]'"):
        make_runner(Runner("ray"))
    with pytest.raises(UserError, match="address is 'tcp://a:1', but threads have none"):
        Runner("threads", "tcp://a:1")


def test_a_cluster_that_does_not_answer_is_named(server):
    dask = pytest.importorskip("dask", reason="needs pip install -e '.[dask]'")

    @piece_task
    def nothing(piece, progress):
        return piece

    @as_stage
    def flow() -> None:
        map_task(Runner("dask", "tcp://127.0.0.1:1"), nothing, [0], [1])

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        state = flow.flow(return_state=True)
    assert state.is_failed() and "task runner 'dask' did not start" in state.message
    assert "127.0.0.1:1" in state.message
