"""The model's code beside its weights: what `trust_remote_code=True` runs, from a folder or the hub.

transformers takes a file that config.json names, and those beside it that this one imports as `from .name`.
It knows no packages; so each module goes along under its whole name, components/model/text.py as
model_text.py. Nothing else in them changes.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.model.pipeline import CaptionPipeline

ROOT = Path(__file__).parents[1]
ENTRY = "model.captioner"
CLASSES = {
    "AutoConfig": "model_captioner.CaptionConfig",
    "AutoModel": "model_captioner.CaptionModel",
    "AutoModelForImageTextToText": "model_captioner.CaptionModel",
    "AutoProcessor": "model_captioner.CaptionProcessor",
}
"""All from one file: transformers keeps a copy of the code for each, and classes of two copies differ."""

TASK = "image-text-to-text"
PIPELINES = {
    TASK: {
        "impl": f"model_pipeline.{CaptionPipeline.__name__}",
        "pt": ["AutoModelForImageTextToText"],
        "type": "multimodal",
    }
}
IMPORT = re.compile(r"^( *from )components\.([\w.]+)( import )", re.MULTILINE)


@contextmanager
def announced(*parts: Any) -> Iterator[None]:
    """While a configuration and a processor are saved, they say where their code is."""
    for part in parts:
        part.auto_map, part.custom_pipelines = dict(CLASSES), dict(PIPELINES)
    try:
        yield
    finally:
        forget_code(*parts)


def forget_code(*parts: Any) -> None:
    """What is saved next may have no code beside it."""
    for part in parts:
        for name in ("auto_map", "custom_pipelines"):
            vars(part).pop(name, None)


def write_code(folder: Path) -> None:
    """Write `ENTRY` and all of ours that it imports to `folder`, this file and the pipeline among them."""
    waiting, written = [ENTRY], set()
    while waiting:
        if (module := waiting.pop()) not in written:
            written.add(module)
            code = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
            waiting += [found[2] for found in IMPORT.finditer(code)]
            flat = IMPORT.sub(lambda found: f"{found[1]}.{_flat(found[2])}{found[3]}", code)
            (folder / f"{_flat(module)}.py").write_text(flat, encoding="utf-8")


def _flat(module: str) -> str:
    return module.replace(".", "_")
