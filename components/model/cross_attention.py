"""Gated cross-attention: how a frozen language model is taught to look (Alayrac et al. 2022, section 2.2,
figure 4).

    y = y + tanh(attention_gate) * attention(q=y, kv=x)
    y = y + tanh(feed_forward_gate) * ffw(y)
    y = y + frozen self-attention and feed-forward of the block

Both alphas start at 0. So at step 0 each gated block is the identity and the model is the frozen language
model itself, token by token; training opens the gates as far as looking helps.

Shapes: B images, R rows (R = B times the beams or captions of an image), L positions, D width of the decoder,
M visual tokens, Dv their width, h heads, d width of a head.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from components.model.attention import FeedForward, attend, split_heads
from components.model.configuration import CaptionConfig

KeyValues = tuple[Tensor, Tensor]
"""Keys and values of one gated block, [B x h x M x d] each: of the image alone, not of the text."""


class CrossAttention(nn.Module):
    """Text attends to visual tokens."""

    def __init__(self, width: int, visual_width: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(visual_width, 2 * heads * dim_head, bias=False)
        self.to_out = nn.Linear(heads * dim_head, width, bias=False)

    def key_values(self, visual_tokens: Tensor) -> KeyValues:
        """[B x M x Dv] -> keys and values [B x h x M x d]."""
        key, value = self.to_kv(visual_tokens).chunk(2, dim=-1)
        return split_heads(key, self.heads), split_heads(value, self.heads)

    def forward(
        self, states: Tensor, key_values: KeyValues, output_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """[R x L x D] -> [R x L x D], and the weights [R x h x L x M] if asked for.

        The R / B rows of an image (its beams, samples, references) stand together and share keys and values,
        so they are laid end to end as more queries of that image, [B x (R/B)*L]; keys and values are never
        copied.
        """
        key, value = key_values
        rows, length, _ = states.shape
        images = key.shape[0]
        query = self.to_q(self.norm(states)).view(images, rows // images * length, -1)
        output, weights = attend(split_heads(query, self.heads), key, value, None, output_weights)
        if weights is not None:
            weights = weights.unflatten(2, (-1, length)).transpose(1, 2).flatten(0, 1)
        return self.to_out(output).view(rows, length, -1), weights


class GatedCrossAttention(nn.Module):
    """The `GATED XATTN-DENSE` layer of figure 4."""

    def __init__(self, config: CaptionConfig) -> None:
        super().__init__()
        width = config.text_config.hidden_size
        self.dropout = config.dropout
        self.attention = CrossAttention(
            width,
            config.vision_config.hidden_size,
            config.cross_attention_heads,
            config.cross_attention_dim_head,
        )
        self.attention_gate = nn.Parameter(torch.zeros(1))
        self.feed_forward = FeedForward(width, config.cross_attention_ff_mult, config.activation)
        self.feed_forward_gate = nn.Parameter(torch.zeros(1))

    def forward(self, states: Tensor, key_values: KeyValues, weights: list[Tensor] | None = None) -> Tensor:
        """[R x L x D], keys and values of the images -> [R x L x D]; `weights` takes those of this layer."""
        looked, attended = self.attention(states, key_values, output_weights=weights is not None)
        if weights is not None:
            weights.append(attended)
        states = states + self.attention_gate.tanh() * F.dropout(looked, self.dropout, self.training)
        thought = self.feed_forward(states)
        return states + self.feed_forward_gate.tanh() * F.dropout(thought, self.dropout, self.training)


class GatedGPT2Block(GPT2Block):
    """A GPT-2 block with a gated cross-attention before it.

    A subclass, not a wrapper: the names of the pretrained tensors stay as they are
    (`h.0.attn.c_attn.weight`), and whatever GPT2Model passes to its blocks passes through.
    """

    def __init__(self, config: GPT2Config, layer_idx: int | None = None) -> None:
        super().__init__(config, layer_idx)
        self.layer_idx = layer_idx
        self.gated_cross_attention: GatedCrossAttention | None = None

    @classmethod
    def around(cls, block: GPT2Block, config: CaptionConfig, layer_idx: int) -> "GatedGPT2Block":
        """Adopt the parts of a (pretrained) block and put a fresh gated cross-attention before them."""
        with torch.device("meta"):  # its own parts are thrown away below: give them no memory
            gated = cls(config.text_config, layer_idx)
        for name, part in block.named_children():
            setattr(gated, name, part)
        if layer_idx % config.cross_attention_every == 0:
            gated.gated_cross_attention = GatedCrossAttention(config)
        return gated

    def forward(
        self,
        hidden_states: Tensor,
        *args: Any,
        visual_key_values: list[KeyValues | None] | None = None,
        cross_attentions: list[Tensor] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """[R x L x D] -> [R x L x D].

        `visual_key_values` holds an entry a block, `cross_attentions` takes the weights; the rest is
        GPT2Block's.
        """
        if self.gated_cross_attention is not None and visual_key_values is not None:
            key_values = visual_key_values[self.layer_idx]
            hidden_states = self.gated_cross_attention(hidden_states, key_values, cross_attentions)
        return super().forward(hidden_states, *args, **kwargs)
