"""Pictures and captions -> tensors, and back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, BatchFeature, ProcessorMixin

from components.data.rgb import to_rgb
from components.errors import UserError
from components.features.text import pad, wrap
from components.model.towers import first_line

Clip = Sequence[Image.Image]


class CaptionProcessor(ProcessorMixin):
    """The image processor of the vision tower and the tokenizer of the decoder."""

    def __init__(self, image_processor: Any, tokenizer: Any, **kwargs: Any) -> None:
        if tokenizer.pad_token is None:  # GPT-2 has none; attention masks tell padding from real tokens
            tokenizer.pad_token = tokenizer.eos_token
        super().__init__(image_processor, tokenizer, **kwargs)

    @classmethod
    def from_towers(cls, clip: str | Path, gpt2: str | Path) -> "CaptionProcessor":
        """Of two folders or hub names.

        Raises:
            UserError: one of them is not there.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(gpt2)
        except (OSError, ValueError) as error:
            raise UserError(f"{gpt2}: no tokenizer there: {first_line(error)}") from None
        try:  # in the version that needs PIL alone, not torchvision
            image_processor = AutoImageProcessor.from_pretrained(clip, backend="pil")
        except (OSError, ValueError) as error:
            raise UserError(f"{clip}: no image processor there: {first_line(error)}") from None
        return cls(image_processor, tokenizer)

    def __call__(
        self,
        images: Image.Image | Sequence[Image.Image] | Sequence[Clip] | None = None,
        text: str | Sequence[str] | None = None,
        max_length: int | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Make a batch.

        Args:
            images: a picture, pictures, or clips (lists of frames)
            text: captions
            max_length: refuse captions of more tokens, both ends included

        Returns:
            pixel_values [B x F x 3 x H x W] and, if clips differ in length, frame_mask [B x F]; input_ids,
            attention_mask and labels [R x L], labels -100 on padding

        Raises:
            UserError: neither given, a clip without a frame, an empty caption, a caption that is too long.
        """
        if images is None and text is None:
            raise UserError("give images, text, or both.")
        batch: dict[str, torch.Tensor] = {}
        if images is not None:
            batch |= self._images(images)
        if text is not None:
            batch |= self._text([text] if isinstance(text, str) else list(text), max_length)
        return BatchFeature(batch)

    def batch_decode(self, sequences: torch.Tensor, **kwargs: Any) -> list[str]:
        """Token ids [R x L] -> captions: from BOS to the first EOS, outer spaces removed."""
        return [self.decode(row) for row in sequences]

    def decode(self, sequence: torch.Tensor | Sequence[int], **kwargs: Any) -> str:
        """One row of token ids -> its caption."""
        ids = sequence.tolist() if isinstance(sequence, torch.Tensor) else list(sequence)
        if ids and ids[0] == self.tokenizer.bos_token_id:
            ids = ids[1:]
        if self.tokenizer.eos_token_id in ids:
            ids = ids[: ids.index(self.tokenizer.eos_token_id)]
        caption = self.tokenizer.decode(ids, skip_special_tokens=True)
        # a token may be part of a character: the length limit can cut one
        return " ".join(caption.rstrip("\N{REPLACEMENT CHARACTER}").split())

    def wrap(self, caption: str) -> str:
        """A caption with both ends (`features.text`), inner white space made single.

        Raises:
            UserError: nothing but white space, or the end-of-text token inside.
        """
        end = self.tokenizer.eos_token
        if not (words := " ".join(caption.split())):
            raise UserError("it is empty: there is nothing to learn from. Remove it or write a caption.")
        if end in words:
            raise UserError(f"it contains {end}, which ends a caption: '{words[:60]}'. Remove it.")
        return wrap(self.tokenizer, words)

    def _images(self, images: Any) -> dict[str, torch.Tensor]:
        clips = _as_clips(images)
        longest = max(map(len, clips))
        frames = [to_rgb(frame) for clip in clips for frame in clip]  # as training opened its pictures
        flat = self.image_processor(frames, return_tensors="pt")["pixel_values"]
        pixels = flat.new_zeros(len(clips), longest, *flat.shape[1:])
        mask = torch.arange(longest)[None] < torch.tensor([len(clip) for clip in clips])[:, None]
        pixels[mask] = flat
        return {"pixel_values": pixels} if mask.all() else {"pixel_values": pixels, "frame_mask": mask}

    def _text(self, captions: list[str], max_length: int | None) -> dict[str, torch.Tensor]:
        if not captions:
            raise UserError("text is empty: give at least one caption.")
        wrapped = []
        for i, caption in enumerate(captions):
            try:
                wrapped.append(self.wrap(caption))
            except UserError as error:
                raise UserError(f"caption {i}: {error}") from None
        rows = self.tokenizer(wrapped, add_special_tokens=False)["input_ids"]
        worst = max(range(len(rows)), key=lambda i: len(rows[i]))
        if max_length is not None and len(rows[worst]) > max_length:
            start = captions[worst][:60]
            raise UserError(
                f"caption {worst} has {len(rows[worst])} tokens, the limit is {max_length}: '{start}'."
            )
        return pad(rows, self.tokenizer.eos_token_id)


def _as_clips(images: Any) -> list[list[Image.Image]]:
    """A picture, pictures or clips -> clips."""
    if isinstance(images, Image.Image):
        images = [images]
    clips = [[item] if isinstance(item, Image.Image) else list(item) for item in images]
    if not clips:
        raise UserError("images is empty: give at least one.")
    for i, clip in enumerate(clips):
        if not clip:
            raise UserError(f"clip {i} has no frame.")
    return clips
