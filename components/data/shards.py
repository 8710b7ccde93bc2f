"""A picture is a slice of a file: a file of its own, or a member of a tar shard. Opening it is one seek.

Shards are plain tar files, as webdataset reads them: members of one picture or clip have one number.

    images-00000.tar   000000000.jpg, 000000001.png, 000000002.000.jpg, 000000002.001.jpg (frames), ...
"""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

SHARD_SIZE = 256 * 2**20
"""Bytes, about: DVC and a network file system see tens of files; pictures added at the end change few."""


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


class ShardWriter:
    """Writes `folder`/images-00000.tar, images-00001.tar, ...; a context manager. The same pictures in the
    same order give the same bytes."""

    def __init__(self, folder: Path):
        self.folder, self.count, self.shards = folder, 0, 0
        self._path = folder
        self._tar: tarfile.TarFile | None = None

    def add(self, frames: list[tuple[bytes, str]]) -> list[Slice]:
        """One picture, or a clip by its frames: of each the bytes and the ending of its name ('.jpg')."""
        tar = self._open()
        slices = []
        for number, (data, suffix) in enumerate(frames):
            frame = "" if len(frames) == 1 else f".{number:03d}"
            member = tarfile.TarInfo(f"{self.count:09d}{frame}{suffix}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            padded = -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            slices.append(Slice(self._path, tar.offset - padded, len(data)))
        self.count += 1
        return slices

    def _open(self) -> tarfile.TarFile:
        if self._tar is None or self._tar.offset > SHARD_SIZE:
            self.close()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._path = self.folder / f"images-{self.shards:05d}.tar"
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
