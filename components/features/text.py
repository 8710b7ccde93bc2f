"""Captions as the language model reads them, wherever it does: BOS + " " + caption + " " + EOS."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""The label of a place where no token is asked for."""


def wrap(tokenizer: PreTrainedTokenizerBase, caption: str) -> str:
    """A caption with both ends, as the reference has it; for GPT-2 both are `<|endoftext|>`."""
    return f"{begin(tokenizer, caption)}{ending(tokenizer)}"


def begin(tokenizer: PreTrainedTokenizerBase, words: str) -> str:
    """The first words of a caption, after which there will be more."""
    return f"{tokenizer.bos_token} {words}"


def ending(tokenizer: PreTrainedTokenizerBase) -> str:
    """What follows a caption's last word."""
    return f" {tokenizer.eos_token}"


def pad(rows: Sequence[Sequence[int]], padding: int) -> dict[str, Tensor]:
    """`input_ids`, `attention_mask` and `labels` [R x L] of captions, padded on the right.

    Labels are -100 on padding and nowhere else, so that the prefix learns to predict BOS and a caption learns
    to end.
    """
    lengths = torch.tensor([len(row) for row in rows])
    return pad_flat(torch.tensor([token for row in rows for token in row]), lengths, padding)


def pad_flat(tokens: Tensor, lengths: Tensor, padding: int) -> dict[str, Tensor]:
    """The same of captions that stand one after the other in `tokens`; `lengths` [R] says where each ends."""
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.full(mask.shape, padding)
    ids[mask] = tokens.long()
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": ids.masked_fill(~mask, IGNORED)}
