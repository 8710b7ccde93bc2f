"""generate(): with and without a cache, alone and in batches, in every way that transformers decodes."""

import pytest
import torch
from transformers import DynamicCache

from tests.model_fixtures import captions, images, tiny_model

torch.set_num_threads(1)
VARIANTS = [("mlp", True), ("transformer", True), ("none", True), ("mlp", False)]
MIXED = torch.tensor([[True, True, True], [True, False, False], [True, True, False]])
"""Clips of three frames, one and two."""


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.mark.parametrize(("mapper", "resampler"), VARIANTS)
def test_cached_logits_equal_uncached_token_by_token(mapper, resampler):
    model = tiny_model(mapper=mapper, resampler=resampler)
    pictures, ids = images(3, frames=3), captions(3, 9)
    with torch.no_grad():
        whole = model(pixel_values=pictures, frame_mask=MIXED, input_ids=ids).logits[:, 2:]
        step = model(pixel_values=pictures, frame_mask=MIXED, input_ids=ids[:, :1], use_cache=True)
        logits = [step.logits[:, -1]]
        for i in range(1, ids.shape[1]):
            step = model(input_ids=ids[:, i : i + 1], cache=step.cache)  # the cache brings the images
            logits.append(step.logits[:, -1])
    torch.testing.assert_close(torch.stack(logits, dim=1), whole[:, 1:], atol=2e-5, rtol=0)


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize(("mapper", "resampler"), VARIANTS)
def test_the_cache_changes_no_caption(mapper, resampler, beams):
    model = tiny_model(mapper=mapper, resampler=resampler)
    arguments = {"pixel_values": images(3, frames=3), "frame_mask": MIXED, "num_beams": beams}
    cached = model.generate(**arguments, max_new_tokens=10)
    assert torch.equal(cached, model.generate(**arguments, max_new_tokens=10, use_cache=False))


def test_a_static_cache_has_room_for_the_prefix(model):
    arguments = {"pixel_values": images(2, frames=3), "num_beams": 3, "max_new_tokens": 8}
    static = model.generate(**arguments, cache_implementation="static", disable_compile=True)
    assert torch.equal(static, model.generate(**arguments))


@pytest.mark.parametrize("beams", [1, 4])
def test_a_batch_equals_one_by_one(model, beams):
    pictures = images(3, frames=3)
    batch = model.generate(pixel_values=pictures, frame_mask=MIXED, num_beams=beams, max_new_tokens=10)
    for row, frames in enumerate(MIXED.sum(dim=1)):
        clip = pictures[row : row + 1, :frames]
        alone = model.generate(pixel_values=clip, num_beams=beams, max_new_tokens=10)[0]
        assert batch[row, : len(alone)].tolist() == alone.tolist()


def test_images_matter(model):
    one, two = model.generate(pixel_values=images(2, seed=3), max_new_tokens=8)
    assert one.tolist() != two.tolist()


def test_features_computed_before_give_the_same_captions(model):
    pictures = images(2)
    features = model.encode_images(pictures)
    expected = model.generate(pixel_values=pictures, max_new_tokens=8)
    assert torch.equal(model.generate(vision_features=features, max_new_tokens=8), expected)


def test_keys_and_values_are_computed_once_an_image_and_never_copied(model):
    """One call of each projection for a whole beam search, one entry an image however many beams."""
    calls = []
    blocks = model.text_generator.gated.values()
    hooks = [b.attention.to_kv.register_forward_hook(lambda m, i, o: calls.append(len(o))) for b in blocks]
    cache = DynamicCache()
    model.generate(pixel_values=images(2), num_beams=5, max_new_tokens=8, cache=cache)
    for hook in hooks:
        hook.remove()
    assert calls == [2] * len(hooks)
    assert [len(keys) for keys, _ in cache.context.key_values] == [2] * len(hooks)
    assert len(cache.layers[0].keys) == 2 * 5


def test_beams_laid_out_as_queries_equal_copied_keys_and_values(model):
    """Rows folded into their image's queries = the plain way, each image repeated for its rows."""
    block = model.text_generator.gated[0]
    states = torch.randn(6, 5, 32)
    keys, values = block.attention.key_values(torch.randn(2, 4, 32))
    folded = block(states, (keys, values))
    copied = block(states, (keys.repeat_interleave(3, 0), values.repeat_interleave(3, 0)))
    torch.testing.assert_close(folded, copied)


@pytest.mark.parametrize(
    "how",
    [
        {"do_sample": True, "top_p": 0.8},
        {"do_sample": True, "top_k": 5, "temperature": 0.7},
        {"num_beams": 4, "num_return_sequences": 3},
        {"do_sample": True, "num_return_sequences": 3},
        {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
    ],
    ids=lambda how: "-".join(how),
)
def test_ways_of_decoding(model, how):
    torch.manual_seed(0)
    first = model.generate(pixel_values=images(2), max_new_tokens=8, **how)
    torch.manual_seed(0)
    again = model.generate(pixel_values=images(2), max_new_tokens=8, **how)
    assert torch.equal(first, again)
    assert first.shape[0] == 2 * how.get("num_return_sequences", 1)
    assert (first[:, 0] == 49).all()
    if "no_repeat_ngram_size" in how:
        for row in first.tolist():
            words = row[1 : row.index(49, 1)] if 49 in row[1:] else row[1:]
            pairs = list(zip(words, words[1:], strict=False))
            assert len(pairs) == len(set(pairs))


def test_the_padding_side_of_a_prompt_does_not_matter(model):
    """Beginnings of captions of different lengths, padded left or right or given one by one."""
    prompts = [[49, 3, 7, 11], [49, 5]]
    right = torch.tensor([prompts[0], prompts[1] + [0, 0]])
    left = torch.tensor([prompts[0], [0, 0] + prompts[1]])
    pictures = images(2)
    arguments = {"pixel_values": pictures, "max_new_tokens": 6, "num_beams": 2}
    from_right = model.generate(right, attention_mask=torch.tensor([[1] * 4, [1, 1, 0, 0]]), **arguments)
    from_left = model.generate(left, attention_mask=torch.tensor([[1] * 4, [0, 0, 1, 1]]), **arguments)
    assert torch.equal(from_right, from_left)
    for row, prompt in enumerate(prompts):
        arguments["pixel_values"] = pictures[row : row + 1]
        alone = model.generate(torch.tensor([prompt]), **arguments)[0]
        assert from_left[row, 4 - len(prompt) :][: len(alone)].tolist() == alone.tolist()


def test_the_padding_side_of_captions_does_not_matter(model):
    """Loss and logits of each token are the same with padding on the left, on the right, or none."""
    ids, pictures = captions(1, 6), images(1, frames=2)
    pad = torch.zeros(1, 3, dtype=torch.long)
    nothing, ones = pad - 100, torch.ones_like(ids)
    with torch.no_grad():
        plain = model(pixel_values=pictures, input_ids=ids, labels=ids)
        left = model(
            pixel_values=pictures,
            input_ids=torch.cat((pad, ids), 1),
            attention_mask=torch.cat((pad, ones), 1),
            labels=torch.cat((nothing, ids), 1),
        )
        right = model(
            pixel_values=pictures,
            input_ids=torch.cat((ids, pad), 1),
            attention_mask=torch.cat((ones, pad), 1),
            labels=torch.cat((ids, nothing), 1),
        )
    for padded, rows in ((left, slice(4, 11)), (right, slice(1, 8))):
        assert padded.loss.item() == pytest.approx(plain.loss.item(), abs=1e-6)
        torch.testing.assert_close(padded.logits[:, rows], plain.logits[:, 1:], atol=1e-5, rtol=0)


def test_several_captions_of_an_image_share_its_context(model):
    """Five references of each image in one batch: as if each came with its own copy of the image."""
    ids, pictures = captions(6, 7), images(2)
    with torch.no_grad():
        shared = model(pixel_values=pictures, input_ids=ids, labels=ids)
        copied = model(pixel_values=pictures.repeat_interleave(3, 0), input_ids=ids, labels=ids)
    torch.testing.assert_close(shared.logits, copied.logits, atol=1e-5, rtol=0)
    assert shared.loss.item() == pytest.approx(copied.loss.item(), abs=1e-6)
