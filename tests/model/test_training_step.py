"""The training step: loss without logits, accumulation, bfloat16, torch.compile."""

import shutil

import pytest
import torch
from transformers import GPT2Config

from components.model.bridge import hold_towers_in
from tests.model_fixtures import TEXT, captions, images, tiny_model

torch.set_num_threads(1)


@pytest.fixture
def batch():
    ids = captions(3, 7)
    mask = torch.ones_like(ids)
    mask[1, 5:] = mask[2, 3:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    return {"pixel_values": images(3), "input_ids": ids, "attention_mask": mask, "labels": labels}


def _gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_training_skips_the_logits_and_gives_the_same_loss(batch):
    model = tiny_model()
    with_logits = model(**batch)
    model.train()
    without = model(**batch)
    assert without.logits is None
    assert with_logits.logits.shape == (3, 8, 50)
    assert without.loss.item() == pytest.approx(with_logits.loss.item(), abs=1e-6)
    assert model(**batch, skip_logits=False).logits is not None


def test_micro_batches_weigh_each_token_alike(batch):
    """Captions of 7, 5 and 3 tokens in two micro-batches: the sum over all tokens, divided once."""
    model = tiny_model().train()
    model(**batch).loss.backward()
    expected = _gradients(model)
    model.zero_grad()
    for rows in (slice(0, 1), slice(1, 3)):
        part = {name: tensor[rows] for name, tensor in batch.items()}
        model(**part, num_items_in_batch=15).loss.backward()
    for name, gradient in _gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mapper", ["mlp", "transformer"])
def test_bfloat16_autocast(batch, mapper):
    model = tiny_model(mapper=mapper, gates=0.2).train()
    full = model(**batch).loss
    full.backward()
    expected = _gradients(model)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        half = model(**batch).loss
    half.backward()
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), rel=0.02)
    found = _gradients(model)
    assert found.keys() == expected.keys()
    flat, other = (torch.cat([g[name].flatten() for name in expected]) for g in (expected, found))
    assert torch.cosine_similarity(flat, other, dim=0) > 0.98


def test_towers_held_in_bfloat16(batch):
    """Under autocast the same but for the rounding of token embeddings; the bridge stays in float32."""
    model = tiny_model(gates=0.2).train()
    model(**batch).loss.backward()
    expected = torch.cat([g.flatten() for g in _gradients(model).values()])
    model.zero_grad()
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    hold_towers_in(model, torch.bfloat16)
    assert model.text_generator.lm.lm_head.weight is model.get_input_embeddings().weight
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(**batch).loss
    loss.backward()
    found = _gradients(model)
    assert list(found) == names
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    flat = torch.cat([g.flatten() for g in found.values()])
    assert torch.cosine_similarity(flat, expected, dim=0) > 0.98


def test_a_bfloat16_model_captions(batch):
    model = tiny_model().to(torch.bfloat16)
    sequences = model.generate(pixel_values=batch["pixel_values"], num_beams=3, max_new_tokens=6)
    assert sequences.shape[0] == 3


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("gcc") and not shutil.which("clang"), reason="torch.compile needs a C compiler"
)
def test_torch_compile_on_the_training_step(batch):
    """One graph, without a break, and the same loss and gradients; one block each, as compiling is slow."""
    model = tiny_model(
        text_config=GPT2Config(**(TEXT | {"n_layer": 1})), resampler_depth=1, mapper="none"
    ).train()
    batch["vision_features"] = model.encode_images(batch.pop("pixel_values"))
    model(**batch).loss.backward()
    expected, loss = _gradients(model), model(**batch).loss.item()
    model.zero_grad()
    compiled = torch.compile(model, fullgraph=True, backend="inductor")
    found = compiled(**batch).loss
    found.backward()
    assert found.item() == pytest.approx(loss, abs=1e-5)
    for name, gradient in _gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-4, rtol=1e-3)
