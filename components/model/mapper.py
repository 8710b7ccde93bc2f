"""The mapping network: visual features -> a prefix in the decoder's embedding space (Mokady et al. 2021,
ClipCap).

    p^i_1 ... p^i_k = F(CLIP(x^i))                                                  (ClipCap, equation 2)

The decoder reads the prefix as if it were the embeddings of k words that stand before the caption.

Shapes: B clips, F frames, N visual tokens a frame, Dv and Dt widths of the vision tower and of the decoder,
k = `prefix_length`, P = F * k prefix positions.
"""

import torch
from torch import Tensor, nn

from components.model.configuration import CaptionConfig


class Mapper(nn.Module):
    """One of three networks, by `config.mapper`; each frame gives k prefix positions.

    - `mlp`: Linear, Tanh, Linear on the mean of a frame's tokens (ClipCap, section 3.2, the MLP).
    - `transformer`, k = 1: an encoder over the frames' means: the positions of a clip see each other.
    - `transformer`, k > 1: an encoder over a frame's N tokens and k learned constants; the outputs at the
      constants are the prefix (ClipCap, section 3.2, the Transformer and its learned constant).
    - `none`: the mean itself.

    Where the towers' widths differ, the two latter need a projection; where they agree, there is none.
    """

    def __init__(self, config: CaptionConfig) -> None:
        super().__init__()
        vision, text = config.vision_config.hidden_size, config.text_config.hidden_size
        self.kind = config.mapper
        self.prefix_length = config.prefix_length
        self.width = text
        self.projection = nn.Linear(vision, text) if self.kind != "mlp" and vision != text else None
        self.constants = None
        if self.kind == "mlp":
            self.network = nn.Sequential(
                nn.Linear(vision, config.mapper_mlp_dim),
                nn.Tanh(),
                nn.Linear(config.mapper_mlp_dim, text * config.prefix_length),
            )
        elif self.kind == "transformer":
            layer = nn.TransformerEncoderLayer(  # post-norm, ReLU, as the reference's
                d_model=text,
                nhead=config.mapper_heads,
                dim_feedforward=config.mapper_dim_feedforward,
                dropout=config.dropout,
                batch_first=True,
            )
            self.network = nn.TransformerEncoder(layer, config.mapper_depth, enable_nested_tensor=False)
            if self.prefix_length > 1:
                self.constants = nn.Parameter(torch.randn(self.prefix_length, text))

    def forward(self, vision_features: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """[B x F x N x Dv], [B x F] True where a frame is real -> prefix [B x P x Dt]; P = F * k, frame by
        frame.

        Positions of absent frames hold numbers without a meaning; the caller masks them.
        """
        if self.constants is not None:
            return self._map_tokens(vision_features)
        pooled = vision_features.mean(dim=2)
        if self.projection is not None:
            pooled = self.projection(pooled)
        if self.kind == "none":
            return pooled
        if self.kind == "mlp":
            return self.network(pooled).unflatten(-1, (self.prefix_length, self.width)).flatten(1, 2)
        return self.network(pooled, src_key_padding_mask=None if frame_mask is None else ~frame_mask)

    def _map_tokens(self, vision_features: Tensor) -> Tensor:
        """[B x F x N x Dv] -> [B x F*k x Dt]: constants query the tokens of their own frame."""
        batch, frames = vision_features.shape[:2]
        tokens = vision_features.flatten(0, 1)
        if self.projection is not None:
            tokens = self.projection(tokens)
        constants = self.constants.to(tokens.dtype).expand(len(tokens), -1, -1)
        mapped = self.network(torch.cat((tokens, constants), dim=1))[:, -self.prefix_length :]
        return mapped.reshape(batch, frames * self.prefix_length, self.width)
