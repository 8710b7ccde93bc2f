"""The sources by name. Every module of this folder is looked at: a new source is a new file, nothing else."""

import importlib
import pkgutil
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
    given = {key: value for key, value in data.options.items() if _is_for(source, key, value)}
    try:
        return source(source.Options.model_validate(given), data.folder, data.seed)
    except ValidationError as error:
        raise UserError(explain(error, "params.yaml", "data")) from None


def _is_for(source: type[Source], key: str, value: Any) -> bool:
    """Whether `source` has the option; others' that stand in params.yaml whatever the source are passed over.

    Raises:
        UserError: nobody has it, or it was set although `source` does not have it.
    """
    own = source.Options.model_fields
    if key in own:
        return True
    fields = [cls.Options.model_fields.get(key) for cls in sources().values()]
    if not any(field and (value is None or field.is_required()) for field in fields):
        told = f"data.{key} is {value!r}: the source '{source.name}' has no such option."
        raise UserError(f"{told} It has: {', '.join(own)}.")
    return False


def _subclasses(cls: type) -> list[type]:
    return [each for child in cls.__subclasses__() for each in (child, *_subclasses(child))]
