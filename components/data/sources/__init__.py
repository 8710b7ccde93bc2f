"""The sources by name. Every module of this folder is looked at: a new source is a new file, nothing else."""

import importlib
import pkgutil

from components.data.sources.base import Options, Raw, Source
from components.errors import UserError

__all__ = ["Options", "Raw", "Source", "sources", "source_named"]


def sources() -> dict[str, type[Source]]:
    """name -> class, of every source there is."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {cls.name: cls for cls in _subclasses(Source) if hasattr(cls, "name")}


def source_named(name: str, options: Options) -> Source:
    """The source that `data.source` names.

    Raises:
        UserError: there is none of that name; lists those there are.
    """
    known = sources()
    if name not in known:
        raise UserError(f"data.source is {name!r}. Known: {', '.join(sorted(known))}.")
    return known[name](options)


def _subclasses(cls: type) -> list[type]:
    return [each for child in cls.__subclasses__() for each in (child, *_subclasses(child))]
