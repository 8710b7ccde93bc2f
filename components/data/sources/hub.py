"""`datasets`: what the library `datasets` of Hugging Face can load, by hub name or from a folder.

data.annotations is the name ("nlphuji/flickr30k"), a name with a configuration ("name:configuration"), or a
folder below data.folder. `data.streaming: true` keeps no copy of the whole but the pictures. The library
comes with `pip install -e '.[datasets]'`; `table` reads Parquet and what `save_to_disk` wrote without it.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from components.config import Positive
from components.data.sources.columns import Columns, plain_name, plain_names
from components.data.sources.folders import DATASET, DATASET_DICT, Part
from components.data.sources.records import Records, Rows
from components.data.sources.table import Table
from components.data.sources.values import split_name
from components.errors import UserError


class HuggingFace(Table):
    """Pictures are taken as the bytes that they are, not decoded and saved anew."""

    name = "datasets"

    class Options(Table.Options):
        """And whether it is read as it comes."""

        streaming: bool  # nothing is kept but the pictures: where the whole does not fit
        limit: Positive | None = None  # rows of a split

    options: Options

    def parts(self) -> Iterator[Part]:
        """The splits.

        Raises:
            UserError: the library is not there, or cannot load the data; says what it said.
        """
        name = self.options.annotations
        if not isinstance(name, str) or not name:
            raise UserError(
                f"data.annotations is {name!r}: the source 'datasets' needs one name or folder there."
            )
        loaded = self._load(name)
        for split, part in loaded.items() if isinstance(loaded, dict) else [(None, loaded)]:
            # A data set that has train alone has no splits: they are made.
            known = None if split is None or len(loaded) == 1 else split_name(split)
            label = f"{name}: {split or 'row'}"
            yield Part(Path(self.folder, name), known, _records(part, label, self.options.limit))

    def _load(self, name: str) -> Any:
        try:
            import datasets
        except ImportError:
            raise UserError(
                "data.source is datasets, and the library is not there: pip install -e '.[datasets]'."
            ) from None
        place = self.folder / name
        try:
            if (place / DATASET).exists() or (place / DATASET_DICT).exists():
                return datasets.load_from_disk(str(place))
            names = (str(place),) if place.exists() else name.split(":", 1)
            return datasets.load_dataset(*names, streaming=self.options.streaming)
        except Exception as error:  # the library raises whatever its readers and the network do
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"data.annotations: {name}: neither a folder in {self.folder} nor on the hub: {reason}"
            ) from None


def _records(part: Any, label: str, limit: int | None) -> Records:
    """Rows with pictures as {'bytes', 'path'}; names in lower case."""
    import datasets

    if isinstance(part, datasets.IterableDataset) and part.features is None:
        part = part._resolve_features()  # by its first rows, as the library itself does
    names = list(part.features)
    for column, feature in part.features.items():
        if isinstance(feature, datasets.Image):
            part = part.cast_column(column, datasets.Image(decode=False))

    def rows(columns: Columns) -> Rows:
        for number, record in enumerate(islice(part, limit)):
            yield f"{label}: {number}", plain_names(record)

    return Records([plain_name(column) for column in names], rows)
