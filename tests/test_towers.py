"""The two towers: ordinary save_pretrained folders that know their domain better than chance."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import AutoTokenizer, CLIPModel, GPT2LMHeadModel

from components.config import Params
from components.errors import UserError
from components.towers.build import build_towers
from components.towers.clip import contrastive_loss, visible_patches
from components.towers.encode import VisionEncoder, text_embeds
from components.towers.gpt2 import documents
from components.towers.tokenizer import clip_tokenizer, gpt2_tokenizer, train_bpe


@pytest.fixture(scope="module")
def bpe():
    return train_bpe(["a red apple above two snowmen"] * 3, vocab_size=300)


def test_both_tokenizers_give_back_what_they_read(bpe):
    caption = "two snowmen, café № 5 — 雪"
    for tokenizer in (clip_tokenizer(bpe, 32), gpt2_tokenizer(bpe, 32)):
        assert tokenizer.decode(tokenizer(caption)["input_ids"], skip_special_tokens=True) == caption


def test_clip_text_is_pooled_at_its_first_end_token_and_nowhere_before(bpe):
    tokenizer = clip_tokenizer(bpe, 32)
    ids = tokenizer("a red apple")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id != tokenizer.eos_token_id
    assert ids.index(tokenizer.eos_token_id) == len(ids) - 1


def test_gpt2_reads_the_captions_of_one_picture_together_in_the_captioners_text_format(bpe):
    """BOS + ' ' + caption + ' ' + EOS: what the frozen model is asked for later it must have seen."""
    tokenizer = gpt2_tokenizer(bpe, 64)
    apple, snowmen = [f"a red apple {i}" for i in range(5)], ["two snowmen"]
    rows = documents([apple, snowmen], tokenizer, seed=0)
    texts = [tokenizer.decode(row).split("<|endoftext|>") for row in rows]
    assert [len(text) - 2 for text in texts] == [2, 3, 1]
    assert all(text[0] == text[-1] == "" for text in texts)
    assert {caption for text in texts[:2] for caption in text[1:-1]} == {f" {caption} " for caption in apple}
    assert texts[2][1:-1] == [" two snowmen "]


def test_equal_captions_in_a_batch_are_no_negatives_of_each_other():
    twins, separate = torch.tensor([[1, 2], [1, 2], [3, 4]]), torch.tensor([[1, 2], [1, 3], [3, 4]])
    best = [[20.0, 20.0, 0.0], [20.0, 20.0, 0.0], [0.0, 0.0, 20.0]]

    def pull(captions):
        logits = torch.tensor(best, requires_grad=True)
        contrastive_loss(logits, captions).backward()
        return logits.grad.abs().max()

    assert pull(twins) < 1e-6, "twins are scored alike and nothing is left to learn"
    assert pull(separate) > 0.1


def test_folders_load_with_transformers_alone(towers, params):
    clip = CLIPModel.from_pretrained(towers / "clip")
    gpt2 = GPT2LMHeadModel.from_pretrained(towers / "gpt2")
    assert clip.config.vision_config.hidden_size == gpt2.config.n_embd == params.towers.offline.width
    assert AutoTokenizer.from_pretrained(towers / "gpt2").bos_token == "<|endoftext|>"
    assert sorted(p.name for p in towers.iterdir()) == ["clip", "gpt2", "metrics.json"]


def test_towers_say_what_they_can_do(towers, tables):
    metrics = json.loads((towers / "metrics.json").read_text())
    pairs = len(tables.split("val").images)
    assert metrics["R@5"] > 2 * 5 / pairs, "retrieval is no better than chance"
    assert metrics["perplexity"] < 150, "the language model knows less than word frequencies"


def test_the_hub_profile_takes_local_folders_and_gives_the_same_tensors(towers, params, tables, tmp_path):
    hub = {"clip": str(towers / "clip"), "gpt2": str(towers / "gpt2")}
    changed = Params.model_validate(
        params.model_dump(by_alias=True) | {"profile": "hub", "towers": {"hub": hub}}
    )
    build_towers(changed, tables, tmp_path / "towers")
    for name, kind in (("clip", CLIPModel), ("gpt2", GPT2LMHeadModel)):
        before = kind.from_pretrained(towers / name).state_dict()
        after = kind.from_pretrained(tmp_path / "towers" / name).state_dict()
        assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


def test_a_tower_that_cannot_be_had_is_one_message(params, tables, tmp_path):
    hub = {"clip": str(tmp_path / "no-such-folder"), "gpt2": "gpt2"}
    changed = Params.model_validate(
        params.model_dump(by_alias=True) | {"profile": "hub", "towers": {"hub": hub}}
    )
    with pytest.raises(UserError, match=r"towers.hub.clip is '.*no-such-folder'.*profile: offline"):
        build_towers(changed, tables, tmp_path / "towers")
    assert not (tmp_path / "towers").exists()


def test_threads_that_share_a_tower_see_their_own_pictures(towers, params, tables):
    """Both are inside the tower at once: no layer lets a thread go on before the other has come."""
    from threading import Barrier

    encoder = VisionEncoder(towers / "clip", params.model.feature_layer)
    images = [tables.open_image(image_id) for image_id in tables.images["image_id"][:2]]
    pixels = [encoder.processor([image], return_tensors="pt")["pixel_values"] for image in images]
    alone = [encoder(one)[0] for one in pixels]
    meeting = Barrier(2, timeout=60)
    layers = encoder.clip.vision_model.encoder.layers

    def wait(*_) -> None:
        meeting.wait()

    hooks = [layer.register_forward_hook(wait) for layer in layers]
    try:
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(lambda one: encoder(one)[0], pixels))
    finally:
        for hook in hooks:
            hook.remove()
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_masking_leaves_the_class_token_and_other_patches_of_each_picture():
    torch.manual_seed(0)
    embeddings = torch.arange(17.0).expand(3, 17)[..., None].repeat(1, 1, 4)
    seen = visible_patches(embeddings, 0.5)[..., 0]
    assert seen.shape == (3, 9) and (seen[:, 0] == 0).all()
    patches = [set(row[1:].tolist()) for row in seen]
    assert all(len(row) == 8 and 0 not in row for row in patches) and patches[0] != patches[1]
    assert visible_patches(embeddings, 0.0).shape == embeddings.shape


def test_captions_are_batched_alike_in_every_process(towers):
    """Another order within a batch, and the last digits of a score change."""
    clip = CLIPModel.from_pretrained(towers / "clip").eval()
    tokenizer = AutoTokenizer.from_pretrained(towers / "clip")
    batches = []

    def spy(texts, **kwargs):
        batches.append(list(texts))
        return tokenizer(texts, **kwargs)

    captions = [f"a cat {number}" for number in range(10, 50)]
    text_embeds(clip, spy, captions[::-1], batch_size=16)
    assert batches == [captions[:16], captions[16:32], captions[32:]]
