"""One page to look at: scores, curves, captions, the worst cases, where words looked, faults, provenance."""

from components.evaluation.report.content import (
    Pictures,
    Report,
    Variant,
    WordMaps,
    choose_pictures,
    load_variant,
    read_json,
)
from components.evaluation.report.looking import word_maps
from components.evaluation.report.render import render, write_report

__all__ = [
    "Pictures",
    "Report",
    "Variant",
    "WordMaps",
    "choose_pictures",
    "load_variant",
    "read_json",
    "render",
    "word_maps",
    "write_report",
]
