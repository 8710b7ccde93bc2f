"""A picture is a slice of a file: a file of its own, or a member of a tar shard. Opening it is one seek.

Shards are plain tar files, as webdataset reads them: members of one picture or clip have one number.

    images-00000.tar   000000000.jpg, 000000001.png, 000000002.000.jpg, 000000002.001.jpg (frames), ...
"""

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from components.errors import UserError
from components.files import atomic_path

SHARD_SIZE = 256 * 2**20
"""Bytes, about: DVC and a network file system see tens of files; pictures added at the end change few."""

HEADER = tarfile.BLOCKSIZE
"""Bytes before those of a member, whose names are short."""


@dataclass(frozen=True)
class Slice:
    """Where a picture, or a frame of a clip, lies: `size` bytes of `file` from `offset` on; None: all."""

    file: Path
    offset: int = 0
    size: int | None = None

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            OSError: there is no such file.
        """
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(-1 if self.size is None else self.size)


def shard_name(number: int) -> str:
    """images-00000.tar"""
    return f"images-{number:05d}.tar"


def member_name(number: int, frame: int, frames: int, ending: str) -> str:
    """Of picture `number`, which has so many frames."""
    return f"{number:09d}{'' if frames == 1 else f'.{frame:03d}'}{ending}"


def padded(size):
    """How many bytes a member of `size` bytes (numbers or arrays of them) takes with its header."""
    return HEADER - (-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def write_shard(path: Path, members: Iterable[tuple[str, Slice]]) -> None:
    """Write a shard of `members`, named (`member_name`) and ordered as they are; whole or not at all.

    Raises:
        UserError: one of them lies there no longer.
    """
    with atomic_path(path) as fresh, tarfile.open(fresh, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, place in members:
            data = place.read()
            if len(data) != place.size:
                raise UserError(f"{place.file}: has changed while it was read. Run the stage again.")
            _add(tar, name, data)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
    tar.members.clear()  # type: ignore[attr-defined]  # else it remembers them all


class ShardWriter:
    """Writes `folder`/images-00000.tar, images-00001.tar, ... of pictures as they are made; a context
    manager. The same pictures in the same order give the same bytes."""

    def __init__(self, folder: Path):
        self.folder, self.count, self.shards = folder, 0, 0
        self._path = folder
        self._tar: tarfile.TarFile | None = None

    def add(self, frames: list[tuple[bytes, str]]) -> list[Slice]:
        """One picture, or a clip by its frames: of each the bytes and the ending of its name ('.jpg')."""
        tar = self._open()
        slices = []
        for number, (data, ending) in enumerate(frames):
            slices.append(Slice(self._path, tar.offset + HEADER, len(data)))
            _add(tar, member_name(self.count, number, len(frames), ending), data)
        self.count += 1
        return slices

    def _open(self) -> tarfile.TarFile:
        if self._tar is None or self._tar.offset > SHARD_SIZE:
            self.close()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._path = self.folder / shard_name(self.shards)
            self._tar = tarfile.open(self._path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (see `close`)
            self.shards += 1
        return self._tar

    def close(self) -> None:
        """End the last shard."""
        if self._tar is not None:
            self._tar.close()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
