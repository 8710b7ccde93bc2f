"""Text files in the encodings that people's programs write: UTF-8, UTF-16, and Excel's "ANSI"."""

import bz2
import gzip
import lzma
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from components.errors import UserError

Tell = Callable[[str], None]

FOREIGN = 0.3  # of the letters: more of them beyond ASCII is no text in Western Europe's Windows-1252
NOT_WESTERN = re.compile("[a-z][À-ÖØ-ÞŠŽŒŸ]|[a-zß-ÿ][¡-©«-³µ¶¸¹»-¿×÷†‡‰ˆ˜•™][a-zß-ÿ]")
"""A capital or a sign within a word: Mac Roman or an encoding of Central Europe, read as Windows-1252."""


def _zstd(data: bytes) -> bytes:
    return pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": _zstd,
}
"""Ending -> what undoes it."""


def suffix_of(file: Path) -> str:
    """The ending in lower case; of a compressed file, that before .gz and its like."""
    name = file.name.lower()
    return Path(Path(name).stem if Path(name).suffix in COMPRESSED else name).suffix


def read_bytes(file: Path) -> bytes:
    """What is in the file, decompressed if its ending says that it is compressed.

    Raises:
        UserError: it cannot be read.
    """
    decompress = COMPRESSED.get(file.suffix.lower(), bytes)
    try:
        return decompress(file.read_bytes())
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise UserError(f"{file}: cannot be read: {error.args[-1] if error.args else error}.") from None


def read_text(file: Path, tell: Tell = lambda note: None) -> str:
    """The text, lines ended by line feeds.

    UTF-16 is known by its mark or by the zeros of its first letter; what is not UTF-8 is Windows-1252, which
    `tell` is told, if most of its letters are plain and its words look like words.

    Raises:
        UserError: neither; names the first line that is not UTF-8.
    """
    data = read_bytes(file)
    return _decode(file, data, tell).replace("\r\n", "\n").replace("\r", "\n")


def _decode(file: Path, data: bytes, tell: Tell) -> str:
    try:
        return data.decode(_unicode(data))
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        line = (data.splitlines() or [b""])[min(number, len(data.splitlines())) - 1]
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    letters = "".join(filter(str.isalpha, text))
    foreign = sum(not letter.isascii() for letter in letters) > FOREIGN * len(letters)
    if foreign or not letters or NOT_WESTERN.search(text):
        raise UserError(
            f"{file}: line {number} is not UTF-8: {line[:60]!r}. Save the file as UTF-8 (Excel: 'CSV UTF-8')."
        )
    tell(f"{file.name}: not UTF-8, read as Windows-1252: line {number}: {line.decode('cp1252')[:60]!r}")
    return text


def _unicode(data: bytes) -> str:
    """Which of Unicode's encodings it is, if it is one."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if b"\0" in data[:2]:
        return "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    return "utf-8-sig"
