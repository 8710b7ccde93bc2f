"""`webdataset`: tar shards, as webdataset and img2dataset write them; pictures are read where they lie.

    00000.tar    000000000.jpg, 000000000.txt, 000000000.json, 000000001.jpg, ...

Members of one name up to the first dot are one example, wherever in the shard they stand. Its captions are
those of the JSON (by the names in `columns.py`), or else the lines of the text.
"""

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.config import Positive
from components.data.clips import ENDINGS, is_video
from components.data.shards import Slice
from components.data.sources.base import Found, Raw, raw_tables
from components.data.sources.captions import captions_of
from components.data.sources.columns import CAPTION
from components.data.sources.locate import common_root
from components.data.sources.sharded import ShardedSource, ShardFile
from components.data.sources.video import ingest_clip
from components.errors import UserError

TEXTS = (".txt", ".caption")
COMPRESSED = {b"\x1f\x8b": "gzip -d", b"BZ": "bzip2 -d", b"\xfd7": "xz -d", b"(\xb5": "zstd -d"}
"""The first bytes of compressed files -> what unpacks them."""


class WebDataset(ShardedSource):
    """`data.annotations` names the shards, or folders of them."""

    name = "webdataset"

    class Options(ShardedSource.Options):
        """And how many frames of a video are kept."""

        num_frames: Positive

    options: Options

    def ingest(self, place: Slice, scratch: Path) -> Found:
        """A picture stays where it is; of a video frames are written, as the source `video` does."""
        if is_video(replace(place, size=16).read()):
            return ingest_clip(place, scratch, self.options.num_frames)
        return super().ingest(place, scratch)

    def shards(self) -> list[ShardFile]:
        """In the order of params.yaml, those of a folder by name.

        Raises:
            UserError: there is none, or it is compressed.
        """
        files = [
            (each, split) for path, split in self.annotation_files().items() for each in _shards_of(path)
        ]
        root = common_root([file.parent for file, _ in files])
        return [ShardFile(number, *_uncompressed(each), root) for number, each in enumerate(files)]

    def read_shard(self, shard: ShardFile) -> Raw:
        """One pass over the headers; of the members only captions are read."""
        try:
            with tarfile.open(shard.file, "r:") as archive:
                examples, kinds = _examples(archive)
        except (OSError, tarfile.TarError) as error:
            raise UserError(f"{shard.file}: cannot be read: {' '.join(str(error).split())}.") from None
        images: dict[str, list[Any]] = {name: [] for name in ("image_id", "row", "file", "offset", "size")}
        captions: dict[str, list[Any]] = {name: [] for name in ("image_id", "row", "caption")}
        below = Path(shard.name).with_suffix("")
        for key, example in examples.items():
            image_id, row, picture = f"{below}/{key}", f"{shard.file.name}: {key}", example.get("picture")
            _append(images, image_id, row, *(picture or (None, None, None)))
            for caption in example.get("captions", ()):
                _append(captions, image_id, row, caption)
        raw = raw_tables(images | {"split": [shard.split] * len(examples)}, captions, shard.root)
        places = raw.images.assign(shard=shard.name).astype({"offset": "Int64", "size": "Int64"})
        return Raw(places, raw.captions, shard.root, notes=(_note(kinds),))


def _append(columns: dict[str, list[Any]], *values: Any) -> None:
    for column, value in zip(columns.values(), values, strict=True):
        column.append(value)


def _shards_of(path: Path) -> Iterator[Path]:
    """`path`, or the shards in this folder and those below it."""
    found = [path] if path.is_file() else sorted(path.rglob("*.tar"))
    if not found:
        raise UserError(f"data.annotations: {path}: no .tar in this folder.")
    yield from found


def _uncompressed(shard: tuple[Path, str | None]) -> tuple[Path, str | None]:
    with shard[0].open("rb") as file:
        start = file.read(2)
    if start in COMPRESSED:
        raise UserError(
            f"{shard[0]}: a compressed archive, in which no picture can be opened by itself. Unpack it to a "
            f"plain .tar ({COMPRESSED[start]}): pictures are compressed already, it will hardly be larger."
        )
    return shard


def _examples(archive: tarfile.TarFile) -> tuple[dict[str, dict[str, Any]], Counter[tuple[str, str]]]:
    """Key -> `picture` (name, offset, size) and `captions` of the example; and what members were read as."""
    examples: dict[str, dict[str, Any]] = {}
    kinds: Counter[tuple[str, str]] = Counter()
    for member in archive:
        if not member.isreg() or member.issparse():
            continue
        folder, _, base = member.name.rpartition("/")
        stem, _, ending = base.partition(".")
        example = examples.setdefault(f"{folder}/{stem}" if folder else stem, {})
        role = _add(example, member, f".{ending.lower()}", archive)
        kinds[role, f".{ending.lower()}"] += 1
    return examples, kinds


def _add(example: dict[str, Any], member: tarfile.TarInfo, ending: str, archive: tarfile.TarFile) -> str:
    """Put what `member` is into its example; what it was read as."""
    if ending in ENDINGS and "picture" not in example:
        example["picture"] = (member.name, member.offset_data, member.size)
        return "pictures"
    if ending == ".json" and (captions := _of_json(_content(archive, member))):
        example["captions"] = captions
        return "captions"
    if ending in TEXTS:
        lines = _content(archive, member).decode("utf-8-sig", "replace").splitlines()
        example.setdefault("captions", [line.strip() for line in lines if line.strip()])
        return "captions"
    return "not read"


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def _of_json(data: bytes) -> list[Any]:
    """The captions in the JSON of an example; none if there are none."""
    try:
        content = json.loads(data)
    except ValueError:
        return []
    content = {key.lower(): value for key, value in content.items()} if isinstance(content, dict) else {}
    found = next((content[name] for name in CAPTION if content.get(name) not in (None, "")), None)
    return [] if found is None else captions_of(found)


def _note(kinds: Counter[tuple[str, str]]) -> str:
    """'pictures from .jpg; captions from .json; not read: .cls'."""
    found = {role: sorted({ending for of, ending in kinds if of == role}) for role, _ in kinds}
    told = [f"{role} from {', '.join(found[role])}" for role in ("pictures", "captions") if role in found]
    if "not read" in found:
        told.append(f"not read: {', '.join(found['not read'])}")
    return "shards: " + "; ".join(told or ["nothing in them"])
