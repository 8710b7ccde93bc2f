"""Training batches: tokens in flat arrays, whole batches at once, fetched ahead by other processes."""

import pytest
import torch
from torch.utils.data import DataLoader

from components.features.residence import Residence
from components.features.store import FeatureStore
from components.model import CaptionProcessor
from components.training.dataset import CaptionCollator, CaptionDataset, Tokens, loading
from components.training.train import train_variant
from tests.parameters import merged
from tests.training.test_train import Interrupt, assert_equal_weights, places


@pytest.fixture(scope="module")
def processor(towers):
    return CaptionProcessor.from_towers(towers / "clip", towers / "gpt2")


def test_every_reference_is_found_under_its_image(tables, processor):
    mixed = tables.split("train").sample(50, seed=1)
    mixed = type(mixed)(mixed.images, mixed.captions.sample(frac=1, random_state=0), mixed.folder)
    data = CaptionDataset(mixed, processor, max_tokens=64, views=2)
    for row, references in enumerate(mixed.references().values()):
        assert data.references[row] == references
        for choice in range(2 * len(references)):
            examples = data.__getitems__([(row, choice)])
            wrapped = processor.wrap(references[choice % len(references)])
            assert examples.ids.tolist() == processor.tokenizer(wrapped)["input_ids"]
            assert examples.views == [choice // len(references)]
            assert examples.image_ids == [data.image_ids[row]]


def test_long_captions_are_cut_and_keep_their_end(tables, processor):
    data = CaptionDataset(tables.split("val"), processor, max_tokens=8)
    whole = CaptionDataset(tables.split("val"), processor, max_tokens=64)
    assert data.truncated == (whole.tokens.lengths > 8).sum() > 0 == whole.truncated
    ends = data.tokens.starts + data.tokens.lengths - 1
    assert data.tokens.lengths.max() == 8
    assert set(data.tokens.ids[ends].tolist()) == {processor.tokenizer.eos_token_id}


def test_tokens_are_kept_in_four_bytes_each():
    tokens = Tokens.of([[1, 2, 3], [4], [5, 6]])
    assert tokens.ids.dtype == "int32" and tokens.ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert [part.tolist() for part in tokens.take(torch.tensor([2, 0]).numpy())] == [[5, 6, 1, 2, 3], [2, 3]]


def test_a_batch_holds_what_one_example_after_the_other_holds(tables, processor, store):
    data, collate = CaptionDataset(tables.split("val"), processor, 64), None
    collate = CaptionCollator(store, processor.tokenizer.pad_token_id)
    examples = [(3, 1), 0, (3, 4), (7, 2)]
    batch = collate(data.__getitems__(examples))
    assert batch["rows"].tolist() == [3, 0, 3, 7]
    for i, example in enumerate(examples):
        alone = collate(data.__getitems__([example]))
        length = alone["input_ids"].shape[1]
        assert torch.equal(batch["vision_features"][i], alone["vision_features"][0])
        for name in ("input_ids", "attention_mask", "labels"):
            assert torch.equal(batch[name][i, :length], alone[name][0])
        assert not batch["attention_mask"][i, length:].any()


@pytest.mark.parametrize(
    ("place", "gpu", "workers", "pinned"),
    [
        ("gpu", True, 0, False),
        ("host", True, 2, True),
        ("host", False, 0, False),
        ("disk", True, 2, True),
        ("disk", False, 2, False),
        ("live", True, 0, False),
    ],
)
def test_who_fetches_batches(place, gpu, workers, pinned, monkeypatch):
    class Somewhere:
        residence = Residence(place, "")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    found = loading(Somewhere, readers=2)
    assert found.get("dataloader_num_workers", 0) == workers
    assert found["dataloader_pin_memory"] == found["accelerator_config"]["non_blocking"] == pinned


@pytest.mark.parametrize("later", [None, 3])
def test_where_features_lie_and_who_reads_them_changes_no_weight(
    later, params, tables, store, towers, tmp_path
):
    """Nor does an interrupt and a move of the features after it; dropout draws on torch's random numbers."""
    changes = {"model": {"dropout": 0.1}, "train": {"epochs": 2, "validations": 2}}
    values = merged(params.model_dump(by_alias=True), changes)
    readers = type(params).model_validate(merged(values, {"features": {"readers": 2}}))
    alone, held = type(params).model_validate(values), FeatureStore(store.folder, "host")
    (tmp_path / "a").mkdir()
    train_variant(alone, "mlp", tables, held, towers, *places(tmp_path / "a"))
    (tmp_path / "b").mkdir()
    where = places(tmp_path / "b")
    if later:
        with pytest.raises(KeyboardInterrupt):
            train_variant(alone, "mlp", tables, held, towers, *where, [Interrupt(13 + later)])
    train_variant(readers, "mlp", tables, store, towers, *where)
    assert_equal_weights(tmp_path / "a" / "mlp", tmp_path / "b" / "mlp")


def test_a_loader_reads_ahead_what_it_reads_by_itself(tables, processor, store):
    data = CaptionDataset(tables.split("val"), processor, 64)
    collate = CaptionCollator(store, processor.tokenizer.pad_token_id)
    alone, ahead = (DataLoader(data, 8, collate_fn=collate, num_workers=workers) for workers in (0, 2))
    for expected, found in zip(alone, ahead, strict=True):
        assert all(torch.equal(expected[name], found[name]) for name in expected)
