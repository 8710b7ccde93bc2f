"""The perceiver-resampler: any number of visual features -> a fixed number of visual tokens.

Jaegle et al. (2021), section 3.1: a small latent array queries a large input array. Alayrac et al. (2022),
section 2.1
and figure 5: keys and values come from the features and the latents together, frames carry a learned time
embedding.

Shapes: B clips, F frames, N visual tokens a frame, D width, M latents.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.model.attention import FeedForward, attend, split_heads
from components.model.configuration import CaptionConfig


class PerceiverAttention(nn.Module):
    """Latents attend to [features; latents] (Alayrac et al. 2022, figure 5)."""

    def __init__(self, width: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_media = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(width, 2 * heads * dim_head, bias=False)
        self.to_out = nn.Linear(heads * dim_head, width, bias=False)

    def forward(
        self, media: Tensor, latents: Tensor, mask: Tensor | None = None, output_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """One step of cross-attention; the caller adds the residual.

        Args:
            media: [B x F*N x D]
            latents: [B x M x D]
            mask: [B x 1 x 1 x F*N+M], True where a key is real

        Returns:
            [B x M x D], and the weights [B x h x M x F*N+M] if asked for
        """
        media, latents = self.norm_media(media), self.norm_latents(latents)
        query = split_heads(self.to_q(latents), self.heads)
        key, value = self.to_kv(torch.cat((media, latents), dim=1)).chunk(2, dim=-1)
        output, weights = attend(
            query, split_heads(key, self.heads), split_heads(value, self.heads), mask, output_weights
        )
        return self.to_out(output), weights


class PerceiverResampler(nn.Module):
    """x_f, x -> M visual tokens (Alayrac et al. 2022, figure 5):

    x_f = flatten(x_f + time_embeds);  then for each layer
        x = x + attention(q=x, kv=[x_f, x])
        x = x + ffw(x)
    and a last LayerNorm.
    """

    def __init__(self, config: CaptionConfig) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.dropout = config.dropout
        self.latents = nn.Parameter(torch.randn(config.resampler_num_latents, width))
        self.time_embeds = nn.Parameter(torch.randn(config.resampler_num_time_embeds, 1, width))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                (
                    PerceiverAttention(width, config.resampler_heads, config.resampler_dim_head),
                    FeedForward(width, config.resampler_ff_mult, config.activation),
                )
            )
            for _ in range(config.resampler_depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, vision_features: Tensor, frame_mask: Tensor | None = None, weights: list[Tensor] | None = None
    ) -> Tensor:
        """[B x F x N x D], [B x F] True where a frame is real -> visual tokens [B x M x D].

        Absent frames are not attended to: a clip gives the same tokens whatever it is batched with.
        `weights` takes the attention of each layer, [B x h x M x F*N+M].
        """
        batch, frames, tokens, _ = vision_features.shape
        media = (vision_features + self.time_embeds[:frames]).flatten(1, 2)
        latents = self.latents.to(media.dtype).expand(batch, -1, -1)
        mask = None
        if frame_mask is not None:
            mask = F.pad(frame_mask.repeat_interleave(tokens, dim=1), (0, latents.shape[1]), value=True)
            mask = mask[:, None, None]
        for attention, feed_forward in self.layers:
            looked, attended = attention(media, latents, mask, output_weights=weights is not None)
            if weights is not None:
                weights.append(attended)
            latents = latents + self._drop(looked)
            latents = latents + self._drop(feed_forward(latents))
        return self.norm(latents)

    def _drop(self, states: Tensor) -> Tensor:
        return F.dropout(states, self.dropout, self.training)
