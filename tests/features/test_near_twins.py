"""Near twins by embedding: found between splits and within train, counted, shown, and fatal if asked for."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from components.data.prepare.report import data_counts
from components.data.prepare.rules import BY_EMBEDDING, severities
from components.errors import UserError
from components.features import near_twins
from components.features.near_twins import COLUMNS, SIMILAR, find_near_twins, report_near_twins


class Embeds:
    """Embeddings that are given, for any `images`: what of a store is asked for here."""

    def __init__(self, images: pd.DataFrame, embeds: torch.Tensor):
        self.embeds = dict(zip(images["image_id"], torch.nn.functional.normalize(embeds, dim=1), strict=True))

    def image_embeds(self, image_ids: list[str]) -> torch.Tensor:
        return torch.stack([self.embeds[image_id] for image_id in image_ids])


@pytest.fixture
def twins(tables):
    """Random embeddings, but the last picture of test, and the third of train, nearly have the first's."""
    images = tables.images
    embeds = torch.randn(len(images), 64, generator=torch.Generator().manual_seed(0))
    train, test = (images.index[images["split"] == split] for split in ("train", "test"))
    for place in (train[2], test[-1]):
        embeds[place] = embeds[train[0]] + 0.05 * embeds[place]
    names = images["image_id"]
    return Embeds(images, embeds), (names[train[0]], names[train[2]], names[test[-1]])


def test_the_most_similar_before_each_is_that_of_brute_force(tables, store):
    images = tables.images
    pairs = find_near_twins(store, images, seed=0).set_index("image_id")
    embeds = store.image_embeds(list(images["image_id"])).numpy()
    rank = images["split"].map({"train": 0, "val": 1, "test": 2}).to_numpy()
    place = np.arange(len(images))
    similarity = embeds @ embeds.T
    before = (rank < rank[:, None]) | ((rank == 0) & (rank[:, None] == 0) & (place < place[:, None]))
    similarity[~before] = -2
    best = pd.Series(similarity.max(axis=1), images["image_id"])[pairs.index]
    assert len(pairs) == len(images) - 1
    assert np.allclose(pairs["similarity"], best, atol=1e-5)


def test_twins_between_splits_and_in_train_are_counted_and_shown(tables, twins, tmp_path):
    embeds, (first, again, leak) = twins
    pairs = find_near_twins(embeds, tables.images, seed=0)
    summary = report_near_twins(pairs, tables, tmp_path)
    assert summary["near_twins"] == {"in_two_splits": 1, "in_train": 1}
    near = pd.read_parquet(tmp_path / "near_twins.parquet")
    assert list(near.columns) == COLUMNS and (near["similarity"] >= SIMILAR).all()
    assert dict(zip(near["image_id"], near["twin_split"], strict=True)) == {again: "train", leak: "train"}
    assert first in set(near["twin"])
    assert Image.open(tmp_path / "near_twins.png").width > 800  # four pairs in a row
    (tmp_path / "validation.json").write_text(json.dumps(COUNTS))
    assert data_counts(tmp_path / "validation.json")["data/near_twins/in_two_splits"] == 1


COUNTS = dict.fromkeys(("images", "faults", "reported", "quarantined", "left_out"), {}) | {"captions": 0}


def test_a_leak_is_fatal_where_that_was_asked_for_and_the_report_is_there(tables, twins, tmp_path):
    pairs = find_near_twins(twins[0], tables.images, seed=0)
    with pytest.raises(UserError, match="1 pictures are near twins .* in test, .* in train"):
        report_near_twins(pairs, tables, tmp_path, severity="fail")
    assert (tmp_path / "near_twins.png").exists()


def test_of_large_sets_a_part_is_compared_and_the_report_says_so(tables, twins, tmp_path, monkeypatch):
    monkeypatch.setattr(near_twins, "COMPARED", 7)
    monkeypatch.setattr(near_twins, "BLOCK", 13)
    pairs = find_near_twins(twins[0], tables.images, seed=0)
    assert report_near_twins(pairs, tables, tmp_path)["compared"] == {"train": 7, "val_and_test": 7}


def test_the_rule_has_a_severity_but_cannot_take_rows_out():
    assert severities("fail", {})[BY_EMBEDDING] == "report"
    assert severities("fail", {BY_EMBEDDING: "fail"})[BY_EMBEDDING] == "fail"
    with pytest.raises(UserError, match="leak-by-embedding cannot be 'quarantine'"):
        severities("fail", {BY_EMBEDDING: "quarantine"})
