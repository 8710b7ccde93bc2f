"""The sources by name. Every module of this folder is looked at: a new source is a new file, nothing else."""

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.config import DataParams, explain
from components.data.sources.auto import AUTO, recognise
from components.data.sources.base import SCRATCH, Found, Raw, Source
from components.errors import UserError

__all__ = ["Found", "Raw", "Source", "source_of", "sources"]


def sources() -> dict[str, type[Source]]:
    """name -> class, of every source there is."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {cls.name: cls for cls in _subclasses(Source) if hasattr(cls, "name")}


def source_of(data: DataParams, workdir: Path | None = None) -> Source:
    """The source that `data.source` names, with its options; of `auto`, the one that reads what lies there.

    Args:
        workdir: below it, in SCRATCH, archives are unpacked; without it, none is

    Raises:
        UserError: there is none of that name; it has no such option, or not of that value; or `auto`
            recognises nothing.
    """
    known, name, given, notes = sources(), data.source, data.options, []
    unpacked = workdir and workdir / SCRATCH / "unpacked"
    if name == AUTO:
        found = recognise(Path(data.folder), given.get("annotations"), unpacked)
        name, notes = found.source, found.notes
        given = given | {"annotations": found.annotations}
        if found.split_lists and not given.get("split_lists"):
            given = given | {"split_lists": found.split_lists}
    if name not in known:
        raise UserError(f"data.source is {name!r}. Known: {', '.join(sorted([AUTO, *known]))}.")
    source = known[name]
    own = source.Options.model_fields
    for key, value in given.items():
        if key not in own and not _rests(key, value, known.values()):
            told = f"data.{key} is {value!r}: the source '{name}' has no such option."
            raise UserError(f"{told} It has: {', '.join(own)}.")
    try:
        options = source.Options(**{key: value for key, value in given.items() if key in own})
    except ValidationError as error:
        raise UserError(explain(error, source.Options, section="data")) from None
    made = source(options, data.folder, data.seed, unpacked)
    made.notes += notes
    return made


def _rests(key: str, value: Any, classes: Iterable[type[Source]]) -> bool:
    """Whether params.yaml has an option of another source only because it names every key."""
    fields = [cls.Options.model_fields.get(key) for cls in classes]
    return any(field and (value is None or field.is_required()) for field in fields)


def _subclasses(cls: type) -> list[type]:
    return [each for child in cls.__subclasses__() for each in (child, *_subclasses(child))]
