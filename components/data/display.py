"""Pictures to look at: a clip as one picture, sheets of pictures with captions, pictures inside a page."""

import base64
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from components.data.fonts import NO_FONT, font_for

CELL, GAP, LINE = 220, 12, 17
INK, FAINT = "#1a1a1a", "#777777"
PNG_LIMIT = 80  # bytes a pixel of the longest side


def mosaic(frames: Sequence[Image.Image]) -> Image.Image:
    """A clip as one picture to look at: up to four of its frames, evenly chosen, in rows of two, all as large
    as the first. A single frame comes back as it is.
    """
    count = min(len(frames), 4)
    chosen = [frames[int((i + 0.5) * len(frames) / count)] for i in range(count)]
    if count == 1:
        return chosen[0]
    width, height = chosen[0].size
    tiles = Image.new("RGB", (2 * width, -(-count // 2) * height))
    for number, frame in enumerate(chosen):
        tiles.paste(frame.resize((width, height)), (number % 2 * width, number // 2 * height))
    return tiles


def caption_sheet(
    clips: Sequence[Sequence[Image.Image]],
    captions: Sequence[str | Sequence[str]],
    references: Sequence[str] = (),
    columns: int = 4,
    lines: int = 2,
) -> Image.Image:
    """One cell a clip, given by its frames (a picture is one frame): what `mosaic` shows of it, its caption
    (or several) in black and, if given, a reference in grey, `lines` at most each.
    """
    everything = [said if isinstance(said, str) else " ".join(said) for said in captions]
    fitting = font_for(" ".join([*everything, *references]), size=14)
    font = fitting or ImageFont.load_default(size=14)
    cells = []
    for index, said in enumerate(captions):
        texts = [(text, INK) for text in ([said] if isinstance(said, str) else said)]
        texts += [(text, FAINT) for text in references[index : index + 1]]
        texts = [(text if fitting or text.isascii() else NO_FONT, ink) for text, ink in texts]
        cells.append([(line, ink) for text, ink in texts for line in _wrap(text, font, lines)])
    columns = max(1, min(columns, len(clips)))
    width, height = CELL + GAP, CELL + LINE * max(map(len, cells), default=0) + 2 * GAP
    rows = -(-len(clips) // columns)
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (frames, written) in enumerate(zip(clips, cells, strict=True)):
        x, y = GAP + index % columns * width, GAP + index // columns * height
        sheet.paste(_fit(mosaic(frames)), (x, y))
        for number, (line, ink) in enumerate(written):
            pen.text((x, y + CELL + 4 + number * LINE), line, ink, font)
    return sheet


def data_uri(image: Image.Image, longest: int = 256) -> str:
    """The picture as a `data:` URI, shrunk to `longest`: small ones (drawings) as PNG, others as JPEG."""
    image = shrunk(image.convert("RGB"), longest)
    kind, content = "png", _encode(image, "png", optimize=True)
    if len(content) > PNG_LIMIT * longest:
        kind, content = "jpeg", _encode(image, "jpeg", quality=90, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def shrunk(image: Image.Image, longest: int) -> Image.Image:
    """A copy whose longest side is `longest` at most."""
    copy = image.copy()
    copy.thumbnail((longest, longest))
    return copy


def _encode(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _fit(image: Image.Image) -> Image.Image:
    """The whole picture in a square cell; small ones enlarged by whole factors, so that each pixel shows."""
    image, factor = image.convert("RGB"), CELL // max(image.size)
    if factor > 1:
        image = ImageOps.scale(image, factor, Image.Resampling.NEAREST)
    cell = Image.new("RGB", (CELL, CELL), "#f0f0f0")
    image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    cell.paste(image, ((CELL - image.width) // 2, (CELL - image.height) // 2))
    return cell


def _wrap(text: str, font: ImageFont.FreeTypeFont, most: int) -> list[str]:
    """`text` in lines as wide as a cell, at most so many; what has no spaces is cut where a line is full."""
    lines = [""]
    for word in text.split():
        while font.getlength(word) > CELL:
            fits = max(n for n in range(1, len(word)) if n == 1 or font.getlength(word[:n]) <= CELL)
            lines.append(word[:fits])
            word = word[fits:]
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > CELL:
            lines.append(word)
        else:
            lines[-1] = longer
    lines = [line for line in lines if line] or [""]
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1]} ..."]
