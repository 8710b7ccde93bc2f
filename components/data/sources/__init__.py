"""The sources by name. Every module of this folder is looked at: a new source is a new file, nothing else."""

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from components.config import DataParams, explain
from components.data.sources.base import Found, Raw, Source
from components.errors import UserError

__all__ = ["Found", "Raw", "Source", "source_of", "sources"]


def sources() -> dict[str, type[Source]]:
    """name -> class, of every source there is."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {cls.name: cls for cls in _subclasses(Source) if hasattr(cls, "name")}


def source_of(data: DataParams) -> Source:
    """The source that `data.source` names, with its options.

    Raises:
        UserError: there is none of that name; it has no such option, or not of that value.
    """
    known = sources()
    if data.source not in known:
        raise UserError(f"data.source is {data.source!r}. Known: {', '.join(sorted(known))}.")
    source = known[data.source]
    own = source.Options.model_fields
    for key, value in data.options.items():
        if key not in own and not _rests(key, value, known.values()):
            told = f"data.{key} is {value!r}: the source '{data.source}' has no such option."
            raise UserError(f"{told} It has: {', '.join(own)}.")
    try:
        options = source.Options(**{key: value for key, value in data.options.items() if key in own})
    except ValidationError as error:
        raise UserError(explain(error, source.Options, section="data")) from None
    return source(options, data.folder, data.seed)


def _rests(key: str, value: Any, classes: Iterable[type[Source]]) -> bool:
    """Whether params.yaml has an option of another source only because it names every key."""
    fields = [cls.Options.model_fields.get(key) for cls in classes]
    return any(field and (value is None or field.is_required()) for field in fields)


def _subclasses(cls: type) -> list[type]:
    return [each for child in cls.__subclasses__() for each in (child, *_subclasses(child))]
