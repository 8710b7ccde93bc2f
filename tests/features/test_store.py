"""The feature store: the tower's own numbers, computed once, never twice, never half."""

import pandas as pd
import pytest
import torch

from components.errors import UserError
from components.features.encoder import ClipEncoder
from components.features.store import FeatureStore, plan_shards, seal, write_shard


@pytest.fixture(scope="module")
def encoder(towers, params):
    return ClipEncoder(towers / "clip", params.model.feature_layer)


def fill(folder, images, encoder_id="tower", shard_size=100):
    """A store of made-up features: row i of the table holds the number i."""
    shards = plan_shards(folder, images, encoder_id, shard_size)
    number = dict(zip(images["image_id"], range(len(images)), strict=True))
    for shard in shards:
        values = torch.tensor([float(number[i]) for i in shard.image_ids])
        write_shard(folder, shard, values[:, None, None].expand(-1, 2, 3), values[:, None])
    seal(folder, images, encoder_id)
    return shards


def vision(store, image_ids):
    """Of pictures [b x num_tokens x width]."""
    return store.batch(image_ids)["vision_features"][:, 0]


def test_features_are_the_towers_hidden_states(store, encoder, tables):
    image_ids = list(tables.images["image_id"])[::37]
    features, embeds = encoder.encode(tables, image_ids, batch_size=4)
    assert torch.allclose(vision(store, image_ids).float(), features.float(), atol=2e-3, rtol=2e-3)
    assert torch.allclose(store.image_embeds(image_ids), embeds, atol=1e-5)


def test_any_order_and_repetition_of_images_can_be_asked_for(store, tables):
    image_ids = list(tables.images["image_id"])
    asked = [image_ids[i] for i in (399, 0, 151, 0)]
    one_by_one = torch.cat([vision(store, [i]) for i in asked])
    assert torch.equal(vision(store, asked), one_by_one)


def test_only_what_is_missing_is_computed(tables, tmp_path):
    first, all_images = tables.images.head(250), tables.images
    assert sum(len(s.image_ids) for s in fill(tmp_path, first)) == 250
    assert sum(len(s.image_ids) for s in fill(tmp_path, all_images)) == len(all_images) - 250
    assert fill(tmp_path, all_images) == []
    rows = vision(FeatureStore(tmp_path), list(all_images["image_id"]))[:, 0, 0]
    assert rows.tolist() == list(range(len(all_images)))


def test_a_killed_run_keeps_its_complete_shards(tables, tmp_path):
    shards = plan_shards(tmp_path, tables.images, "tower", 100)
    write_shard(tmp_path, shards[0], torch.zeros(100, 2, 3), torch.zeros(100, 1))
    (tmp_path / "shard-00001.npy").write_bytes(b"half")  # killed while writing the second
    left = plan_shards(tmp_path, tables.images, "tower", 100)
    assert [i for s in left for i in s.image_ids] == [i for s in shards[1:] for i in s.image_ids]


def test_equal_pictures_are_computed_once(tables, tmp_path):
    twins = tables.images.head(10).assign(sha256="same")
    assert sum(len(s.image_ids) for s in plan_shards(tmp_path, twins, "tower")) == 1


def test_another_tower_or_layer_means_other_features(tables, tmp_path, towers, encoder):
    assert encoder.encoder_id != ClipEncoder(towers / "clip", -1).encoder_id
    fill(tmp_path, tables.images, "tower")
    assert len(fill(tmp_path, tables.images, "other tower")) == 4
    assert len(list(tmp_path.glob("shard-*.npy"))) == 4, "shards of the old tower are gone"


def test_a_store_that_is_not_there_or_lacks_an_image_says_what_to_run(tmp_path, store):
    with pytest.raises(UserError, match="dvc repro features"):
        FeatureStore(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no-such-image"):
        store.batch(["no-such-image"])


def test_a_damaged_shard_is_named(tables, tmp_path):
    fill(tmp_path, tables.images)
    (tmp_path / "shard-00002.npy").write_bytes(b"not an array")
    with pytest.raises(UserError, match="shard-00002.npy"):
        FeatureStore(tmp_path)


def test_sealing_an_incomplete_store_is_refused(tables, tmp_path):
    with pytest.raises(UserError, match="400 images are missing"):
        seal(tmp_path, tables.images, "tower")
    assert not (tmp_path / "index.parquet").exists()
    assert isinstance(tables.images, pd.DataFrame)
