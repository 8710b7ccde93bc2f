"""Bad input: one clear error each."""

import pytest
import torch
from PIL import Image
from transformers import BertConfig, CLIPVisionConfig, CLIPVisionModel, GPT2Config, GPT2LMHeadModel

from components.errors import UserError
from components.model import CaptionConfig, CaptionModel, CaptionProcessor
from components.model.attention_maps import attention_maps
from components.model.configuration import bridge_fields
from tests.model_fixtures import TEXT, VISION, captions, images, tiny_config, tiny_model, write_towers
from tests.parameters import HUB, TINY, merged

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    return write_towers(tmp_path_factory.mktemp("towers"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mapper": "lstm"}, "mapper is 'lstm'. Choose one of: mlp, transformer, none"),
        ({"mapper": "none", "resampler": False}, "nothing would be learned"),
        ({"mapper": "none", "prefix_length": 2}, "prefix_length is 2 with mapper 'none'"),
        ({"mapper": "transformer", "mapper_heads": 5}, "mapper_heads is 5, which does not divide"),
        ({"feature_layer": -9}, "feature_layer is -9. This tower has layers -1 to -4"),
        ({"feature_layer": 0}, "feature_layer is 0"),
        ({"resampler_num_latents": 0}, "resampler_num_latents is 0. It must be at least 1"),
        ({"activation": "mish2"}, "activation is 'mish2'"),
        ({"dropout": 1.5}, "dropout is 1.5"),
        ({"vision_config": {"model_type": "clipp"}}, "vision_config: unknown backbone 'clipp'"),
        ({"text_config": {"model_type": "gpt9"}}, "text_config: unknown backbone 'gpt9'"),
        ({"text_config": BertConfig()}, "type 'bert'. The decoder must be a 'gpt2'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_configurations(fields, message):
    with pytest.raises(UserError, match=message):
        tiny_config(**fields)


def test_unknown_bridge_field(towers):
    with pytest.raises(UserError, match="unknown model field 'num_latent'. Known: activation"):
        CaptionModel.from_towers(*towers, num_latent=8)


def test_unknown_backbones(towers, tmp_path):
    with pytest.raises(UserError, match="unknown backbone '.*nothing'"):
        CaptionModel.from_towers(tmp_path / "nothing", towers[1])
    with pytest.raises(UserError, match="unknown backbone '.*nothing'"):
        CaptionModel.from_towers(towers[0], tmp_path / "nothing")


def test_a_tower_without_weights(towers, tmp_path):
    (tmp_path / "config.json").write_text((towers[1] / "config.json").read_text())
    with pytest.raises(UserError, match="no weights can be loaded"):
        CaptionModel.from_towers(towers[0], tmp_path)


def test_a_bridge_on_towers_of_other_sizes(towers, tmp_path):
    CaptionModel.from_towers(*towers).save_pretrained(tmp_path / "bridge")
    GPT2LMHeadModel(GPT2Config(**TEXT | {"n_embd": 64, "n_layer": 6})).save_pretrained(tmp_path / "gpt2")
    vision = CLIPVisionConfig(**VISION | {"hidden_size": 64})
    CLIPVisionModel(vision).save_pretrained(tmp_path / "clip")
    message = "bridge: .*gpt2: another gpt2 than the one expected: .*n_embd is 64, expected 32, n_layer is 6"
    with pytest.raises(UserError, match=message):
        CaptionModel.from_pretrained(tmp_path / "bridge", gpt2=tmp_path / "gpt2")
    with pytest.raises(
        UserError, match="bridge: .*clip: another clip_vision.*hidden_size is 64, expected 32"
    ):
        CaptionModel.from_pretrained(tmp_path / "bridge", clip=tmp_path / "clip")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixel_values": images()[..., :8]}, "images of 16 x 8; this vision tower takes 16 x 16"),
        ({"pixel_values": images()[0, 0]}, "pixel_values has shape .*; expected"),
        ({"pixel_values": None}, "exactly one of the two"),
        ({"vision_features": torch.zeros(3, 1, 5, 32)}, "exactly one of the two"),
        (
            {"pixel_values": None, "vision_features": torch.zeros(3, 1, 5, 31)},
            "vision_features are 31 wide.* 32",
        ),
        ({"pixel_values": images(frames=6)}, "6 frames; the model has 5 time embeddings"),
        ({"frame_mask": torch.ones(3, 2)}, r"frame_mask has shape \(3, 2\); the images have \(3, 1\)"),
        ({"frame_mask": torch.tensor([[1], [0], [1]])}, "clip 1 of the batch has no frame"),
        ({"input_ids": None}, "input_ids is missing"),
        ({"input_ids": torch.zeros(3, 0, dtype=torch.long)}, "at least one token"),
        ({"input_ids": captions(4)}, "4 rows for 3 images"),
        ({"input_ids": captions(3, 32)}, "take 33 positions; the decoder's table has 32"),
        ({"attention_mask": torch.ones(3, 8)}, r"attention_mask has shape \(3, 8\); input_ids \(3, 7\)"),
        ({"attention_mask": torch.ones(2, 7)}, r"attention_mask has shape \(2, 7\)"),
        ({"labels": captions(3, 6)}, r"labels have shape \(3, 6\); input_ids \(3, 7\)"),
        ({"input_ids": captions() + 10}, "token id 59 .* vocabulary has 50"),
        ({"labels": captions() + 10}, "label 59 .* vocabulary has 50"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_inputs(model, change, message):
    inputs = {"pixel_values": images(), "input_ids": captions()} | change
    with pytest.raises(UserError, match=message):
        model(**inputs)


def test_generating_past_the_position_table(model):
    with pytest.raises(UserError, match="take 33 positions; the decoder's table has 32"):
        model.generate(pixel_values=images(), max_new_tokens=40)


def test_generating_from_another_number_of_beginnings(model):
    with pytest.raises(UserError, match="4 rows for 3 images"):
        model.generate(captions(4), pixel_values=images())


def test_captioning_without_a_processor(model):
    with pytest.raises(UserError, match="carries no processor"):
        model.caption(Image.new("RGB", (8, 8)))


def test_attention_maps_without_a_resampler():
    with pytest.raises(UserError, match="no resampler"):
        attention_maps(tiny_model(resampler=False), captions(), pixel_values=images())


def test_processing(towers):
    processor = CaptionProcessor.from_towers(*towers)
    picture = Image.new("RGB", (8, 8))
    for arguments, message in (
        ({}, "give images, text, or both"),
        ({"images": []}, "images is empty"),
        ({"images": [[picture], []]}, "clip 1 has no frame"),
        ({"text": ["a dog", "  \n"]}, "caption 1: it is empty"),
        (
            {"text": ["a dog", "a red apple " * 9], "max_length": 12},
            "caption 1 has .* tokens, the limit is 12",
        ),
    ):
        with pytest.raises(UserError, match=message):
            processor(**arguments)
    with pytest.raises(UserError, match="no image processor"):
        CaptionProcessor.from_towers(towers[1], towers[1])
    with pytest.raises(UserError, match="no tokenizer"):
        CaptionProcessor.from_towers(towers[0], towers[0] / "nothing")


def test_params_become_fields():
    """Every key of the block `model` has a field; the fields' defaults are the profile of the full size."""
    section = merged(merged(TINY, HUB)["model"], {"feature_layer": -1})
    fields = bridge_fields(section, "transformer", True)
    config, default = tiny_config(**fields), CaptionConfig()
    for name, value in fields.items():
        assert getattr(config, name) == value
        if name != "mapper":
            assert value == getattr(default, name)
