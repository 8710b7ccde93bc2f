"""What a captioner has to beat to have learned something.

nearest neighbour  the caption of the training image that CLIP finds most alike: copying without language
blind              the model's own captions, each for another image: language without looking
most frequent      the commonest training caption, for every image
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pycocoevalcap.cider.cider import Cider

from components.errors import UserError
from components.evaluation.scoring.monitors import words

BLOCK = 1024  # test images that are compared with all training images at a time


def nearest_neighbour(
    image_ids: Sequence[str],
    embeds: np.ndarray,
    training_ids: Sequence[str],
    training_embeds: np.ndarray,
    training_references: Mapping[str, Sequence[str]],
) -> dict[str, str]:
    """Copy the closest training image's caption.

    Of its references the medoid is taken, the one closest to the others (the consensus caption of Devlin et
    al., 2015, with one neighbour): the strongest choice that does not look at the test references.

    Args:
        image_ids, embeds: n test images, and their `image_embeds` by CLIP [n x D].
        training_ids, training_embeds: m training images, [m x D].
        training_references: training image_id -> captions.

    Returns:
        image_id -> caption.

    Raises:
        UserError: no training image.
    """
    if not training_ids:
        raise UserError("No training image to be a nearest neighbour: the training split is empty.")
    queries, keys = _unit(embeds), _unit(training_embeds).T
    blocks = [queries[start : start + BLOCK] @ keys for start in range(0, len(queries), BLOCK)]
    nearest = np.concatenate([similarity.argmax(axis=1) for similarity in blocks])
    neighbours = [training_ids[index] for index in nearest]
    chosen = medoids({image_id: training_references[image_id] for image_id in dict.fromkeys(neighbours)})
    return {image_id: chosen[neighbour] for image_id, neighbour in zip(image_ids, neighbours, strict=True)}


def medoids(references: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """For each image the caption with the highest CIDEr against its others; the first among equals."""
    others, said = {}, {}
    for image_id, captions in references.items():
        texts = [" ".join(words(caption)) for caption in captions]
        for index, text in enumerate(texts):
            others[image_id, index] = texts[:index] + texts[index + 1 :] or texts
            said[image_id, index] = [text]
    scores = iter(Cider().compute_score(others, said)[1])
    rows = {image_id: [next(scores) for _ in captions] for image_id, captions in references.items()}
    return {image_id: references[image_id][int(np.argmax(row))] for image_id, row in rows.items()}


def other_image(image_ids: Sequence[str], seed: int = 0) -> dict[str, str]:
    """image_id -> the image that the blind model is shown instead: none its own, each once (one random cycle;
    Sattolo, 1986). Its captions are those of the images that it is shown: decoding again would give the same.

    Raises:
        UserError: fewer than two images.
    """
    if len(image_ids) < 2:
        raise UserError(f"The blind baseline shuffles images: it needs at least two, not {len(image_ids)}.")
    order = np.random.default_rng(seed).permutation(len(image_ids))
    return {image_ids[i]: image_ids[j] for i, j in zip(order, np.roll(order, 1), strict=True)}


def most_frequent(captions: Iterable[str]) -> str:
    """The commonest caption; the first among equals.

    Raises:
        UserError: no caption.
    """
    counts = Counter(" ".join(caption.split()) for caption in captions)
    if not counts:
        raise UserError("No training caption to be the most frequent: the training split is empty.")
    return counts.most_common(1)[0][0]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
