"""Gather what the page shows from the outputs of the stages."""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.data.tables import Tables
from components.features.store import Features
from components.model import CaptionModel
from components.report.content import Report, Variant, WordMaps, choose_pictures, load_variant
from components.report.looking import word_maps
from components.tracking.git import git_tags


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
        looked=[maps for v in loaded for maps in _looked(v, models / v.name, chosen.looked, features)],
        faults=faults,
        provenance=provenance,
        params=params,
        num_images=len(test.images),
    )


def provenance(data: str) -> dict[str, str]:
    """Commit, data (their hash), date and machine."""
    tags = git_tags()
    commit = tags.get("mlflow.source.git.commit", "none")
    return {
        "commit": commit[:12] + (" (with uncommitted changes)" if tags.get("git.dirty") == "true" else ""),
        "data": data,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def _looked(variant: Variant, folder: Path, image_ids: Sequence[str], features: Features) -> list[WordMaps]:
    """Where the words of the variant's captions looked; nothing if it has no cross-attention to look with."""
    model = CaptionModel.from_pretrained(folder)
    said = [
        (i, variant.captions[i]) for i in image_ids if variant.captions[i] and model.resampler is not None
    ]
    return [word_maps(model, i, variant.name, caption, features.batch([i])) for i, caption in said]
