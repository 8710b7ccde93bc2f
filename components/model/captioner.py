"""The captioner: frozen vision tower, mapper, resampler, frozen language model with gated cross-attention.

Shapes: B clips, F frames (1 for pictures), C x H x W an image, N visual tokens a frame, Dv and Dt widths of
the towers, M visual tokens a clip, P prefix positions, R = B * (captions an image) rows of text, L tokens,
V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModel, Cache, GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.loss.loss_utils import fixed_cross_entropy

from components.errors import UserError
from components.features.vision import VisionEncoder
from components.model.attention import attention_kernel
from components.model.bridge import is_learned
from components.model.checkpoint import CheckpointMixin
from components.model.configuration import CaptionConfig
from components.model.context import CaptionOutput, VisualContext
from components.model.generation import CaptionGeneration
from components.model.inputs import check_images, check_text, original_rows, take_rows, zeros_first
from components.model.mapper import Mapper
from components.model.processor import CaptionProcessor
from components.model.resampler import PerceiverResampler
from components.model.text import TextGenerator


class CaptionModel(CheckpointMixin, CaptionGeneration, PreTrainedModel, GenerationMixin):
    """Two frozen towers joined by a learned bridge (Mokady et al. 2021; Alayrac et al. 2022; Jaegle et al.
    2021).

    features = vision tower(images)                      frozen     [B x F x N x Dv]
    prefix = mapper(features)                            learned    [B x P x Dt]
    x = resampler(features)                              learned    [B x M x Dv]
    p(token i | tokens < i, images) = decoder([prefix; tokens], x)  frozen, with learned gated blocks
    """

    config_class = CaptionConfig
    base_model_prefix = "captioner"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = False  # GPT-2's blocks stay in eval mode, where transformers skips it
    _tied_weights_keys = {"text_generator.lm.lm_head.weight": "text_generator.lm.transformer.wte.weight"}
    _supports_sdpa = True
    _supports_flash_attn = True
    _no_split_modules = ["GatedGPT2Block"]

    def __init__(
        self, config: CaptionConfig, vision: PreTrainedModel | None = None, lm: PreTrainedModel | None = None
    ) -> None:
        """Join the given towers, or towers with random weights, by a fresh bridge."""
        super().__init__(config)
        self.vision_encoder = VisionEncoder(
            vision or AutoModel.from_config(config.vision_config), config.feature_layer
        )
        self.mapper = Mapper(config)
        self.resampler = PerceiverResampler(config) if config.resampler else None
        self.text_generator = TextGenerator(config, lm)
        self.processor: CaptionProcessor | None = None
        self.freeze_towers()
        self.generation_config = GenerationConfig(
            bos_token_id=config.bos_token_id,
            eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
        )
        self.post_init()
        self._keys_to_ignore_on_save = self.frozen_names()
        self.train(self.training)

    def init_weights(self) -> None:
        """Only tie: towers initialise themselves or bring weights, the bridge starts as torch does."""
        self.tie_weights()

    def get_input_embeddings(self) -> torch.nn.Module:
        """The decoder's token embeddings."""
        return self.text_generator.lm.get_input_embeddings()

    def get_output_embeddings(self) -> torch.nn.Module:
        """The decoder's head."""
        return self.text_generator.lm.get_output_embeddings()

    def freeze_towers(self) -> None:
        """Everything outside the bridge stops asking for gradients; so optimizers never see it."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(is_learned(name))

    def train(self, mode: bool = True) -> Self:
        """Frozen means eval too: without `tower_dropout`, only the bridge enters training mode."""
        super().train(mode)
        if mode and not self.config.tower_dropout:
            self.vision_encoder.eval()
            self.text_generator.eval()
            for block in self.text_generator.gated.values():
                block.train()
        return self

    def bridge_parameters(self) -> Iterator[torch.nn.Parameter]:
        """The learned parameters: what an optimizer takes."""
        return (parameter for name, parameter in self.named_parameters() if is_learned(name))

    def bridge_state_dict(self) -> dict[str, Tensor]:
        """The learned tensors: what a checkpoint holds."""
        return {name: tensor for name, tensor in self.state_dict().items() if is_learned(name)}

    def frozen_names(self) -> set[str]:
        """Names of the towers' tensors: what a checkpoint of the bridge leaves out."""
        return {name for name in self.state_dict() if not is_learned(name)}

    def caption(
        self,
        images: Image.Image | Sequence[Image.Image],
        processor: CaptionProcessor | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Captions of pictures.

        Args:
            images: a picture, pictures, or clips (lists of frames)
            processor: default: the one that was saved with the model
            kwargs: of `generate`; default: the model's `generation_config`

        Raises:
            UserError: the model carries no processor and none is given.
        """
        processor = processor or self.processor
        if processor is None:
            raise UserError(
                "the model carries no processor. Pass one: CaptionProcessor.from_towers(clip, gpt2)."
            )
        inputs = processor(images=images).to(self.device)
        return processor.batch_decode(self.generate(**inputs, **kwargs))

    def encode_images(self, pixel_values: Tensor) -> Tensor:
        """The frozen tower alone, for a cache of features: [B x F x C x H x W] -> [B x F x N x Dv].

        Raises:
            UserError: images of another size than the tower takes.
        """
        return self.vision_encoder(pixel_values if pixel_values.dim() == 5 else pixel_values[:, None])

    def encode(
        self,
        pixel_values: Tensor | None = None,
        vision_features: Tensor | None = None,
        frame_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> VisualContext:
        """Everything that depends on the images alone. Give pixels or features.

        Args:
            pixel_values: [B x F x C x H x W]
            vision_features: [B x F x N x Dv], as `encode_images` makes them
            frame_mask: [B x F], True where a frame is real; None if all are
            output_attentions: keep what the resampler attended to

        Raises:
            UserError: both or neither given, shapes that do not fit, a clip without a frame, too many frames.
        """
        pixel_values, vision_features, frame_mask = check_images(
            self.config, pixel_values, vision_features, frame_mask
        )
        if vision_features is None:
            vision_features = self.vision_encoder(pixel_values)
        features = vision_features.to(next((self.resampler or self.mapper).parameters()).dtype)
        mapped = self.mapper(features, frame_mask)
        prefix, mask = mapped, None
        if frame_mask is not None:  # absent positions go first: the text, and BOS, then follow a real one
            mask = frame_mask.repeat_interleave(self.config.prefix_length, dim=1)
            order = zeros_first(mask)
            prefix, mask = take_rows(mapped, order), mask.gather(1, order)
        tokens = key_values = None
        attentions = [] if output_attentions else None
        if self.resampler is not None:
            tokens = self.resampler(features, frame_mask, attentions)
            key_values = self.text_generator.key_values(tokens)
        return VisualContext(prefix, mask, key_values, tokens, mapped, vision_features, attentions)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        vision_features: Tensor | None = None,
        frame_mask: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        context: VisualContext | None = None,
        cache: Cache | None = None,
        use_cache: bool = False,
        logits_to_keep: int = 0,
        output_attentions: bool = False,
        skip_logits: bool | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs,
    ) -> CaptionOutput:
        """Score captions of images.

        Args:
            pixel_values: [B x F x C x H x W]; or give
            vision_features: [B x F x N x Dv], computed before; or give
            context: of `encode`; or give a cache that holds it
            frame_mask: [B x F] True where a frame is real
            input_ids: [R x L], BOS first; the R / B captions of an image stand together
            attention_mask: [R x L], 0 where a token is padding, on either side
            labels: [R x L], the token that position i should be, -100 where none is asked for
            cache: of an earlier call; input_ids then continue it, and attention_mask covers all text so far
            use_cache: return a cache (not with labels)
            logits_to_keep: with a cache, only the logits of the last rows; 0: of all
            output_attentions: return what the gated blocks and the resampler attended to
            skip_logits: return the loss alone and spare memory. Default: in training, if labels are given.
            num_items_in_batch: divide the summed loss by this instead of the number of labels (gradient
                accumulation)

        Returns:
            loss, logits [R x P+L x V] of which row P-1+i predicts token i, prefix, visual_tokens,
            vision_features, cache

        Raises:
            UserError: inputs that do not fit each other or the model, named.
        """
        if (cache := kwargs.pop("past_key_values", cache)) is not None and context is None:
            context = getattr(cache, "context", None)
        continues = cache is not None and cache.get_seq_length() > 0
        check_text(self.config, input_ids, attention_mask, labels, continues)
        with attention_kernel(self.device):
            if context is None:
                context = self.encode(pixel_values, vision_features, frame_mask, output_attentions)
            weights = [] if output_attentions else None
            if continues or (use_cache and labels is None):
                # text that continues what the cache holds: padding stays in place, a mask hides it
                hidden, cache = self.text_generator(input_ids, context, attention_mask, cache, True, weights)
                cache.context = context
                loss, logits = None, self.text_generator.next_logits(hidden[:, -logits_to_keep:].contiguous())
            else:
                cache = None
                loss, logits, weights = self._score(
                    input_ids, attention_mask, labels, context, weights, skip_logits, num_items_in_batch
                )
        return CaptionOutput(
            loss=loss,
            logits=logits,
            cache=cache,
            prefix=context.mapped,
            visual_tokens=context.visual_tokens,
            vision_features=context.vision_features,
            cross_attentions=tuple(weights) if weights else None,
            resampler_attentions=tuple(maps) if (maps := context.resampler_attentions) else None,
        )

    def _score(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        labels: Tensor | None,
        context: VisualContext,
        weights: list[Tensor] | None,
        skip_logits: bool | None,
        num_items: Tensor | int | None,
    ) -> tuple[Tensor | None, Tensor | None, list[Tensor] | None]:
        """Loss, logits and attention of whole captions.

        Padding is moved to the right end, where causal attention cannot see it: no mask is needed, and
        scaled_dot_product_attention takes its fastest kernel.
        """
        if skip_logits is None:
            skip_logits = self.training and labels is not None
        rows = None
        if attention_mask is not None:
            order = zeros_first(attention_mask == 0)
            input_ids = input_ids.gather(1, order)
            if skip_logits:
                labels = labels.gather(1, order)
            else:
                rows = original_rows(order, context.prefix.shape[1])
        hidden, _ = self.text_generator(input_ids, context, cross_attentions=weights)
        if rows is not None:
            hidden = take_rows(hidden, rows)
            weights = weights and [take_rows(w.transpose(1, 2), rows).transpose(1, 2) for w in weights]
        head, predicting = self.text_generator.lm.lm_head, slice(-input_ids.shape[1] - 1, -1)
        loss = logits = None
        if skip_logits:  # flat, so that the head is one product of matrices, not one a caption
            scored = head(hidden[:, predicting].flatten(0, 1))
        else:
            logits = head(hidden)
            scored = logits[:, predicting].flatten(0, 1)
        if labels is not None:  # divided by `num_items`, micro-batches weigh each token alike
            loss = fixed_cross_entropy(scored.float(), labels.flatten(), num_items)
        return loss, logits, weights
