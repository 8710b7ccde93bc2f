"""A captioner prepared to write many captions writes the same ones."""

import pytest
import torch
from transformers import CLIPVisionConfig, GPT2Config

from components.errors import UserError
from components.model import can_compile, for_inference
from tests.model_fixtures import TEXT, VISION, captions, images, tiny_model


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(), reason="torch.compile needs a C++ compiler")
def test_compiled_captions_are_the_same():
    # one block each, as compiling is slow
    text, vision = (
        GPT2Config(**(TEXT | {"n_layer": 1})),
        CLIPVisionConfig(**(VISION | {"num_hidden_layers": 1})),
    )
    model = tiny_model(gates=0.5, text_config=text, vision_config=vision, resampler_depth=1)
    pictures = images()
    decoding = {"num_beams": 3, "max_new_tokens": 8, "return_dict_in_generate": True, "output_scores": True}
    expected = model.generate(pixel_values=pictures, **decoding)
    compiled = for_inference(model, torch_compile=True)
    assert compiled is model
    torch._dynamo.utils.counters.clear()
    found = compiled.generate(pixel_values=pictures, **decoding)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2, "nothing was compiled"
    assert torch.equal(found.sequences, expected.sequences)
    torch.testing.assert_close(found.sequences_scores, expected.sequences_scores, atol=1e-4, rtol=1e-4)


def test_bfloat16_holds_every_weight_and_nearly_the_same_likelihood():
    batch = {"pixel_values": images(), "input_ids": captions(), "labels": captions()}
    expected = tiny_model(gates=0.5)(**batch).loss
    model = for_inference(tiny_model(gates=0.5), bf16=True)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model(**batch).loss.item() == pytest.approx(expected.item(), rel=0.02)


def test_bfloat16_does_not_blur_the_most_likely_tokens():
    """Far from 0, where neighbours are 0.5 apart and the best tokens would tie."""
    text = for_inference(tiny_model(), bf16=True).text_generator
    with torch.no_grad():
        text.lm.lm_head.weight += 3
    hidden = torch.full((1, 1, 32), 1.0).bfloat16() + torch.randn(4, 2, 32).bfloat16() / 64
    expected = hidden.float() @ text.lm.lm_head.weight.float().T
    assert expected.min() > 64
    found = text.next_logits(hidden)
    top = expected.topk(5).indices
    torch.testing.assert_close(found.gather(-1, top), expected.gather(-1, top), atol=1e-3, rtol=0)
    rounded = text.lm.lm_head(hidden).float()
    assert (rounded - expected).abs().max() > 0.05
    assert (rounded.argmax(-1) != expected.argmax(-1)).any()


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"torch_compile needs a C\+\+ compiler"):
        for_inference(tiny_model(), torch_compile=True)
