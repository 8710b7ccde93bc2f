"""Text files in the encodings that people's programs write: UTF-8, UTF-16, and Excel's "ANSI"."""

import gzip
from collections.abc import Callable
from pathlib import Path

from components.errors import UserError

FOREIGN = 0.3  # of the letters: more of them beyond ASCII is no text in Western Europe's Windows-1252


def suffix_of(file: Path) -> str:
    """The ending in lower case, without the .gz of a compressed file."""
    name = file.name.lower().removesuffix(".gz")
    return Path(name).suffix


def read_bytes(file: Path) -> bytes:
    """What is in the file, decompressed if it ends in .gz.

    Raises:
        UserError: it cannot be read.
    """
    try:
        data = file.read_bytes()
        return gzip.decompress(data) if file.name.lower().endswith(".gz") else data
    except (OSError, EOFError) as error:
        raise UserError(f"{file}: cannot be read: {error.args[-1] if error.args else error}.") from None


def read_text(file: Path, tell: Callable[[str], None] = lambda note: None) -> str:
    """The text, lines ended by line feeds.

    UTF-16 is known by its mark; what is not UTF-8 is Windows-1252, which `tell` is told, if most of its
    letters are plain.

    Raises:
        UserError: neither; names the first line that is not UTF-8.
    """
    data = read_bytes(file)
    return _decode(file, data, tell).replace("\r\n", "\n").replace("\r", "\n")


def _decode(file: Path, data: bytes, tell: Callable[[str], None]) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "surrogatepass")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        line = data.splitlines()[number - 1]
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    letters = "".join(filter(str.isalpha, text))
    if not letters or sum(not letter.isascii() for letter in letters) > FOREIGN * len(letters):
        raise UserError(
            f"{file}: line {number} is not UTF-8: {line[:60]!r}. Save the file as UTF-8 (Excel: 'CSV UTF-8')."
        )
    tell(f"{file.name}: not UTF-8, read as Windows-1252: line {number}: {line.decode('cp1252')[:60]!r}")
    return text
