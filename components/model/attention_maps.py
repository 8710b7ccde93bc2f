"""Where each word of a caption looked."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from components.errors import UserError
from components.model.captioner import CaptionModel


@dataclass
class AttentionMaps:
    """Where the model looked when it chose each token.

    Shapes: R rows, L tokens, M latents, F frames, N visual tokens a frame, h heads.

    Attributes:
        words: [R x L x F x N]; sums to 1 for each token: the share of each visual token in choosing token i.
        cross_attention: of each gated block [R x h x L x M], at the position that predicts token i.
        resampler: of each layer [B x h x M x F*N+M]; the last M columns are the latents themselves.
    """

    words: Tensor
    cross_attention: tuple[Tensor, ...]
    resampler: tuple[Tensor, ...]

    def grids(self) -> Tensor:
        """`words` on the patches of each frame: [R x L x F x rows x columns], without CLIP's class token."""
        tokens = self.words.shape[-1]
        side = int(tokens**0.5)
        return self.words[..., tokens - side * side :].unflatten(-1, (side, side))


@torch.no_grad()
def attention_maps(
    model: CaptionModel, input_ids: Tensor, attention_mask: Tensor | None = None, **images: Tensor
) -> AttentionMaps:
    """Cross-attention of each word over the visual tokens, through the resampler.

    Words attend to latents, latents to visual tokens. The resampler's layers are composed by attention
    rollout (Abnar & Zuidema 2020): a latent keeps half of what it has gathered (the residual) and takes
    half from what it attends to. Heads are averaged; gated blocks are weighted by how far their gate is
    open.

    Args:
        input_ids: [R x L] captions, BOS first
        attention_mask: [R x L]
        images: pixel_values or vision_features, and frame_mask, as in `forward`

    Raises:
        UserError: the model has no resampler.
    """
    if model.resampler is None:
        raise UserError(
            "this model has no resampler: its words attend to no visual tokens. Use a variant with one."
        )
    output = model(input_ids=input_ids, attention_mask=attention_mask, output_attentions=True, **images)
    frames, tokens = output.vision_features.shape[1:3]
    length = input_ids.shape[1]
    cross = tuple(weights[:, :, -length - 1 : -1] for weights in output.cross_attentions)
    latents = rollout(output.resampler_attentions, frames * tokens)
    latents = latents.repeat_interleave(len(input_ids) // len(latents), dim=0)
    words = _by_gate(model, cross) @ latents
    words = words / words.sum(dim=-1, keepdim=True)
    return AttentionMaps(words.unflatten(-1, (frames, tokens)), cross, output.resampler_attentions)


def _by_gate(model: CaptionModel, cross: Sequence[Tensor]) -> Tensor:
    """Mean over heads, and over blocks by their gates: [R x L x M]."""
    gates = torch.stack([block.attention_gate.tanh().abs() for block in model.text_generator.gated.values()])
    if not gates.any():  # before training all are closed: no block counts more than another
        gates = torch.ones_like(gates)
    shares = (gates / gates.sum()).view(-1, 1, 1, 1)
    return (torch.stack([weights.mean(dim=1) for weights in cross]) * shares).sum(dim=0)


def rollout(layers: Sequence[Tensor], media: int) -> Tensor:
    """Share of each visual token in each latent: layers of [B x h x M x media+M] -> [B x M x media]."""
    gathered = torch.zeros_like(layers[0][:, 0, :, :media])
    for weights in layers:
        weights = weights.mean(dim=1)
        taken = weights[..., :media] + weights[..., media:] @ gathered
        gathered = (gathered + taken) / 2
    return gathered / gathered.sum(dim=-1, keepdim=True)
