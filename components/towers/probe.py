"""What the towers can do by themselves, on pairs they were not trained on."""

import torch
from torch.nn.functional import normalize
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

from components.data.tables import Tables
from components.features.encoder import ClipEncoder, text_embeds
from components.features.text import pad, wrap


@torch.no_grad()
def retrieval(encoder: ClipEncoder, tokenizer: PreTrainedTokenizerBase, tables: Tables) -> dict[str, float]:
    """Image-to-text retrieval over the first caption of every image in `tables`: R@1 and R@5.

    A picture counts as found when the retrieved caption reads the same as its own (twins occur in small
    domains).
    """
    references = tables.references()
    image_ids = list(tables.images["image_id"])
    captions = [references[image_id][0] for image_id in image_ids]
    pictures = ([tables.open_image(image_id) for image_id in chunk] for chunk in _chunks(image_ids))
    images = torch.cat([encoder.embeds(chunk) for chunk in pictures])
    texts = normalize(text_embeds(encoder.clip, tokenizer, captions), dim=-1)
    order = (images @ texts.t()).topk(min(5, len(captions)), dim=-1).indices.tolist()
    hits = [[captions[j] == caption for j in row] for row, caption in zip(order, captions, strict=True)]
    return {"R@1": sum(row[0] for row in hits) / len(hits), "R@5": sum(any(row) for row in hits) / len(hits)}


@torch.no_grad()
def perplexity(gpt2: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, captions: list[str]) -> float:
    """Perplexity a token of captions with both ends, given BOS."""
    total, count = 0.0, 0
    for chunk in _chunks(captions):
        batch = pad(tokenizer([wrap(tokenizer, caption) for caption in chunk])["input_ids"], padding=0)
        loss = gpt2(**batch).loss
        tokens = int(batch["attention_mask"][:, 1:].sum())
        total, count = total + float(loss) * tokens, count + tokens
    return float(torch.tensor(total / count).exp())


def _chunks(items: list, size: int = 128) -> list[list]:
    return [items[i : i + size] for i in range(0, len(items), size)]
