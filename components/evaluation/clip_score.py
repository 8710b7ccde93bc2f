"""CLIPScore (Hessel et al., 2021) by the towers' own CLIP: does the caption fit the picture?

The pictures' embeddings are already in the feature store, so only texts are encoded, and each different text
once. torchmetrics' `CLIPScore` takes pixels and gives one mean; its cosine similarity gives a score an
image. The mean is the same (tested).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


@torch.inference_mode()
def text_embeds(clip: Any, tokenizer: Any, captions: Sequence[str], batch_size: int = 256) -> Tensor:
    """CLIP's text embeddings [n x D] of captions.

    Args:
        clip: a `CLIPModel`.
        tokenizer: its tokenizer. Captions longer than the text tower are cut, their end token kept.
    """
    unique = sorted(set(captions), key=len)  # of one length in a batch: little padding
    limit, embeds = clip.config.text_config.max_position_embeddings, []
    for start in range(0, len(unique), batch_size):
        batch = unique[start : start + batch_size]
        inputs = tokenizer(batch, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        inputs = {name: inputs[name].to(clip.device) for name in ("input_ids", "attention_mask")}
        embeds.append(clip.get_text_features(**inputs).pooler_output.float().cpu())
    row = {caption: index for index, caption in enumerate(unique)}
    return torch.cat(embeds)[[row[caption] for caption in captions]]


def clip_scores(clip: Any, tokenizer: Any, image_embeds: Tensor, captions: Sequence[str]) -> np.ndarray:
    """100 x cosine of image and caption.

    Args:
        clip, tokenizer: see `text_embeds`.
        image_embeds: [n x D], CLIP's projected embeddings of the images.
        captions: n texts, in the order of the images.

    Returns:
        [n x 1] statistics of the family "clip".
    """
    from torchmetrics.functional import cosine_similarity  # imports slowly

    texts = text_embeds(clip, tokenizer, captions)
    return 100 * cosine_similarity(image_embeds.float(), texts, reduction="none").numpy()[:, None].astype(
        np.float64
    )
