"""Opening one picture, whatever a camera, a phone or a web site made of it."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pillow_heif
from PIL import Image, UnidentifiedImageError

from components.data.rgb import to_rgb
from components.data.shards import Slice

MAX_PIXELS = 64_000_000  # decoded, this is 192 MB: more than any photograph, less than a decompression bomb
MIN_SIDE = 8
MAX_ASPECT = 20
MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
"""Pixel modes that become RGB without guessing a range (32-bit and 16-bit grey do not)."""

PICTURE_ENDINGS = (
    *(".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".jp2", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
DNG_VERSION = 50706  # a tag of TIFF: of such a file Pillow would open the small preview

pillow_heif.register_heif_opener(thumbnails=False)  # what iPhones write; AVIF is Pillow's own

# Once, for all threads: a filter set around each picture would race.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MAX_PIXELS is stricter
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # odd metadata, not the pixels


class Problem(Exception):
    """Why a picture or clip cannot be used: a check of `data.prepare.schema`, and what was found."""

    def __init__(self, fault: str, detail: str):
        super().__init__(f"{fault}: {detail}")
        self.fault, self.detail = fault, detail

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # so that it comes from another process, too
        return type(self), (self.fault, self.detail)


def load_rgb(picture: Path | Slice | bytes) -> Image.Image:
    """The picture as RGB: turned as EXIF says, transparency over white, first frame of an animation.

    Args:
        picture: its file, the slice of a file that it is, or its bytes.

    Raises:
        Problem: damaged, no picture, or of a size or mode that nobody meant.
    """
    with opened(picture) as image:
        image.load()
        return to_rgb(image)


@contextmanager
def opened(picture: Path | Slice | bytes) -> Iterator[Image.Image]:
    """The picture as Pillow opens it, looked at but not decoded; what goes wrong in the body is a Problem.

    Raises:
        Problem: see `load_rgb`.
    """
    try:
        with Image.open(picture if isinstance(picture, Path) else io.BytesIO(content(picture))) as image:
            _check(image)
            yield image
    except UnidentifiedImageError:
        raise Problem("image-unreadable", "not a picture of a known format") from None
    except Image.DecompressionBombError as error:
        raise Problem("image-too-large", _words(error)) from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError) as error:
        raise Problem("image-unreadable", _words(error)) from None


def content(picture: Slice | bytes) -> bytes:
    """The bytes of a picture.

    Raises:
        OSError: there is no such file.
        Problem: nothing is in it.
    """
    data = picture.read() if isinstance(picture, Slice) else picture
    if not data:
        raise Problem("image-unreadable", "an empty file")
    return data


def _check(image: Image.Image) -> None:
    """Refuse by the header alone, before any pixel is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Problem("image-too-large", f"{width} x {height} pixels")
    if min(width, height) < MIN_SIDE:
        raise Problem("image-too-small", f"{width} x {height} pixels")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise Problem("image-aspect", f"{width} x {height} pixels")
    if image.format == "TIFF" and DNG_VERSION in image.tag_v2:
        raise Problem("image-mode", "a camera's raw file; export it as JPEG or PNG")
    if image.mode not in MODES:
        raise Problem("image-mode", f"mode {image.mode}")


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
