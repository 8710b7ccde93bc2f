"""The nearest training pictures, by the data set's own embeddings."""

import numpy as np
import pytest

from components.features.encoder import ClipEncoder
from components.report.neighbours import TrainingPictures


@pytest.fixture(scope="module")
def training(params, tables, towers, store) -> TrainingPictures:
    return TrainingPictures(tables, store, ClipEncoder(towers / "clip", params.model.feature_layer))


def test_a_training_picture_is_nearest_to_itself(training, tables):
    image_id = training.tables.images["image_id"][3]
    first, second, third = training.nearest([tables.open_image(image_id)], count=3)
    np.testing.assert_array_equal(first.frames[0], tables.open_image(image_id))
    assert first.captions == training.tables.references()[image_id]
    assert first.similarity == pytest.approx(1, abs=1e-3) and first.similarity > second.similarity
    assert second.similarity >= third.similarity


def test_no_more_are_found_than_there_are_and_all_are_of_training(training, tables):
    test = tables.split("test")
    found = training.nearest([test.open_image(test.images["image_id"][0])], count=10**6)
    assert len(found) == len(tables.split("train").images)


def test_a_clip_is_found_by_the_mean_of_its_frames(training, tables):
    ids = training.tables.images["image_id"].tolist()[:2]
    [nearest] = training.nearest([tables.open_image(i) for i in ids], count=1)
    mean = training.store.image_embeds(ids).mean(dim=0)
    expected = training.store.image_embeds(training.tables.images["image_id"].tolist()) @ mean / mean.norm()
    assert nearest.similarity == pytest.approx(expected.max().item(), abs=1e-3)
