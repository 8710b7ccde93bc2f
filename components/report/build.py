"""Gather what the page shows from the outputs of the stages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.data.tables import Tables
from components.features.store import Features
from components.model import CaptionModel
from components.report.content import Report, Variant, WordMaps, choose_pictures, load_variant
from components.report.looking import word_maps


def build_report(
    variants: Sequence[str],
    tables: Tables,
    features: Features,
    results: Path,
    models: Path,
    *,
    faults: Mapping[str, Any] | None,
    provenance: Mapping[str, str],
    params: str,
) -> Report:
    """The report on `variants`, whose evaluations lie in `results`/VARIANT and whose models in
    `models`/VARIANT.

    Args:
        faults, provenance, params: see `Report`.

    Raises:
        UserError: a stage's output is missing or damaged.
    """
    loaded = [load_variant(name, results / name, models / name) for name in variants]
    test = tables.split("test")
    chosen, references = choose_pictures(loaded), test.references()
    return Report(
        variants=loaded,
        references={image_id: references[image_id] for image_id in chosen.all},
        clips={image_id: test.open_frames(image_id) for image_id in chosen.all},
        sample=chosen.sample,
        worst=chosen.worst,
        looked=[
            maps
            for variant in loaded
            for maps in _looked(variant, models / variant.name, chosen.looked, features)
        ],
        faults=faults,
        provenance=provenance,
        params=params,
        num_images=len(test.images),
    )


def _looked(variant: Variant, folder: Path, image_ids: Sequence[str], features: Features) -> list[WordMaps]:
    """Where the words of the variant's captions looked; nothing if it has no cross-attention to look with."""
    model = CaptionModel.from_pretrained(folder)
    if model.resampler is None:
        return []
    return [
        word_maps(
            model,
            model.processor,
            image_id,
            variant.name,
            variant.captions[image_id],
            features.batch([image_id]),
        )
        for image_id in image_ids
        if variant.captions[image_id]
    ]
