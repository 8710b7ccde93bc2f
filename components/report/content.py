"""What the page shows, as plain data: it can be filled from a real run or by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from components.evaluation.results import Metrics, read_json, read_metrics, read_per_image


@dataclass(frozen=True)
class Variant:
    """One trained captioner.

    Attributes:
        name: such as "mlp".
        metrics: the content of its metrics.json.
        captions: image_id -> caption, test split.
        cider: image_id -> CIDEr of that caption.
        history: the records of training: {"step", "epoch", "loss" | "val/CIDEr" | "gate/attention.0" | ...}.
        degenerate: what is wrong with its captions of test or validation pictures, if anything.
        wrong_words: image_id -> places in `caption.split()` of what is wrong; empty where nobody can tell.
        right: image_id -> is the caption right, as far as the data tells: in everything (of a scene), or in
            what it names; empty where nobody can tell.
    """

    name: str
    metrics: Metrics
    captions: Mapping[str, str]
    cider: Mapping[str, float]
    history: list[dict[str, Any]] = field(default_factory=list)
    degenerate: str | None = None
    wrong_words: Mapping[str, Sequence[int]] = field(default_factory=dict)
    right: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class WordMaps:
    """Where the words of a caption looked: `maps` [words x frames x patches] from 0 to 1, patches row by row
    over square frames; a picture is one frame.
    """

    image_id: str
    variant: str
    words: list[str]
    maps: np.ndarray

    def __post_init__(self) -> None:
        words, _, patches = self.maps.shape
        if words != len(self.words):
            raise ValueError(f"{self.image_id}: {len(self.words)} words but {words} attention maps")
        if int(patches**0.5) ** 2 != patches:
            raise ValueError(f"{self.image_id}: {patches} patches are no square; leave the class token out")


@dataclass(frozen=True)
class Report:
    """Everything on the page.

    Attributes:
        variants: in the order of the table.
        references: image_id -> captions, of the pictures that are shown.
        clips: image_id -> frames, of the pictures that are shown; a picture is one frame.
        sample, worst: image ids to show.
        looked: attention maps of a few captions.
        faults: the content of the data stage's validation.json; None if there is none.
        provenance: what made this page: commit, data, date, machine, ...
        params: the text of params.yaml.
        num_images: size of the test split.
    """

    variants: list[Variant]
    references: Mapping[str, list[str]]
    clips: Mapping[str, Sequence[Image.Image]]
    sample: list[str]
    worst: list[str]
    looked: list[WordMaps] = field(default_factory=list)
    faults: Mapping[str, Any] | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    params: str = ""
    num_images: int = 0


class Pictures(NamedTuple):
    """Which test pictures to show: a random sample, the worst, and those whose words are followed."""

    sample: list[str]
    worst: list[str]
    looked: list[str]

    @property
    def all(self) -> list[str]:
        """Each picture once."""
        return list(dict.fromkeys([*self.sample, *self.worst, *self.looked]))


def load_variant(name: str, results: str | Path, model: str | Path) -> Variant:
    """Read what evaluation (`results`: metrics.json, per_image.parquet) and training (history.json,
    decoding.json) left.

    Raises:
        UserError: a file of the evaluation is missing or damaged. A missing history leaves the curves empty.
    """
    rows = read_per_image(Path(results) / "per_image.parquet")
    metrics = read_metrics(results)
    history = read_json(Path(model) / "history.json") or []
    decoding = read_json(Path(model) / "decoding.json") or {"best": {}}
    degenerate = metrics.get("degenerate") or decoding["best"].get("degenerate")
    captions, cider = rows["caption"].to_dict(), rows["CIDEr"].to_dict()
    variant = Variant(name, metrics, captions, cider, history, degenerate)
    if "wrong_words" not in rows:  # the data does not say what is true
        return variant
    right = rows["entirely_right"] == 1 if "entirely_right" in rows else rows["wrong_names"].str.len() == 0
    return replace(variant, wrong_words=rows["wrong_words"].to_dict(), right=right.to_dict())


def choose_pictures(
    variants: list[Variant], sample: int = 15, worst: int = 5, looked: int = 4, seed: int = 0
) -> Pictures:
    """A random sample (not the best ones), the lowest mean CIDEr over the variants, and the first of the
    sample.
    """
    image_ids = sorted(variants[0].captions)
    drawn = np.random.default_rng(seed).permutation(len(image_ids))[:sample]
    chosen = [image_ids[index] for index in drawn]
    badness = {image_id: sum(variant.cider[image_id] for variant in variants) for image_id in image_ids}
    return Pictures(chosen, sorted(image_ids, key=badness.__getitem__)[:worst], chosen[:looked])
