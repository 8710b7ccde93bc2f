"""CLIPScore (Hessel et al., 2021) by the towers' own CLIP: does the caption fit the picture?

The pictures' embeddings are already in the feature store, so only texts are encoded, and each different text
once. torchmetrics' `CLIPScore` takes pixels and gives one mean; its cosine similarity gives a score an
image. The mean is the same (tested).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from components.features.encoder import text_embeds


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
