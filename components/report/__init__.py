"""One page to look at: scores, curves, captions, the worst cases, where words looked, faults, provenance."""

from components.report.content import (
    Pictures,
    Report,
    Variant,
    WordMaps,
    choose_pictures,
    load_variant,
    read_json,
)
from components.report.looking import word_maps
from components.report.render import render, write_page

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
    "write_page",
]
