"""Pictures and captions to tensors and back."""

import pytest
import torch
from PIL import Image

from components.model import CaptionProcessor
from tests.model_fixtures import write_towers


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    return CaptionProcessor.from_towers(*write_towers(tmp_path_factory.mktemp("towers")))


def _picture(colour="red"):
    return Image.new("RGB", (30, 20), colour)


def test_the_text_format_is_the_reference_s(processor):
    """BOS + " " + caption + " " + EOS; every real token is a label, BOS too: the prefix predicts it."""
    batch = processor(text=["a dog", "two  red\n apples"])
    rows = zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True)
    texts = [processor.tokenizer.decode(row[mask]) for row, mask in rows]
    assert texts == ["<|endoftext|> a dog <|endoftext|>", "<|endoftext|> two red apples <|endoftext|>"]
    assert torch.equal(batch["labels"] == -100, batch["attention_mask"] == 0)
    real = batch["labels"] != -100
    assert torch.equal(batch["labels"][real], batch["input_ids"][real])


def test_captions_come_back(processor):
    captions = ["a dog", "two red apples to the left"]
    ids = processor(text=captions)["input_ids"]
    assert processor.batch_decode(ids) == captions
    assert processor.decode(ids[0]) == "a dog"
    assert processor.decode([processor.tokenizer.bos_token_id]) == ""


@pytest.mark.parametrize("cut", [1, 2])
def test_a_character_that_the_length_limit_cut_is_left_out(processor, cut):
    ids = processor.tokenizer(" 红 白")["input_ids"]
    assert processor.decode(ids) == "红 白"
    assert processor.decode(ids[:-cut]) == "红"


def test_a_picture_pictures_and_clips(processor):
    assert processor(images=_picture())["pixel_values"].shape == (1, 1, 3, 16, 16)
    two = processor(images=[_picture(), _picture("blue")])
    assert two["pixel_values"].shape == (2, 1, 3, 16, 16)
    assert "frame_mask" not in two
    clips = processor(images=[[_picture(), _picture("blue")], [_picture("blue")]])
    assert clips["pixel_values"].shape == (2, 2, 3, 16, 16)
    assert clips["frame_mask"].tolist() == [[True, True], [True, False]]
    assert (clips["pixel_values"][1, 1] == 0).all()
    assert torch.equal(clips["pixel_values"][1, 0], clips["pixel_values"][0, 1])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_other_kinds_of_pictures(processor, mode):
    assert processor(images=_picture().convert(mode))["pixel_values"].shape == (1, 1, 3, 16, 16)


def test_transparency_is_white_as_in_training(processor):
    clear, white = Image.new("RGBA", (16, 16), (0, 0, 0, 0)), Image.new("RGB", (16, 16), "white")
    seen = [processor(images=image)["pixel_values"] for image in (clear, white)]
    assert torch.equal(*seen)


def test_a_round_trip_through_a_folder(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = CaptionProcessor.from_pretrained(tmp_path)
    expected, found = (p(images=_picture(), text="a dog") for p in (processor, loaded))
    for name in ("pixel_values", "input_ids", "labels"):
        assert torch.equal(expected[name], found[name])
