"""Every variant of the description, and what goes beyond it."""

import pytest
import torch
from transformers import CLIPVisionConfig, GPT2Config, SiglipVisionConfig

from components.model.cross_attention import GatedGPT2Block
from components.variants import VARIANTS
from tests.model_fixtures import TEXT, VISION, captions, images, tiny_model

torch.set_num_threads(1)


def _score(model, frames=1, mask=None):
    ids = captions(3)
    with torch.no_grad():
        return model(pixel_values=images(3, frames), frame_mask=mask, input_ids=ids, labels=ids)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes(variant, frames):
    mapper, resampler = VARIANTS[variant]
    output = _score(tiny_model(mapper=mapper, resampler=resampler), frames)
    assert output.loss.ndim == 0
    assert output.logits.shape == (3, frames + 7, 50)
    assert output.prefix.shape == (3, frames, 32)
    assert output.vision_features.shape == (3, frames, 5, 32)
    if resampler:
        assert output.visual_tokens.shape == (3, 4, 32)
    else:
        assert output.visual_tokens is None


@pytest.mark.parametrize("mapper", ["mlp", "transformer"])
def test_several_prefix_positions_a_frame(mapper):
    """As ClipCap has them; frame by frame, absent frames masked, a clip the same as alone."""
    model = tiny_model(mapper=mapper, prefix_length=3)
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    output = _score(model, 2, mask)
    assert output.prefix.shape == (3, 6, 32)
    assert output.logits.shape == (3, 13, 50)
    clips = images(3, 2)
    batch = model.generate(pixel_values=clips, frame_mask=mask, max_new_tokens=8)
    alone = model.generate(pixel_values=clips[1:2, :1], max_new_tokens=8)[0].tolist()
    assert batch[1, : len(alone)].tolist() == alone


def test_the_transformer_with_a_longer_prefix_reads_every_token_of_a_frame():
    model = tiny_model(mapper="transformer", prefix_length=2)
    features = model.encode_images(images(1))
    shifted = features.clone()
    shifted[:, :, 1] += 1
    shifted[:, :, 2] -= 1  # the mean stays, so a mapper of the mean would not notice
    assert not torch.allclose(model.mapper(features), model.mapper(shifted), atol=1e-3)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_cross_attention_before_every_kth_block(every):
    model = tiny_model(cross_attention_every=every)
    assert list(model.text_generator.gated) == list(range(0, 4, every))
    assert all(isinstance(block, GatedGPT2Block) for block in model.text_generator.lm.transformer.h)
    assert _score(model).loss.isfinite()


def test_pretrained_names_stay_as_they_are():
    names = set(tiny_model().text_generator.lm.state_dict())
    plain = set(tiny_model(resampler=False).text_generator.lm.state_dict())
    assert plain <= names
    assert all("gated_cross_attention" in name for name in names - plain)


@pytest.mark.parametrize("mapper", ["mlp", "transformer", "none"])
def test_widths_that_differ(mapper):
    """The decoder is wider than the vision tower: a projection where one is needed, nowhere else."""
    text = GPT2Config(**(TEXT | {"n_embd": 48}))
    model = tiny_model(mapper=mapper, text_config=text)
    assert (model.mapper.projection is None) == (mapper == "mlp")
    assert tiny_model(mapper=mapper).mapper.projection is None
    output = _score(model, frames=2)
    assert output.prefix.shape == (3, 2, 48)
    assert output.visual_tokens.shape == (3, 4, 32)
    assert model.generate(pixel_values=images(2), num_beams=2, max_new_tokens=4).shape[0] == 2


@pytest.mark.parametrize("kind", [CLIPVisionConfig, SiglipVisionConfig])
def test_feature_layers(kind):
    """-1 is the tower's `last_hidden_state`; -2 what its last layer reads."""
    config = kind(**VISION)
    tokens = 5 if kind is CLIPVisionConfig else 4  # SigLIP has no class token
    for layer in (-1, -2):
        model = tiny_model(vision_config=config, feature_layer=layer)
        pixels = images(2)
        features = model.encode_images(pixels)
        assert features.shape == (2, 1, tokens, 32)
        with torch.no_grad():
            output = model.vision_encoder.vision(pixels[:, 0], output_hidden_states=True)
        expected = output.last_hidden_state if layer == -1 else output.hidden_states[-2]
        assert torch.equal(features[:, 0], expected)
        assert _score(model).loss.isfinite()


def test_pictures_need_no_frame_dimension():
    model, ids = tiny_model(), captions(2)
    flat = images(2)[:, 0]
    features = model.encode_images(flat)
    with torch.no_grad():
        expected = model(pixel_values=images(2), input_ids=ids).logits
        assert torch.equal(model(pixel_values=flat, input_ids=ids).logits, expected)
        assert torch.equal(model(vision_features=features[:, 0], input_ids=ids).logits, expected)


def test_frames_are_told_apart_by_their_time():
    """The same frames in another order are another clip."""
    model, ids = tiny_model(mapper="none"), captions(1)
    clip = images(1, 3)
    with torch.no_grad():
        one, other = (
            model(pixel_values=frames, input_ids=ids).visual_tokens for frames in (clip, clip.flip(1))
        )
    assert not torch.allclose(one, other, atol=1e-3)


def test_half_precision_features_are_taken():
    """The feature store holds float16."""
    model, ids = tiny_model(), captions(2)
    features = model.encode_images(images(2))
    with torch.no_grad():
        full = model(vision_features=features, input_ids=ids).logits
        half = model(vision_features=features.half(), input_ids=ids).logits
    torch.testing.assert_close(half, full, atol=0.02, rtol=0)


def test_a_deeper_layer_is_still_found_after_pickling():
    """The registry pickles models; what transformers installs to record hidden states is lost by that."""
    import cloudpickle

    model = tiny_model(feature_layer=-2).eval()
    pixels = torch.rand(1, 1, 3, 16, 16)
    before = model.encode_images(pixels)
    again = cloudpickle.loads(cloudpickle.dumps(model))
    assert torch.equal(again.encode_images(pixels), before)
