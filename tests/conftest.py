"""One tiny data set, pair of towers and feature store for all tests of a process: the real stages, shrunk."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny matrices; and make test runs files side by side
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from components.config import Params  # noqa: E402
from components.data.scenes.build import build_scenes  # noqa: E402
from components.data.tables import Tables  # noqa: E402
from components.features.store import FeatureStore, plan_shards, seal, write_shard  # noqa: E402
from tests.towers_fixtures import tiny_towers  # noqa: E402

TINY = {
    "data": {"num_images": 400, "image_size": 32},
    "model": {
        "feature_layer": -2,
        "mapper": {"mlp_dim": 32, "depth": 1, "heads": 2, "dim_feedforward": 32},
        "resampler": {"depth": 1, "heads": 2, "dim_head": 16, "num_latents": 4, "num_time_embeds": 2},
        "cross_attention": {"heads": 2, "dim_head": 16},
    },
    "train": {
        "epochs": 4,
        "batch_size": 32,
        "optim": "muon",
        "learning_rate": 3e-3,
        "gate_learning_rate": 3e-2,
        "validations": 4,
        "validation_images": 16,
        "decoding": {"num_beams": 2, "length_penalty": 1.0, "max_new_tokens": 16},
    },
    "evaluate": {"bootstrap_samples": 200},
}
"""params.yaml of the suite; its towers, `pretrained/...`, are the fixture `pretrained`."""


@pytest.fixture(scope="session")
def pretrained() -> Path:
    """What `pretrained/` is in the project, tiny: a folder with `clip` and `gpt2`."""
    return tiny_towers()


@pytest.fixture(scope="session")
def params(pretrained: Path) -> Params:
    """The suite's parameters."""
    towers = {name: str(pretrained / name) for name in ("clip", "gpt2")}
    return Params.model_validate(TINY | {"towers": towers})


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
    from components.features.encoder import VisionEncoder

    folder = tmp_path_factory.mktemp("features")
    encoder = VisionEncoder(towers / "clip", params.model.feature_layer)
    for shard in plan_shards(folder, tables.images, encoder.encoder_id, shard_size=150):
        write_shard(folder, shard, *encoder.encode(tables, shard.image_ids, 64))
    seal(folder, tables.images, encoder.encoder_id)
    return FeatureStore(folder)
