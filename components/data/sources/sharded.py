"""Sources of many files, each of which is read by itself: in several threads, or on several machines."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from components.data.sources.base import Raw, Source


@dataclass(frozen=True)
class ShardFile:
    """A file of a data set that consists of many: its number, its split if it has one, and the folder that
    all of them lie in."""

    number: int
    file: Path
    split: str | None
    root: Path

    @property
    def name(self) -> str:
        """Of the file, relative to `root`."""
        return self.file.absolute().relative_to(self.root).as_posix()


class ShardedSource(Source):
    """A source whose files are read each by itself, in several threads or on several machines."""

    @abstractmethod
    def shards(self) -> list[ShardFile]:
        """The files."""

    @abstractmethod
    def read_shard(self, shard: ShardFile) -> Raw:
        """As `read`, of one of them; all have one root."""

    def read(self, workdir: Path) -> Raw:
        """All of them."""
        return self.joined([self.read_shard(shard) for shard in self.shards()])

    def joined(self, parts: Sequence[Raw]) -> Raw:
        """The tables of all files as one; what several say is said once."""
        images, captions = (
            pd.concat([getattr(part, name) for part in parts], ignore_index=True)
            for name in ("images", "captions")
        )
        notes = dict.fromkeys([*self.notes, *(note for part in parts for note in part.notes)])
        left_out = sum((Counter(part.left_out) for part in parts), Counter[str]())
        return Raw(images, captions, parts[0].root, tuple(notes), dict(left_out))
