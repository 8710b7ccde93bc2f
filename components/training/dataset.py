"""Captions and cached features as training batches.

An example is a pair (image row, reference number): the sampler decides which reference of an image an epoch
shows, so the dataset itself is a pure function and a resumed epoch sees the same examples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from components.data.tables import Tables
from components.features.store import Features
from components.features.text import pad
from components.model import CaptionProcessor


class CaptionDataset(Dataset):
    """Rows of one split: tokenised references of every image, in the model's text format.

    `tokens[row][choice]` are the ids of a caption with both ends, cut to `max_tokens` (the end is kept).
    Where an image has augmented views, its references stand there once for each of them: choosing one
    chooses both. `truncated` counts the captions that were cut.
    """

    def __init__(self, tables: Tables, processor: CaptionProcessor, max_tokens: int, views: int = 1):
        references = tables.references()
        self.image_ids = list(tables.images["image_id"])
        self.references = [references[image_id] for image_id in self.image_ids]
        flat = [processor.wrap(caption) for captions in self.references for caption in captions]
        ids = processor.tokenizer(flat, add_special_tokens=False)["input_ids"]
        self.truncated = sum(len(caption) > max_tokens for caption in ids)
        cut = iter([_cut(caption, max_tokens) for caption in ids])
        self.tokens = [[next(cut) for _ in captions] * views for captions in self.references]

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, example: tuple[int, int] | int) -> dict:
        """The image of a row with one of its references; a bare row means the first, as validation wants
        it.
        """
        row, choice = example if isinstance(example, tuple) else (example, 0)
        return {
            "row": row,
            "image_id": self.image_ids[row],
            "view": choice // len(self.references[row]),
            "input_ids": self.tokens[row][choice],
        }


def _cut(ids: list[int], max_tokens: int) -> list[int]:
    return ids if len(ids) <= max_tokens else ids[: max_tokens - 1] + ids[-1:]


@dataclass
class CaptionCollator:
    """Examples -> `vision_features` [b x F x num_tokens x width] and `frame_mask` [b x F] where clips differ
    in length; `input_ids`, `attention_mask`, `labels` [b x s], see `pad`. `rows` [b] says which images these
    are.
    """

    features: Features
    pad_token_id: int

    def __call__(self, examples: list[dict]) -> dict[str, Tensor]:
        return {
            **self.features.batch([e["image_id"] for e in examples], [e["view"] for e in examples]),
            **pad([example["input_ids"] for example in examples], self.pad_token_id),
            "rows": torch.tensor([example["row"] for example in examples]),
        }
