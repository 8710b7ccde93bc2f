"""The frozen language model with its gated blocks."""

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, Cache, PreTrainedModel

from components.errors import UserError
from components.model.configuration import CaptionConfig
from components.model.context import VisualContext
from components.model.cross_attention import GatedCrossAttention, GatedGPT2Block

EXACT_LOGITS = 16
"""Beam search looks at twice as many tokens as it has beams: enough for 8."""


class TextGenerator(nn.Module):
    """GPT-2, whose blocks are replaced by gated ones; its own tensors keep names and values.

    Shapes: B images, R = B * (captions an image) rows, P prefix positions, L tokens, D width, V vocabulary.
    """

    def __init__(self, config: CaptionConfig, lm: PreTrainedModel | None = None) -> None:
        """Take the given (pretrained) language model, or make one with random weights."""
        super().__init__()
        self.lm = lm if lm is not None else AutoModelForCausalLM.from_config(config.text_config)
        blocks = self.lm.transformer.h
        if config.text_config.activation_function == "gelu_new":
            # the same function as one fused operation: a sixth of a small model's training step
            for block in blocks:
                block.mlp.act = nn.GELU(approximate="tanh")
        if config.resampler:
            gated = (GatedGPT2Block.around(block, config, i) for i, block in enumerate(blocks))
            self.lm.transformer.h = nn.ModuleList(gated)

    @property
    def gated(self) -> dict[int, GatedCrossAttention]:
        """The gated cross-attentions, by the block that they stand before."""
        blocks = enumerate(self.lm.transformer.h)
        found = {i: getattr(block, "gated_cross_attention", None) for i, block in blocks}
        return {i: gated for i, gated in found.items() if gated is not None}

    def key_values(self, visual_tokens: Tensor) -> list:
        """[B x M x Dv] -> for each block its keys and values, or None where it is not gated."""
        gated = self.gated
        return [
            gated[i].attention.key_values(visual_tokens) if i in gated else None
            for i in range(len(self.lm.transformer.h))
        ]

    def forward(
        self,
        input_ids: Tensor,
        context: VisualContext,
        text_mask: Tensor | None = None,
        cache: Cache | None = None,
        use_cache: bool = False,
        cross_attentions: list[Tensor] | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Run the decoder over [prefix; text], or over further text if the cache already holds some.

        Args:
            input_ids: [R x L]
            context: the images that the rows talk about
            text_mask: [R x (text in the cache) + L], 0 where a token is padding; None if none matters
            cache: keys and values of what was read before
            use_cache: return a cache
            cross_attentions: a list that takes the weights of each gated block, [R x h x P+L x M]

        Returns:
            hidden states [R x P+L x D] (or [R x L x D] if the cache was not empty), and the cache
        """
        decoder = self.lm.transformer
        embeddings = decoder.wte(input_ids)
        past = cache.get_seq_length() if cache is not None else 0
        prefix, prefix_mask = context.rows(len(input_ids))
        if past == 0:
            wider = torch.promote_types(prefix.dtype, embeddings.dtype)
            embeddings = torch.cat((prefix.to(wider), embeddings.to(wider)), dim=1)
        length = embeddings.shape[1]
        if past + length > (limit := self.lm.config.n_positions):
            raise UserError(
                f"prefix and caption take {past + length} positions; the decoder's table has {limit}. "
                "Shorten the captions (or max_new_tokens)."
            )
        mask = _join(prefix_mask, text_mask, prefix.shape[1], past + length)
        positions = None
        if mask is not None:  # absent positions do not count: a clip stands where it would stand alone
            positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -length:]
        visual = {}
        if context.key_values is not None:
            visual = {"visual_key_values": context.key_values, "cross_attentions": cross_attentions}
        output = decoder(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=positions,
            cache=cache,
            use_cache=use_cache,
            **visual,
        )
        return output.last_hidden_state, output.cache

    def next_logits(self, hidden: Tensor) -> Tensor:
        """Logits to choose tokens by: [R x L x D] -> [R x L x V].

        A large logit has few digits left in bfloat16 (between 64 and 128 they lie 0.5 apart), so the best
        ones tie and chance decides. Those of the most likely tokens are computed again in float32.
        """
        head = self.lm.lm_head
        logits = head(hidden)
        if logits.dtype == torch.float32:
            return logits
        logits = logits.float()
        top = logits.topk(min(EXACT_LOGITS, logits.shape[-1]), dim=-1).indices
        exact = (head.weight[top].float() * hidden.float()[..., None, :]).sum(dim=-1)
        return logits.scatter(-1, top, exact)


def _join(
    prefix_mask: Tensor | None, text_mask: Tensor | None, prefix_length: int, total: int
) -> Tensor | None:
    """One mask [R x P+text], or None where nothing is masked: then SDPA takes its causal kernel."""
    if prefix_mask is None and text_mask is None:
        return None
    if prefix_mask is None:
        prefix_mask = text_mask.new_ones(len(text_mask), prefix_length, dtype=torch.bool)
    if text_mask is None:
        text_mask = prefix_mask.new_ones(len(prefix_mask), total - prefix_length)
    return torch.cat((prefix_mask.bool(), text_mask.bool()), dim=1)
