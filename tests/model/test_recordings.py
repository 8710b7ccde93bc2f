"""Agreement with recorded runs of the reference system."""

import pytest
import torch
from torch.nn import functional as F

from tests.model_fixtures import MANIFEST, Recording, recording

torch.set_num_threads(1)
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=MANIFEST)
def run(request) -> Recording:
    return recording(request.param)


def test_every_output_agrees_where_the_clip_has_all_frames(run):
    with torch.no_grad():
        output = run.model(**run.images, **run.text)
    frames = run["in/pixel_values"].shape[1]
    logits = output.logits[:, frames - 1 : frames - 1 + run["in/tokens"].shape[1]]
    real = run["in/tokens_mask"].bool() & run.full[:, None]
    assert (logits - run["out/logits"])[real].abs().max() < TOLERANCE
    assert (output.prefix - run["out/prefix"])[run.full].abs().max() < TOLERANCE
    assert (output.vision_features - run["out/vision_hidden"])[run.full].abs().max() < TOLERANCE
    if "out/visual_tokens" in run.tensors:
        assert (output.visual_tokens - run["out/visual_tokens"])[run.full].abs().max() < TOLERANCE
    else:
        assert output.visual_tokens is None


def test_parameters_are_as_many(run):
    assert run.model.num_parameters() == run.entry["total_parameters"]
    assert run.model.num_parameters(only_trainable=True) == run.entry["trainable_parameters"]


def test_loss_and_gradient_agree(run):
    """The reference ignores every token 0, so the labels here do too."""
    if not run.full.all():
        pytest.skip("the reference lets padded frames leak into this loss")
    labels = run["in/tokens"].masked_fill(run["in/tokens"] == 0, -100)
    run.model.zero_grad()
    output = run.model(**run.images, **run.text, labels=labels)
    output.loss.backward()
    gradients = [p.grad for p in run.model.bridge_parameters() if p.grad is not None]
    norm = torch.stack([g.norm() for g in gradients]).norm()
    assert output.loss.item() == pytest.approx(run.entry["loss_ignoring_token_0"], abs=1e-5)
    assert norm.item() == pytest.approx(run.entry["gradient_norm"], rel=1e-4)


def test_greedy_tokens_are_identical(run):
    """In one batch, padded frames and all: the recorded ones were decoded image by image without padding."""
    generated = run.model.generate(**run.images, max_new_tokens=16, do_sample=False)
    for row, expected in zip(generated.tolist(), run.entry["greedy_tokens"], strict=True):
        assert row[: len(expected)] == expected
        assert set(row[len(expected) :]) <= {96}


def test_beam_search_finds_captions_at_least_as_likely(run):
    """The reference's search drops its last token: EOS where it had ended, the 16th at the limit."""
    generated = run.model.generate(**run.images, num_beams=5, max_new_tokens=15).tolist()
    ours = [_until_end(row) for row in generated]
    theirs = [row if len(row) == 16 else row + [96] for row in run.entry["beam5_tokens"]]
    assert _mean_log_probability(run, ours) >= _mean_log_probability(run, theirs) - 1e-5


def test_a_padded_clip_captions_as_it_does_alone(run):
    batch = run.model.generate(**run.images, max_new_tokens=12, num_beams=3)
    for row, tokens in enumerate(batch.tolist()):
        alone = run.model.generate(**run.alone(row), max_new_tokens=12, num_beams=3)[0].tolist()
        assert tokens[: len(alone)] == alone


def test_a_padded_clip_scores_as_it_does_alone(run):
    with torch.no_grad():
        frames = run["in/pixel_values"].shape[1]
        batch = run.model(**run.images, **run.text).logits[:, frames - 1 :]
        for row in range(len(batch)):
            length = int(run["in/tokens_mask"][row].sum())
            alone = run.model(**run.alone(row), input_ids=run["in/tokens"][row : row + 1, :length]).logits
            alone = alone[0, int(run["in/frame_count"][row]) - 1 :]
            torch.testing.assert_close(batch[row, : length + 1], alone, atol=2e-5, rtol=0)


def test_loss_ignores_padding_and_nothing_else(run):
    """Token 0 is a word like any other; the reference never learns it."""
    ids = run["in/tokens"].clone()
    ids[:, 3] = 0  # a real token in every row
    mask = run.text["attention_mask"]
    labels = ids.masked_fill(mask == 0, -100)
    with torch.no_grad():
        output = run.model(**run.images, input_ids=ids, attention_mask=mask, labels=labels)
    logits = output.logits[:, -ids.shape[1] - 1 : -1]
    each = F.cross_entropy(logits.transpose(1, 2), ids, reduction="none")
    assert output.loss.item() == pytest.approx(each[mask.bool()].mean().item(), abs=1e-5)


def _until_end(row: list[int]) -> list[int]:
    return row[: row.index(96, 1) + 1] if 96 in row[1:] else row


@torch.no_grad()
def _mean_log_probability(run: Recording, rows: list[list[int]]) -> float:
    means = []
    for i, row in enumerate(rows):
        tokens = torch.tensor([row])
        logits = run.model(**run.alone(i), input_ids=tokens).logits[0, -len(row) : -1]
        chosen = logits.log_softmax(dim=-1).gather(1, tokens[0, 1:, None])
        means.append(chosen.mean().item())
    return sum(means) / len(means)
