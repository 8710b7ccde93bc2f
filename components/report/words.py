"""The words of a caption: the tokens that each consists of, and how probable it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from components.evaluation.scoring.monitors import words as bare_words
from components.model import CaptionModel

_GRAMMAR = """
a an the and or but nor of to in on at by with from for as that which who there it its this these those
his her their some is are was were be been being has have had
"""
FUNCTION_WORDS = frozenset(_GRAMMAR.split())
"""Words of English that show nothing by themselves. Those that say where things stand are not among them."""


@dataclass(frozen=True)
class Word:
    """A word of a caption.

    Attributes:
        text: as it is written, with the punctuation that touches it.
        tokens: their positions in `input_ids`, where BOS is at 0.
    """

    text: str
    tokens: list[int]

    @property
    def is_function(self) -> bool:
        """It is one of the `FUNCTION_WORDS`, or nothing but punctuation."""
        return set(bare_words(self.text)) <= FUNCTION_WORDS


def split_words(tokenizer: Any, input_ids: Tensor) -> list[Word]:
    """The words of a caption [L], BOS and EOS left out."""
    ends = {tokenizer.bos_token, tokenizer.eos_token}
    groups = token_groups([tokenizer.decode([token]) for token in input_ids.tolist()], ends)
    # a token may be part of a character, so a word is decoded whole
    return [Word(tokenizer.decode(input_ids[places]).strip(), places) for places in groups]


def token_groups(tokens: Sequence[str], skip: set[str]) -> list[list[int]]:
    """The positions of each word's tokens: one with a leading space begins a word."""
    groups: list[list[int]] = []
    for place, token in enumerate(tokens):
        if token in skip or not token.strip():
            continue
        if groups and not token.startswith(" "):
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


@torch.no_grad()
def probabilities(
    model: CaptionModel, input_ids: Tensor, words: Sequence[Word], **images: Tensor
) -> tuple[list[float], float]:
    """How probable each word of a caption was, given the picture and the words before it; and the whole
    caption: the product over all its tokens but BOS.

    Args:
        input_ids: [1 x L] the caption, from BOS on.
        words: of it, see `split_words`.
        images: pixel_values or vision_features of the one picture or clip, as `forward` takes them.
    """
    logits = model(input_ids=input_ids, **images).logits[0, -input_ids.shape[1] : -1]  # of tokens 1, 2, ...
    chosen = logits.float().log_softmax(dim=-1).gather(1, input_ids[0, 1:, None])[:, 0].cpu()
    each = [chosen[[place - 1 for place in word.tokens]].sum().exp().item() for word in words]
    return each, chosen.sum().exp().item()
