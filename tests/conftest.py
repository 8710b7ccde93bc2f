"""One tiny data set, pair of towers and feature store for all tests of a process: the real stages, shrunk."""

import os
import shutil
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny matrices; and make test runs files side by side
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from components import code  # noqa: E402
from components.config import Params  # noqa: E402
from components.data.scenes.build import build_scenes  # noqa: E402
from components.data.tables import Tables  # noqa: E402
from components.features.store import FeatureStore, plan_shards, seal, write_shard  # noqa: E402
from tests.parameters import tiny  # noqa: E402
from tests.towers_fixtures import tiny_towers  # noqa: E402


@pytest.fixture(scope="session")
def pretrained() -> Path:
    """What `pretrained/` is in the project, tiny: a folder with `clip` and `gpt2`."""
    return tiny_towers()


@pytest.fixture(scope="session")
def params(pretrained: Path) -> Params:
    """The suite's parameters."""
    towers = {name: str(pretrained / name) for name in ("clip", "gpt2")}
    return tiny(towers=towers)


@pytest.fixture(scope="session")
def tables(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """A data set of 400 scenes."""
    data = params.data
    folder = tmp_path_factory.mktemp("data") / "prepared"
    return build_scenes(folder, num_images=data.num_images, image_size=data.image_size, seed=data.seed)


@pytest.fixture(scope="session")
def towers(params: Params, tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage `towers` makes of them."""
    from components.towers.build import build_towers

    folder = tmp_path_factory.mktemp("towers") / "towers"
    build_towers(params, tables, folder)
    return folder


@pytest.fixture(scope="session")
def store(
    params: Params, tables: Tables, towers: Path, tmp_path_factory: pytest.TempPathFactory
) -> FeatureStore:
    """Features of all pictures, in three shards."""
    from components.features.encoder import ClipEncoder

    folder = tmp_path_factory.mktemp("features")
    encoder = ClipEncoder(towers / "clip", params.model.feature_layer)
    for shard in plan_shards(folder, tables.images, encoder.encoder_id, shard_size=150):
        write_shard(folder, shard, *encoder.encode(tables, shard.image_ids, 64))
    seal(folder, tables.images, encoder.encoder_id)
    return FeatureStore(folder)


@pytest.fixture
def changeable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the code, asked in place of the code itself what it consists of."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in code.PACKAGES:
        shutil.copytree(code.ROOT / name, tmp_path / "copy" / name, ignore=ignored)
    monkeypatch.setattr(code, "ROOT", tmp_path / "copy")
    return tmp_path / "copy"
