"""Frozen means frozen; closed gates mean the plain language model."""

import copy

import pytest
import torch

from components.model.bridge import gates
from tests.model_fixtures import captions, images, tiny_model

torch.set_num_threads(1)


def _step(model, optimizer, seed=0):
    model.train()
    loss = model(pixel_values=images(seed=seed), input_ids=captions(), labels=captions()).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


@pytest.mark.parametrize(("mapper", "resampler"), [("mlp", True), ("transformer", False)])
def test_towers_are_bit_identical_after_training_and_the_bridge_is_not(mapper, resampler):
    model = tiny_model(mapper=mapper, resampler=resampler)
    before = copy.deepcopy(model.state_dict())
    bridge = set(model.bridge_state_dict())
    optimizer = torch.optim.AdamW(model.bridge_parameters(), lr=1e-2, weight_decay=0.1)
    losses = [_step(model, optimizer) for _ in range(5)]
    assert losses[-1] < losses[0]
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed <= bridge
    assert len(changed) > len(bridge) / 2


def test_only_the_bridge_has_gradients():
    model = tiny_model()
    model.train()
    model(pixel_values=images(), input_ids=captions(), labels=captions()).loss.backward()
    bridge = set(model.bridge_state_dict())
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name in bridge)
        assert parameter.grad is None or name in bridge
    assert {id(p) for p in model.parameters() if p.requires_grad} == {
        id(p) for p in model.bridge_parameters()
    }


def test_closed_gates_give_the_plain_language_model_s_output():
    """At step 0 a gated block is the identity, bit by bit: plain GPT-2 after the same prefix."""
    model = tiny_model(gates=0.0)
    ids = captions(2, 8)
    embeddings = model.get_input_embeddings()(ids)
    with torch.no_grad():
        output = model(pixel_values=images(2), input_ids=ids)
        plain = tiny_model(gates=0.0, resampler=False).text_generator.lm
        blocks = zip(plain.transformer.h, model.text_generator.lm.transformer.h, strict=True)
        plain.load_state_dict(
            {k: v for k, v in model.text_generator.lm.state_dict().items() if "gated" not in k}
        )
        assert all(type(p) is not type(g) for p, g in blocks)
        expected = plain(inputs_embeds=torch.cat((output.prefix, embeddings), dim=1)).logits
    assert torch.equal(output.logits, expected)


def test_closed_gates_hide_the_image_from_the_text_and_open_ones_show_it():
    ids = captions(1, 5)
    for alpha, same in ((0.0, True), (0.5, False)):
        model = tiny_model(gates=alpha)
        context = model.encode(images(2))
        context.prefix[1] = context.prefix[0]  # the prefix shows the image, too: make it the same
        with torch.no_grad():
            one, two = model(context=context, input_ids=ids.repeat(2, 1)).logits
        assert torch.equal(one, two) == same


def test_closed_gates_can_open():
    """d loss / d alpha is not 0 at alpha = 0, although what is behind the gate gets no gradient yet."""
    model = tiny_model(gates=0.0)
    model(pixel_values=images(), input_ids=captions(), labels=captions()).loss.backward()
    block = model.text_generator.gated[0]
    assert block.attention_gate.grad.abs() > 0
    assert block.feed_forward_gate.grad.abs() > 0
    assert block.attention.to_q.weight.grad.abs().max() == 0
    assert set(gates(model).values()) == {0.0}


def test_gates_are_reported_by_block():
    model = tiny_model(gates=0.5, cross_attention_every=2)
    opened = gates(model)
    assert set(opened) == {"attention.0", "feed_forward.0", "attention.2", "feed_forward.2"}
    assert opened["attention.2"] == pytest.approx(torch.tensor(0.5).tanh().item())


def test_frozen_means_eval_too():
    """Without tower_dropout, training mode reaches the bridge alone."""
    model = tiny_model(dropout=0.5).train()
    bridge = [model.mapper, model.resampler, *model.text_generator.gated.values()]
    learning = {id(module) for part in bridge for module in part.modules()}
    for module in list(model.vision_encoder.modules()) + list(model.text_generator.lm.modules()):
        assert module.training == (id(module) in learning)
    assert model.mapper.training
    assert not model.eval().text_generator.gated[0].training


@pytest.mark.parametrize(
    ("fields", "varies"), [({}, False), ({"dropout": 0.3}, True), ({"tower_dropout": 0.3}, True)]
)
def test_dropout_is_off_unless_asked_for(fields, varies):
    model = tiny_model(**fields).train()
    inputs = {"pixel_values": images(), "input_ids": captions(), "labels": captions()}
    losses = {model(**inputs).loss.item() for _ in range(3)}
    assert (len(losses) > 1) == varies
    model.eval()
    assert len({model(**inputs).loss.item() for _ in range(3)}) == 1


def test_same_seed_same_model_same_training():
    runs = []
    for _ in range(2):
        model = tiny_model(seed=5, dropout=0.1)
        optimizer = torch.optim.AdamW(model.bridge_parameters(), lr=1e-2)
        torch.manual_seed(7)
        runs.append([_step(model, optimizer) for _ in range(3)])
    assert runs[0] == runs[1]
