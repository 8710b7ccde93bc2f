"""Captions and cached features as training batches, gathered a whole batch at a time.

An example is a pair (image row, reference number): the sampler decides which reference of an image an epoch
shows, so the dataset itself is a pure function and a resumed epoch sees the same examples.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from components.data.tables import Tables
from components.features.rows import spans
from components.features.store import Features
from components.features.text import pad_flat
from components.model import CaptionProcessor

CAPTIONS_AT_A_TIME = 10_000
"""That the tokenizer is given: what it returns is many times as large as what is kept."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of many captions, one after the other: caption i has `lengths[i]` of them from `starts[i]`
    on.
    """

    ids: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, captions: Iterable[Sequence[int]]) -> "Tokens":
        """Those of `captions`, as int32."""
        ids, lengths = array("i"), array("q")
        for caption in captions:
            ids.extend(caption)
            lengths.append(len(caption))
        counts = np.array(lengths, dtype=np.int64)
        return cls(np.array(ids, dtype=np.int32), counts.cumsum() - counts, counts)

    def take(self, captions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids of some captions [b], one after the other, and how many each has [b]."""
        lengths = self.lengths[captions]
        return self.ids[spans(self.starts[captions], lengths)], lengths


@dataclass(frozen=True)
class Examples:
    """A batch before it is gathered: which images and views [b], and their captions' `Tokens.take`."""

    rows: np.ndarray
    image_ids: list[str]
    views: list[int]
    ids: np.ndarray
    lengths: np.ndarray


class CaptionDataset(Dataset):
    """Rows of one split: tokenised references of every image, in the model's text format.

    The captions of image `row` are the `counts[row]` of `tokens` from `first[row]` on, with both ends, cut to
    `max_tokens` (the end is kept); `truncated` counts those that were cut. Where an image has augmented
    views, each of its references can be chosen with each of them: choosing one chooses both.
    """

    def __init__(self, tables: Tables, processor: CaptionProcessor, max_tokens: int, views: int = 1):
        self.tables, self.views = tables, views
        self.image_ids = tables.images["image_id"].tolist()
        image = tables.images.set_index("image_id").index.get_indexer(tables.captions["image_id"])
        captions = tables.captions["caption"].iloc[np.argsort(image, kind="stable")]
        self.counts = np.bincount(image, minlength=len(self.image_ids))
        self.first = self.counts.cumsum() - self.counts
        self.truncated = 0
        self.tokens = Tokens.of(self._cut(_tokenise(processor, captions.tolist()), max_tokens))

    def _cut(self, captions: Iterable[list[int]], max_tokens: int) -> Iterator[list[int]]:
        for ids in captions:
            self.truncated += len(ids) > max_tokens
            yield ids if len(ids) <= max_tokens else ids[: max_tokens - 1] + ids[-1:]

    @property
    def references(self) -> list[list[str]]:
        """The captions of every image."""
        return list(self.tables.references().values())

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitems__(self, examples: Sequence[tuple[int, int] | int]) -> Examples:
        """The images of some rows with one of their references each; a bare row means the first, as
        validation wants it.
        """
        pairs = [example if isinstance(example, tuple) else (example, 0) for example in examples]
        rows, choices = np.array(pairs).T
        views, references = np.divmod(choices, self.counts[rows])
        image_ids = [self.image_ids[row] for row in rows]
        return Examples(rows, image_ids, views.tolist(), *self.tokens.take(self.first[rows] + references))


def _tokenise(processor: CaptionProcessor, captions: list[str]) -> Iterator[list[int]]:
    """By the tokenizer's own core: masks and offsets, which nobody needs, cost three times as much as ids."""
    core = processor.tokenizer.backend_tokenizer
    core.no_truncation()
    core.no_padding()
    for start in range(0, len(captions), CAPTIONS_AT_A_TIME):
        texts = [processor.wrap(caption) for caption in captions[start : start + CAPTIONS_AT_A_TIME]]
        yield from (encoded.ids for encoded in core.encode_batch_fast(texts, add_special_tokens=False))


@dataclass
class CaptionCollator:
    """Examples -> `vision_features` [b x F x num_tokens x width] and `frame_mask` [b x F] where clips differ
    in length; `input_ids`, `attention_mask`, `labels` [b x s], see `pad`. `rows` [b] says which images these
    are.
    """

    features: Features
    pad_token_id: int

    def __call__(self, examples: Examples) -> dict[str, Tensor]:
        return {
            **self.features.batch(examples.image_ids, examples.views),
            **pad_flat(torch.from_numpy(examples.ids), torch.from_numpy(examples.lengths), self.pad_token_id),
            "rows": torch.from_numpy(examples.rows),
        }


def loading(features: Features, readers: int) -> dict[str, Any]:
    """How batches get to the device, as fields of `TrainingArguments`: by `readers` processes, ahead of the
    step and through pinned memory, unless they are there already.

    The processes are forked, so that they share what is held, and end with each epoch: one that stayed would
    draw on torch's random numbers less often than none does, and an epoch depends on no more than its number.
    """
    place, gpu = features.residence.place, torch.cuda.is_available()
    ahead = place == "disk" or (place == "host" and gpu)  # on a CPU, memory is near enough
    pinned = ahead and gpu
    loader = {"dataloader_pin_memory": pinned, "accelerator_config": {"non_blocking": pinned}}
    if ahead and readers:
        loader |= {"dataloader_num_workers": readers, "dataloader_multiprocessing_context": "fork"}
    return loader
