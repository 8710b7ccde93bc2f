"""Signs of degenerate captions that scores can hide: one caption for all, loops, no end, copies of the
training set.
"""

import string
from collections.abc import Iterable, Mapping, Sequence

from components.evaluation.scoring.language import is_european, segment

_EDGES = string.punctuation + "\u201c\u201d\u201e\u2018\u2019\xab\xbb\xbf\xa1"


def words(caption: str) -> list[str]:
    """Lower-case words without the punctuation around them: 'Two dogs, a cat.' -> two dogs a cat. Scripts
    that are not European fall into words by `segment`.
    """
    found: list[str] = []
    for part in caption.lower().split():
        if not is_european(part):
            found += segment(part)
        elif word := part.strip(_EDGES):
            found.append(word)
    return found


def positions(caption: str) -> tuple[list[int], list[str]]:
    """The places in `caption.split()` of its `words`, and these."""
    found = [(place, word) for place, part in enumerate(caption.split()) for word in words(part)]
    return [place for place, _ in found], [word for _, word in found]


def distinct(captions: Sequence[str], order: int) -> float:
    """Different n-grams over all n-grams of all captions (Li et al., 2016); 0 if there is none."""
    texts = [words(caption) for caption in captions]
    grams = [tuple(text[i : i + order]) for text in texts for i in range(len(text) - order + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def monitors(
    captions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    training_captions: Iterable[str] = (),
    ended: Mapping[str, bool] | None = None,
) -> dict[str, float]:
    """Shares are of all images; texts are compared word by word, without case and punctuation.

    Args:
        captions: image_id -> caption.
        references: image_id -> captions.
        training_captions: all captions of the training split.
        ended: image_id -> did the caption end by itself, before `max_new_tokens`?

    Returns:
        unique, distinct_1, distinct_2, repeats (a word or a pair of words twice in a row), empty, mean_words,
        verbatim_reference (is one of its image's references), verbatim_training (stands in the training
        split), without_end (if `ended` is given).
    """
    spoken = {image_id: tuple(words(caption)) for image_id, caption in captions.items()}
    known = {tuple(words(caption)) for caption in training_captions}
    texts, count = list(spoken.values()), max(1, len(spoken))
    same = sum(text in {tuple(words(r)) for r in references[image_id]} for image_id, text in spoken.items())
    result = {
        "unique": len(set(texts)) / count,
        "distinct_1": distinct(list(captions.values()), 1),
        "distinct_2": distinct(list(captions.values()), 2),
        "repeats": sum(map(_repeats, texts)) / count,
        "empty": sum(not text for text in texts) / count,
        "mean_words": sum(map(len, texts)) / count,
        "verbatim_reference": same / count,
        "verbatim_training": sum(text in known for text in texts) / count,
    }
    if ended is not None:
        result["without_end"] = sum(not ended[image_id] for image_id in captions) / count
    return result


def _repeats(text: Sequence[str]) -> bool:
    """'a a dog', 'on the on the table': never right in a caption, the first sign of a loop."""
    return any(
        text[i : i + order] == text[i + order : i + 2 * order]
        for order in (1, 2)
        for i in range(len(text) - 2 * order + 1)
    )
