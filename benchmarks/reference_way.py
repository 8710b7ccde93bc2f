"""How the reference system trains and decodes, as plain functions on the same weights.

Three habits make it slow, and nothing else is copied from it: the frozen vision tower runs in every step;
every caption is padded to 260 tokens; captions are decoded one image at a time, without a cache, all logits
of all positions each time. Attention is written out, GPT-2's activation is not fused, as in the transformers
of its time; and GPT-2's own dropout is active in training, frozen or not.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import NewGELUActivation
from transformers.models.gpt2 import modeling_gpt2

from components.model import CaptionModel, cross_attention, resampler

PADDED_LENGTH = 260


def as_in_2022(model: CaptionModel) -> CaptionModel:
    """The operations of its time. Changes this whole process: give it one of its own."""
    model.text_generator.lm.set_attn_implementation("eager")
    model.vision_encoder.vision.set_attn_implementation("eager")
    modeling_gpt2.eager_attention_forward = gpt2_attention
    resampler.attend = cross_attention.attend = bridge_attention
    for block in model.text_generator.lm.transformer.h:
        block.mlp.act = NewGELUActivation()
    for module in model.text_generator.lm.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.1
    model.config.tower_dropout = 0.1  # so that train() reaches them
    return model


def gpt2_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout=0.0,
    **_,
) -> tuple[Tensor, Tensor]:
    """[B x h x L x d] each -> [B x L x h x d], as `GPT2Attention._attn` of transformers 4.24."""
    weights = query @ key.transpose(-1, -2)
    weights = weights / torch.full([], value.shape[-1] ** 0.5)
    causal = torch.ones(key.shape[-2], key.shape[-2], dtype=torch.bool).tril()[-query.shape[-2] :]
    weights = torch.where(causal, weights, torch.full([], torch.finfo(weights.dtype).min))
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = F.dropout(weights.softmax(dim=-1), dropout, module.training)
    return (weights @ value).transpose(1, 2), weights


def bridge_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, output_weights: bool = False
) -> tuple[Tensor, None]:
    """[B x h x L x d] each -> [B x L x h*d], in einsums, the maximum subtracted by hand."""
    scores = torch.einsum("bhqd,bhkd->bhqk", query * query.shape[-1] ** -0.5, key)
    scores = scores - scores.amax(dim=-1, keepdim=True).detach()
    output = torch.einsum("bhqk,bhkd->bhqd", scores.softmax(dim=-1), value)
    return output.transpose(1, 2).flatten(2), None


def training_step(
    model: CaptionModel, optimizer: torch.optim.Optimizer, pixel_values: Tensor, input_ids: Tensor
) -> Tensor:
    """One step on images [B x 1 x 3 x H x W] and captions [B x L], padded here to [B x 260]."""
    padding = PADDED_LENGTH - input_ids.shape[1]
    padded = F.pad(input_ids, (0, padding))
    labels = F.pad(input_ids, (0, padding), value=-100)
    logits = model(pixel_values=pixel_values, input_ids=padded, skip_logits=False).logits
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=-100)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


@torch.no_grad()
def beam_search(model: CaptionModel, image: Tensor, beams: int, new_tokens: int) -> Tensor:
    """The best caption [L] of one image [1 x 1 x 3 x H x W]; ended beams stay in the search."""
    context = model.encode(pixel_values=image)
    end = model.config.eos_token_id
    sequences = torch.full((1, 1), model.config.bos_token_id)
    scores, ended = torch.zeros(1), torch.zeros(1, dtype=torch.bool)
    for _ in range(new_tokens):
        log_probabilities = model(context=context, input_ids=sequences).logits[:, -1].log_softmax(dim=-1)
        log_probabilities[ended] = -torch.inf
        log_probabilities[ended, end] = 0  # an ended beam goes on at no cost
        total = scores[:, None] + log_probabilities
        scores, best = total.flatten().topk(beams)
        rows, tokens = best // total.shape[1], best % total.shape[1]
        sequences = torch.cat((sequences[rows], tokens[:, None]), dim=1)
        ended = ended[rows] | (tokens == end)
        if ended.all():
            break
    lengths = (sequences[:, 1:] != end).sum(dim=1) + 1
    return sequences[(scores / lengths).argmax()]
