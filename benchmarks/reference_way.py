"""How the reference system trains and decodes, as plain functions on the same weights.

Three habits make it slow, and nothing else is copied from it: the frozen vision tower runs in every step;
    every caption is
padded to 260 tokens; captions are decoded one image at a time, without a cache, all logits of all positions
each time. Attention is eager, GPT-2's activation is not fused, as in the transformers of its time; and
GPT-2's own dropout is active in training, frozen or not.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import NewGELUActivation

from components.model import CaptionModel

PADDED_LENGTH = 260


def as_in_2022(model: CaptionModel) -> CaptionModel:
    """Eager attention in both towers, GPT-2's activation in eight separate operations."""
    model.text_generator.lm.set_attn_implementation("eager")
    model.vision_encoder.vision.set_attn_implementation("eager")
    for block in model.text_generator.lm.transformer.h:
        block.mlp.act = NewGELUActivation()
    for module in model.text_generator.lm.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.1
    model.config.tower_dropout = 0.1  # so that train() reaches them
    return model


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
