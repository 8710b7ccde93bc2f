"""What a captioner says of one picture or clip, and how it came to that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from components.data.display import shrunk
from components.model import CaptionModel
from components.report.looking import own_attention
from components.report.words import Word, probabilities, split_words

LONGEST_SIDE = 512  # of the frames that are kept


@dataclass(frozen=True)
class Answer:
    """A caption with all that is known of it.

    Attributes:
        frames: what the captioner saw, shrunk.
        probability: of the whole caption, and of its end unless it ran into the limit of tokens.
        words: of the caption; none if it is empty.
        word_probabilities: of each word, given those before it.
        looked: [words x frames x patches], see `own_attention`; None of a model without a resampler.
    """

    frames: list[Image.Image]
    caption: str
    probability: float = 1.0
    words: list[Word] = field(default_factory=list)
    word_probabilities: list[float] = field(default_factory=list)
    looked: np.ndarray | None = None

    def as_json(self) -> dict[str, Any]:
        """What can be written down."""
        scored = zip(self.words, self.word_probabilities, strict=True)
        return {
            "caption": self.caption,
            "probability": round(self.probability, 6),
            "words": [{"word": word.text, "probability": round(p, 6)} for word, p in scored],
        }


@dataclass(frozen=True)
class Asked:
    """A file, and what each captioner says of it: name of the captioner -> answer."""

    name: str
    answers: Mapping[str, Answer]


@torch.no_grad()
def ask(model: CaptionModel, frames: Sequence[Image.Image], **decoding: Any) -> Answer:
    """Have one picture (one frame) or clip captioned.

    Args:
        model: with its processor.
        decoding: of `generate`; default: the model's own `generation_config`.

    Raises:
        UserError: more frames than the model can tell apart, or a setting that it cannot decode with.
    """
    processor, kept = model.processor, [shrunk(frame, LONGEST_SIDE) for frame in frames]
    pixels = processor(images=[list(frames)])["pixel_values"].to(model.device)
    seen = {"vision_features": model.encode_images(pixels)}
    # The tokens as they were chosen: those of the caption's text may be others, hardly probable.
    input_ids = model.generate(**seen, **decoding)
    caption = processor.decode(input_ids[0])
    if not caption:
        return Answer(kept, caption)
    words = split_words(processor.tokenizer, input_ids[0])
    each, whole = probabilities(model, input_ids, words, **seen)
    looked = own_attention(model, input_ids, words, seen) if model.resampler is not None else None
    return Answer(kept, caption, whole, words, each, looked)


def to_json(asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """An object a file: its name, and what each captioner says."""
    return [
        {"image": each.name} | {who: answer.as_json() for who, answer in each.answers.items()}
        for each in asked
    ]
