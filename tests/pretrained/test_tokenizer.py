"""The vocabulary of the pre-trained towers, in CLIP's and in GPT-2's form."""

import pytest

from pretrained.tokenizer import clip_tokenizer, gpt2_tokenizer, train_bpe


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
