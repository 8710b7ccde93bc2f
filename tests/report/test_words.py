"""The words of captions, and how probable they were."""

import math

import pytest
import torch

from components.report.answers import Asked, ask, to_json
from components.report.words import Word, probabilities, split_words, token_groups
from tests.evaluation_fixtures import CAPTIONS, small_captioner
from tests.tracking_fixtures import pictures, tiny_captioner


@pytest.fixture(scope="module")
def captioner():
    model, model.processor, inputs = small_captioner()
    return model, inputs


def test_tokens_are_joined_to_words():
    tokens = ["<e>", " two", " snow", "men", ",", " a", " dog", " ", "<e>"]
    assert token_groups(tokens, {"<e>"}) == [[1], [2, 3, 4], [5], [6]]


def test_a_word_is_decoded_whole(captioner):
    """Of 'café', no token has all of é."""
    tokenizer = captioner[0].processor.tokenizer
    input_ids = captioner[0].processor(text="a café, two")["input_ids"][0]
    words = split_words(tokenizer, input_ids)
    assert [word.text for word in words] == ["a", "café,", "two"]
    assert [place for word in words for place in word.tokens] == list(range(1, words[-1].tokens[-1] + 1))


@pytest.mark.parametrize(
    ("text", "is_function"), [("the", True), ("With,", True), ("...", True), ("left", False), ("two", False)]
)
def test_function_words(text, is_function):
    assert Word(text, [1]).is_function == is_function


@pytest.mark.parametrize("caption", CAPTIONS[:3])
def test_probabilities_are_those_of_the_loss(captioner, caption):
    model, inputs = captioner
    batch, seen = model.processor(text=caption), inputs(["image-0"])
    input_ids, labels = batch["input_ids"], batch["labels"].clone()
    words = split_words(model.processor.tokenizer, input_ids[0])
    each, whole = probabilities(model, input_ids, words, **seen)
    labels[0, 0] = -100  # BOS is given
    with torch.no_grad():
        loss = model(input_ids=input_ids, labels=labels, **seen).loss.item()
        assert math.log(whole) == pytest.approx(-loss * (labels != -100).sum().item(), rel=1e-4)
        for word, probability in zip(words, each, strict=True):
            only = torch.full_like(labels, -100)
            only[0, word.tokens] = input_ids[0, word.tokens]
            loss = model(input_ids=input_ids, labels=only, **seen).loss.item()
            assert math.log(probability) == pytest.approx(-loss * len(word.tokens), rel=1e-4)


def test_an_answer_scores_the_tokens_that_were_chosen():
    """Greedy search takes the most probable token each time, so no word of one token is improbable."""
    model = tiny_captioner()
    answer = ask(model, pictures(1), num_beams=1, max_new_tokens=6)
    assert answer.caption == " ".join(word.text for word in answer.words)
    least = 1 / model.config.text_config.vocab_size
    for word, probability in zip(answer.words, answer.word_probabilities, strict=True):
        assert probability >= least ** len(word.tokens)
    assert answer.probability <= math.prod(answer.word_probabilities) * (1 + 1e-5)
    assert answer.looked.shape == (len(answer.words), 1, 4)
    [entry] = to_json([Asked("a.png", {"mlp": answer})])
    assert entry["image"] == "a.png" and entry["mlp"]["caption"] == answer.caption
    assert [word["word"] for word in entry["mlp"]["words"]] == answer.caption.split()
