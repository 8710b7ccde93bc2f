"""Where features lie changes no number: on disk, in memory, pictures and clips, all or some."""

import numpy as np
import pandas as pd
import pytest
import torch

from components.errors import UserError
from components.features import residence
from components.features.residence import choose_residence, free_host_memory
from components.features.rows import DiskRows, HeldRows
from components.features.store import FeatureStore, plan_shards, seal, write_shard

GB = 10**9


@pytest.fixture(params=[(3, 4), (2, 3)], ids=["whole words", "odd rows"])
def clips(request, tmp_path):
    """A store of 50 clips of one to three frames in four shards, random numbers; and their ids."""
    ids = [f"clip-{i}" for i in range(50)]
    frames = [1 + i % 3 for i in range(50)]
    images = pd.DataFrame({"image_id": ids, "sha256": ids, "split": "val", "num_frames": frames})
    generator = torch.Generator().manual_seed(0)
    for shard in plan_shards(tmp_path, images, "tower", shard_size=30):
        rows = sum(shard.num_frames)
        features = torch.randn(rows, *request.param, generator=generator)
        write_shard(tmp_path, shard, features, torch.randn(rows, 2, generator=generator))
    seal(tmp_path, images, "tower")
    assert len(list(tmp_path.glob("shard-*.npy"))) == 4
    return tmp_path, ids


def test_features_held_in_memory_are_those_on_disk(clips):
    folder, ids = clips
    disk, held = FeatureStore(folder), FeatureStore(folder, "host")
    assert (disk.residence.place, held.residence.place) == ("disk", "host")
    for asked in (ids, ids[::-7], ids[3:4] * 5, ids[::3]):
        expected, found = disk.batch(asked), held.batch(asked)
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)
        assert found["vision_features"].dtype == torch.float16, "cast by the model, on its device"


def test_rows_come_in_the_order_asked_for(clips):
    disk = DiskRows(clips[0], "shard", range(4))
    arrays = [np.load(clips[0] / f"shard-{number:05d}.npy") for number in range(4)]
    shards, starts, lengths = np.array([2, 0, 2, 3]), np.array([4, 7, 1, 0]), np.array([3, 1, 2, 1])
    runs = zip(shards, starts, lengths, strict=True)
    expected = np.concatenate([arrays[shard][start : start + n] for shard, start, n in runs])
    for rows in (disk, HeldRows(disk, torch.device("cpu"))):
        assert np.array_equal(rows.take(shards, starts, lengths).numpy(), expected)
    assert disk.size == sum(array.nbytes for array in arrays)


@pytest.mark.parametrize(
    ("gpu", "host", "place"),
    [(3, 3, "gpu"), (1, 3, "host"), (0, 3, "host"), (1, 1, "disk")],
)
def test_features_lie_in_the_fastest_memory_with_room_for_twice_as_much(gpu, host, place, monkeypatch):
    monkeypatch.setattr(residence, "free_gpu_memory", lambda: gpu * GB)
    monkeypatch.setattr(residence, "free_host_memory", lambda: host * GB)
    chosen = choose_residence("auto", int(1.2 * GB))
    assert chosen.place == place
    assert f"{gpu}.00 GB in GPU memory and {host}.00 GB in host memory are free" in str(chosen)


def test_a_place_that_is_asked_for_must_have_room(monkeypatch):
    monkeypatch.setattr(residence, "free_gpu_memory", lambda: 0)
    monkeypatch.setattr(residence, "free_host_memory", lambda: 2 * GB)
    assert choose_residence("host", int(1.9 * GB)).place == "host"
    assert choose_residence("disk", 1000 * GB).place == "disk"
    for place in ("gpu", "host"):
        with pytest.raises(UserError, match=f"features.resident is {place}: 3.00 GB do not fit .* to auto"):
            choose_residence(place, 3 * GB)


def test_processes_of_a_machine_share_its_memory_and_a_container_has_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(residence, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("600\n")
    assert free_host_memory() > 10**6
    (tmp_path / "memory.max").write_text("1000\n")
    assert free_host_memory() == 400
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_host_memory() == 100
