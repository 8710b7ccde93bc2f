"""Attention and feed-forward, shared by the resampler and the gated blocks.

Shapes: B images, R rows of text (R = B, or B times the beams of an image), L text positions, D width,
h heads, d width of a head, Q queries, K keys.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers.activations import ACT2FN


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, output_weights: bool = False
) -> tuple[Tensor, Tensor | None]:
    """softmax(q k^T / sqrt(d)) v.

    Args:
        query: [B x h x Q x d]
        key: [B x h x K x d]
        value: [B x h x K x d]
        mask: True where a key may be attended to, broadcast to [B x h x Q x K]
        output_weights: also return the softmax. Costs the fused kernel, which never forms it.

    Returns:
        the heads side by side [B x Q x h*d], and the weights [B x h x Q x K] if asked for
    """
    weights = None
    if output_weights:
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        output = weights @ value
    else:
        output = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return output.transpose(1, 2).flatten(2), weights


def split_heads(states: Tensor, heads: int) -> Tensor:
    """[B x K x h*d] -> [B x h x K x d]."""
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


def attention_kernel(device: torch.device) -> AbstractContextManager:
    """The kernel that scaled_dot_product_attention should take, where its own choice is a bad one.

    On a CPU in bfloat16 that is the fused kernel's backward pass: 14 ms instead of 0.6 ms for 64 captions of
    16 tokens.
    """
    slow = device.type == "cpu" and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")
    return sdpa_kernel(SDPBackend.MATH) if slow else nullcontext()


class FeedForward(nn.Module):
    """LayerNorm, up, activation, down, no biases: the `FFW` of Alayrac et al. (2022), figure 4."""

    def __init__(self, width: int, multiple: int, activation: str) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width * multiple, bias=False)
        self.activation = ACT2FN[activation]
        self.down = nn.Linear(width * multiple, width, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """[... x D] -> [... x D]; the caller adds the residual."""
        return self.down(self.activation(self.up(self.norm(states))))
