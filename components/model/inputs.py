"""One clear error for each input that does not fit."""

import torch
from torch import Tensor

from components.errors import UserError
from components.model.configuration import CaptionConfig


def check_images(
    config: CaptionConfig,
    pixel_values: Tensor | None,
    vision_features: Tensor | None,
    frame_mask: Tensor | None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Check what describes the images and bring it to its full form.

    Args:
        pixel_values: [B x F x C x H x W], or [B x C x H x W] for single pictures
        vision_features: [B x F x N x Dv], or [B x N x Dv] for single pictures
        frame_mask: [B x F]

    Returns:
        the same with the frame dimension; the mask is None where it masks nothing

    Raises:
        UserError: both or neither given, another number of dimensions or frames, another width, no frame at
            all.
    """
    if (pixel_values is None) == (vision_features is None):
        raise UserError("give the images as pixel_values or as vision_features: exactly one of the two.")
    if pixel_values is not None:
        pixel_values = _with_frames("pixel_values", pixel_values, 5, "B x F x C x H x W")
        images = pixel_values
    else:
        vision_features = _with_frames("vision_features", vision_features, 4, "B x F x N x D")
        images = vision_features
        if images.shape[-1] != config.vision_config.hidden_size:
            raise UserError(
                f"vision_features are {images.shape[-1]} wide; this model's vision tower gives "
                f"{config.vision_config.hidden_size}. Compute them with its own encode_images."
            )
    frames = images.shape[1]
    if config.resampler and frames > (known := config.resampler_num_time_embeds):
        raise UserError(
            f"the clips have {frames} frames; the model has {known} time embeddings. "
            "Give fewer frames or raise num_time_embeds."
        )
    return pixel_values, vision_features, _frame_mask(frame_mask, images)


def _with_frames(name: str, images: Tensor, dimensions: int, form: str) -> Tensor:
    if images.dim() == dimensions - 1:
        return images[:, None]
    if images.dim() != dimensions:
        raise UserError(f"{name} has shape {tuple(images.shape)}; expected [{form}].")
    return images


def _frame_mask(mask: Tensor | None, images: Tensor) -> Tensor | None:
    if mask is None:
        return None
    if mask.shape != images.shape[:2]:
        raise UserError(
            f"frame_mask has shape {tuple(mask.shape)}; the images have {tuple(images.shape[:2])} (B, F)."
        )
    mask = mask.to(images.device).bool()
    if torch.compiler.is_compiling():  # the looks at its values below would break the graph
        return mask
    if not (real := mask.any(dim=1)).all():
        raise UserError(
            f"clip {int(real.int().argmin())} of the batch has no frame: its frame_mask is all False."
        )
    return None if mask.all() else mask


def check_text(
    config: CaptionConfig,
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    labels: Tensor | None,
    continues: bool,
) -> None:
    """Check the captions' tensors against each other and the vocabulary.

    Raises:
        UserError: none given, empty, a token that is none, a mask or labels of another shape.
    """
    if input_ids is None:
        raise UserError("input_ids is missing. To caption images without a text, call generate().")
    shape = tuple(input_ids.shape)
    if len(shape) != 2 or shape[1] == 0:
        raise UserError(
            f"input_ids has shape {shape}; expected [rows x tokens], at least one token (BOS) a row."
        )
    if labels is not None and labels.shape != shape:
        raise UserError(f"labels have shape {tuple(labels.shape)}; input_ids {shape}. They must be equal.")
    for name, tokens in (("token id", input_ids), ("label", labels)):
        _check_vocabulary(name, tokens, config.text_config.vocab_size)
    if attention_mask is None:
        return
    mask = tuple(attention_mask.shape)
    if len(mask) != 2 or mask[0] != shape[0] or (mask[1] < shape[1] if continues else mask[1] != shape[1]):
        raise UserError(
            f"attention_mask has shape {mask}; input_ids {shape}. The mask covers the text, all of it and "
            "nothing else: frames have their own frame_mask."
        )


def _check_vocabulary(name: str, tokens: Tensor | None, size: int) -> None:
    if tokens is None or tokens.device.type != "cpu" or torch.compiler.is_compiling():
        return  # on a GPU a look at values waits for all the work before it
    if (worst := int(tokens.max())) >= size:
        raise UserError(
            f"{name} {worst} is beyond the decoder, whose vocabulary has {size} tokens. "
            "Tokenize the captions with this model's CaptionProcessor."
        )


def zeros_first(mask: Tensor) -> Tensor:
    """Order [R x L] that moves what is 0 in a row of `mask` to its front; otherwise the order stays."""
    return (mask != 0).to(torch.int8).argsort(dim=1, stable=True)


def original_rows(order: Tensor, prefix_length: int) -> Tensor:
    """Rows [R x P+L] of a right-aligned output, so that row P-1+i predicts token i of the text as it came.

    The last row follows the last token: with padding on the left it predicts the next one, as in
        transformers.
    """
    rank = order.argsort(dim=1)  # where token i went
    text = torch.cat((rank, rank[:, -1:] + 1), dim=1) + prefix_length - 1
    prefix = torch.arange(prefix_length - 1, device=order.device).expand(len(order), -1)
    return torch.cat((prefix, text), dim=1)


def take_rows(states: Tensor, rows: Tensor) -> Tensor:
    """[R x S x ...], [R x S] -> the named rows, [R x S x ...]."""
    return states[torch.arange(len(states), device=states.device)[:, None], rows]
