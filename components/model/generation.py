"""Captions by `generate()`: everything that `transformers` can decode with, on images."""

from typing import Any

import torch
from torch import Tensor
from transformers import Cache, GenerationConfig

from components.errors import UserError
from components.model.context import VisualContext
from components.model.inputs import zeros_first

GREEDY = {"num_beams": 1, "do_sample": False}
"""How captions are written while training goes on: the fastest way. Another is chosen in the end."""


class CaptionGeneration:
    """What `GenerationMixin` needs to know of a captioner.

    Images are encoded once. Their keys and values in each gated block are computed once, too, one entry an
    image however many beams or samples it has, and travel in the cache beside the decoder's own keys and
    values.
    """

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor | None = None,
        *,
        pixel_values: Tensor | None = None,
        vision_features: Tensor | None = None,
        frame_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        context: VisualContext | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Caption images.

        Args:
            input_ids: [B x L] the beginning of each caption, padded on either side; default: BOS
            pixel_values, vision_features, frame_mask, context: the images, as in `forward`
            attention_mask: [B x L], 0 where `input_ids` is padding
            kwargs: of `GenerationMixin.generate`: num_beams, do_sample, top_p, num_return_sequences, ...; in
                place of those in `generation_config`, which a trained model brings along

        Returns:
            [B * num_return_sequences x up to L + max_new_tokens] token ids, from BOS on (or what transformers
            returns with return_dict_in_generate)

        Raises:
            UserError: no images, or another number of beginnings than images.
        """
        if context is None:
            context = self.encode(pixel_values, vision_features, frame_mask)
        if input_ids is None:
            input_ids = torch.full((len(context), 1), self.config.bos_token_id, device=context.prefix.device)
        if len(input_ids) != len(context):
            raise UserError(
                f"input_ids has {len(input_ids)} rows for {len(context)} images: give one beginning an image."
            )
        text_padded = attention_mask is not None and not attention_mask.bool().all()
        if text_padded:  # new words are appended on the right: padding has to stand on the left
            order = zeros_first(attention_mask)
            input_ids, attention_mask = input_ids.gather(1, order), attention_mask.gather(1, order)
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        return super().generate(
            input_ids, attention_mask=attention_mask, context=context, text_padded=text_padded, **kwargs
        )

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
        context: VisualContext | None = None,
        text_padded: bool = False,
        use_cache: bool = True,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The arguments of the next `forward`: all text without a cache, else what the cache has not read."""
        if cache is not None and cache.get_seq_length() > 0:
            input_ids = input_ids[:, -(next_sequence_length or 1) :]
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask if text_padded else None,
            "context": context,
            "cache": cache,
            "use_cache": use_cache,
            "logits_to_keep": 1,
        }

    def _prepare_cache_for_generation(
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        generation_mode: Any,
        batch_size: int,
        max_cache_length: int,
    ) -> None:
        """A cache of fixed size needs room for the prefix, which `generate` does not see as tokens."""
        longest = max_cache_length + model_kwargs["context"].prefix.shape[1]
        super()._prepare_cache_for_generation(
            generation_config, model_kwargs, generation_mode, batch_size, longest
        )
