"""BLEU, METEOR, ROUGE-L and CIDEr, equal to what pycocoevalcap prints for the same captions, if these are in
a European script (`language` says what becomes of others).

    references = References({"picture-1": ["a red dog", "a dog"], ...})
    statistics = coco_statistics({"model": {"picture-1": "a dog", ...}, "blind": {...}}, references)
    METRICS["BLEU-4"].corpus(statistics["model"]["bleu"])

pycocoevalcap's scorers are called one by one: its `COCOEvalCap` also starts SPICE, which downloads its
models.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from components.errors import UserError
from components.evaluation.scoring.java import meteor_statistics
from components.evaluation.scoring.language import Language
from components.evaluation.scoring.metrics import BLEU_ORDER, METRICS

Captions = Mapping[str, str]
"""image_id -> caption."""


class References:
    """The reference captions of a split, tokenized once, in the way of their `language`.

    Args:
        references: image_id -> captions, at least one each. The order of the images is the order of all
            results.

    Raises:
        UserError: no image, or an image without a caption.
    """

    def __init__(self, references: Mapping[str, Sequence[str]]) -> None:
        if not references:
            raise UserError("No reference captions to score against.")
        for image_id, captions in references.items():
            if not captions or isinstance(captions, str):
                raise UserError(f"Image '{image_id}' has no list of reference captions: {captions!r}.")
        self.raw: dict[str, list[str]] = {image_id: list(several) for image_id, several in references.items()}
        captions = [caption for several in self.raw.values() for caption in several]
        self.language = Language.of(captions)
        tokens = iter(self.language.tokenize(captions))
        self.tokens: dict[str, list[str]] = {
            image_id: [next(tokens) for _ in several] for image_id, several in self.raw.items()
        }

    def align(self, captions: Captions, system: str = "captions") -> list[str]:
        """The captions in the order of the images.

        Raises:
            UserError: an image has no caption, a caption no image, or is no text.
        """
        missing = [image_id for image_id in self.raw if image_id not in captions]
        unknown = [image_id for image_id in captions if image_id not in self.raw]
        for what, ids in (("no caption for", missing), ("a caption but no references for", unknown)):
            if ids:
                more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
                raise UserError(f"{system}: {what} image '{ids[0]}'{more}. Both must be of the same split.")
        aligned = [captions[image_id] for image_id in self.raw]
        for image_id, caption in zip(self.raw, aligned, strict=True):
            if not isinstance(caption, str):
                raise UserError(f"{system}: the caption of image '{image_id}' is {caption!r}, not one text.")
        return aligned


def coco_statistics(
    systems: Mapping[str, Captions], references: References, with_meteor: bool = True
) -> dict[str, dict[str, np.ndarray]]:
    """The statistics of each system's captions, by family, from one start of the tokenizer and one of METEOR.

    Args:
        systems: system -> image_id -> caption.
        references: of exactly these images.
        with_meteor: False saves 6 s and 1 GB. It is for English: other captions never have it.

    Returns:
        system -> {"bleu": (n, 10), "rouge": (n, 1), "cider": (n, 1), "meteor": (n, 23)}; `METRICS` makes
        scores of them.

    Raises:
        UserError: a system's images are not those of the references.
    """
    captions = [caption for name, system in systems.items() for caption in references.align(system, name)]
    tokens = references.language.tokenize(captions)
    with_meteor = with_meteor and references.language.english
    truth, count = list(references.tokens.values()), len(references.raw)
    parts = {name: slice(i * count, (i + 1) * count) for i, name in enumerate(systems)}
    with ThreadPoolExecutor(1) as beside:  # METEOR's Java has a processor core of its own
        meteor = beside.submit(meteor_statistics, tokens, truth * len(systems)) if with_meteor else None
        statistics = {name: _one_system(tokens[part], truth) for name, part in parts.items()}
    if meteor is not None:
        for name, part in parts.items():
            statistics[name]["meteor"] = meteor.result()[part]
    return statistics


def cider(captions: Captions, references: References) -> float:
    """CIDEr of the captions of exactly these images, without METEOR: 0.2-0.5 s a call for a few hundred, so
    that a training can score its validation split again and again.
    """
    statistics = coco_statistics({"": captions}, references, with_meteor=False)[""]
    return METRICS["CIDEr"].corpus(statistics["cider"])


def _one_system(captions: list[str], references: list[list[str]]) -> dict[str, np.ndarray]:
    """Tokenized captions against tokenized references: everything that needs no Java."""
    truth = dict(enumerate(references))
    answers = {index: [caption] for index, caption in enumerate(captions)}
    bleu = []  # of each caption length, reference length, n-grams, matched n-grams: what `metrics.bleu` reads
    for caption, several in zip(captions, references, strict=True):
        cooked = cook_test(caption, cook_refs(several, n=BLEU_ORDER), eff="closest", n=BLEU_ORDER)
        bleu.append([cooked["testlen"], cooked["reflen"], *cooked["guess"], *cooked["correct"]])
    return {
        "bleu": np.array(bleu, dtype=np.float64),
        "rouge": np.asarray(Rouge().compute_score(truth, answers)[1], dtype=np.float64)[:, None],
        # idf over all of these images, so a caption's score depends on the split that it is scored in
        "cider": np.asarray(Cider().compute_score(truth, answers)[1], dtype=np.float64)[:, None],
    }
