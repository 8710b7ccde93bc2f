"""What the decoder sees of the images, computed once and used for every word of every caption."""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput

from components.errors import UserError
from components.model.cross_attention import KeyValues


@dataclass
class VisualContext:
    """The encoded images of a batch.

    `generate` keeps it in its cache: beams and samples of an image share its entries, and reordering beams,
    which moves them only within their image, leaves it untouched.

    Attributes:
        prefix: [B x P x Dt], absent positions first, so that the text always follows a real one.
        prefix_mask: [B x P] True where a position is real; None if all are.
        key_values: an entry a decoder block, None where it has no gated cross-attention; None without a
            resampler.
        visual_tokens: [B x M x Dv]; None without a resampler.
        mapped: [B x P x Dt], the prefix as the mapper gave it, frame by frame.
        vision_features: [B x F x N x Dv]
        resampler_attentions: of each layer [B x h x M x F*N+M], if they were asked for.
    """

    prefix: Tensor
    prefix_mask: Tensor | None
    key_values: list[KeyValues | None] | None
    visual_tokens: Tensor | None
    mapped: Tensor
    vision_features: Tensor
    resampler_attentions: list[Tensor] | None = None

    def __len__(self) -> int:
        return self.prefix.shape[0]

    def rows(self, count: int) -> tuple[Tensor, Tensor | None]:
        """Prefix and mask for `count` rows of text: those of an image stand together.

        Raises:
            UserError: `count` is no multiple of the number of images.
        """
        if count % len(self):
            raise UserError(
                f"input_ids has {count} rows for {len(self)} images: give each image equally many captions."
            )
        if (times := count // len(self)) == 1:
            return self.prefix, self.prefix_mask
        mask = self.prefix_mask
        mask = None if mask is None else mask.repeat_interleave(times, dim=0)
        return self.prefix.repeat_interleave(times, dim=0), mask


@dataclass
class CaptionOutput(ModelOutput):
    """What `CaptionModel` returns.

    Attributes:
        loss: mean cross-entropy over the labels that are not -100.
        logits: [R x P+L x V], prefix positions first; row P-1+i predicts token i.
        cache: keys and values of the decoder, and the `VisualContext`.
        prefix: [B x P x Dt], frame by frame.
        visual_tokens: [B x M x Dv]
        vision_features: [B x F x N x Dv]
        cross_attentions: of each gated block [R x h x P+L x M], if asked for
        resampler_attentions: of each layer of the resampler [B x h x M x F*N+M], if asked for
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    cache: object | None = None
    prefix: Tensor | None = None
    visual_tokens: Tensor | None = None
    vision_features: Tensor | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    resampler_attentions: tuple[Tensor, ...] | None = None

    @property
    def past_key_values(self) -> object | None:
        """The older name of `cache`."""
        return self.cache
