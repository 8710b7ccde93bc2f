"""Clips and augmented views through store, training and evaluation; and the same without a store."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from components.data.shards import ShardWriter
from components.data.tables import FRAME_COLUMNS, Tables, write_tables
from components.errors import UserError
from components.evaluation.variant import evaluate_variant
from components.features.encoder import ClipEncoder
from components.features.live import LiveFeatures
from components.features.store import FeatureStore, Shard, plan_shards, seal, write_shard
from components.features.views import augment
from components.model import CaptionModel
from components.training.train import train_variant
from tests.parameters import tiny


@pytest.fixture(scope="module")
def encoder(towers, params):
    return ClipEncoder(towers / "clip", params.model.feature_layer)


@pytest.fixture(scope="module")
def clips(tables, tmp_path_factory) -> Tables:
    """A tenth of the pictures as clips of one or two frames: the picture, and now and then the next one."""
    folder = tmp_path_factory.mktemp("clips")
    images = tables.images.groupby("split").head(24).reset_index(drop=True)
    rows, places = [], []
    with ShardWriter(folder) as shards:
        for number, image in enumerate(images.to_dict("records")):
            frames = [image["image_id"], images["image_id"].iloc[number - 1]][: 1 + number % 2]
            written = shards.add([(tables.slices(frame)[0].read(), ".png") for frame in frames])
            places += [(image["image_id"], place.file.name, place.offset, place.size) for place in written]
            rows.append(image | {"file_name": image["image_id"], "num_frames": len(frames)})
    captions = tables.captions[tables.captions["image_id"].isin(images["image_id"])].reset_index(drop=True)
    clips = Tables(type(images)(rows), captions, folder, pd.DataFrame(places, columns=FRAME_COLUMNS))
    write_tables(clips)
    return clips


def fill(folder, tables, encoder, views=1) -> FeatureStore:
    for shard in plan_shards(folder, tables.images, encoder.encoder_id, shard_size=20, views=views):
        write_shard(folder, shard, *encoder.encode(tables, shard.image_ids, 16, views=shard.views))
    seal(folder, tables.images, encoder.encoder_id, views)
    return FeatureStore(folder)


@pytest.fixture(scope="module")
def clip_store(clips, encoder, tmp_path_factory) -> FeatureStore:
    return fill(tmp_path_factory.mktemp("clip-features"), clips, encoder)


def test_a_batch_of_clips_has_their_frames_and_a_mask(clips, clip_store, encoder):
    image_ids = list(clips.images["image_id"][:5])
    batch = clip_store.batch(image_ids)
    assert batch["frame_mask"].tolist() == [[True, i % 2 == 1] for i in range(5)]
    for row, image_id in enumerate(image_ids):
        frames, embeds = encoder.encode(clips, [image_id], 4)
        found = batch["vision_features"][row, : len(frames)].float()
        assert torch.allclose(found, frames.float(), atol=4e-3, rtol=2e-3)
        mean = torch.nn.functional.normalize(embeds.mean(0), dim=0)
        assert torch.allclose(clip_store.image_embeds([image_id])[0], mean, atol=1e-5)
    assert (batch["vision_features"][~batch["frame_mask"]] == 0).all()
    assert "frame_mask" not in clip_store.batch(image_ids[1::2]), "nothing to mask where all are equally long"


def test_features_without_a_store_are_the_same(clips, clip_store, encoder):
    live, image_ids = LiveFeatures(clips, encoder), list(clips.images["image_id"][::5])
    kept, made = clip_store.batch(image_ids), live.batch(image_ids)
    assert torch.equal(kept["frame_mask"], made["frame_mask"])
    # Equal but for the last bit of float16: how many pictures a matrix product holds may change its rounding.
    assert torch.allclose(kept["vision_features"], made["vision_features"], atol=2e-3, rtol=1e-3)
    assert torch.allclose(clip_store.image_embeds(image_ids), live.image_embeds(image_ids), atol=1e-6)
    assert live.identity == clip_store.identity, "an interrupted training goes on, whichever it uses"


def test_training_and_evaluation_on_clips_with_and_without_a_store(
    clips, clip_store, encoder, params, towers, tmp_path
):
    short = tiny(train={"epochs": 2, "validations": 2})
    scores = {}
    for name, features in (("kept", clip_store), ("live", LiveFeatures(clips, encoder))):
        out = tmp_path / name / "models" / "mlp"
        trained = train_variant(short, "mlp", clips, features, towers, out, tmp_path / name / "checkpoints")
        evaluation = evaluate_variant(short, clips, features, towers, out)
        scores[name] = trained["loss"], evaluation.intervals["model"]["perplexity"].mean
    assert np.allclose(scores["kept"], scores["live"], rtol=2e-3)
    kept, live = (load_file(tmp_path / n / "models/mlp/model.safetensors") for n in ("kept", "live"))
    assert all(torch.allclose(kept[k], live[k], atol=0.02) for k in kept)
    model = CaptionModel.from_pretrained(tmp_path / "kept" / "models" / "mlp").eval()
    frames = [clips.open_frames(image_id) for image_id in clips.images["image_id"][:3]]
    assert all(isinstance(text, str) for text in model.caption(frames, num_beams=1, max_new_tokens=8))


def test_training_images_have_augmented_views_and_others_have_not(clips, encoder, tmp_path):
    store = fill(tmp_path, clips, encoder, views=3)
    train = list(clips.split("train").images["image_id"][:6])
    plain, second = store.batch(train, [0] * 6), store.batch(train, [2] * 6)
    assert torch.equal(plain["vision_features"], store.batch(train)["vision_features"])
    distance = (plain["vision_features"] - second["vision_features"]).abs().mean()
    assert 0.01 < distance < plain["vision_features"].std(), "another view of the same, not the same"
    with pytest.raises(UserError, match="no view 1 of"):
        store.batch(list(clips.split("test").images["image_id"][:1]), [1])
    live = LiveFeatures(clips, encoder, views=3).batch(train, [2] * 6)["vision_features"]
    assert torch.allclose(live, second["vision_features"], atol=2e-3, rtol=1e-3)


def test_a_view_is_a_function_of_picture_and_number(tables):
    image = tables.open_image(tables.images["image_id"][0])
    first, again, other = (np.asarray(augment([image], "abc", view)[0]) for view in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert (np.asarray(augment([image], "abc", 0)[0]) == np.asarray(image)).all()


def test_training_draws_all_views(clips, encoder, params, towers, tmp_path):
    short = tiny(features={"views": 2}, train={"epochs": 1, "validations": 1})
    drawn = set()

    class Watched(LiveFeatures):
        def batch(self, image_ids, views=None):
            drawn.update(views or [])
            return super().batch(image_ids, views)

    features = Watched(clips, encoder, views=2)
    places = tmp_path / "models" / "mlp", tmp_path / "checkpoints"
    train_variant(short, "mlp", clips, features, towers, *places)
    assert drawn == {0, 1}


def test_a_shard_needs_a_row_a_frame(tmp_path):
    shard = Shard(0, ["a", "b"], ["k", "l"], [0, 0], [1, 2])
    with pytest.raises(ValueError, match="2 rows for 3 frames"):
        write_shard(tmp_path, shard, torch.zeros(2, 2, 3), torch.zeros(2, 1))
