"""A sheet of pictures with a model's captions under them."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from components.data.pictures import mosaic

CELL, GAP, LINE = 220, 12, 17
INK, FAINT, PAPER = "#1a1a1a", "#777777", "white"


def caption_grid(
    clips: Sequence[Sequence[Image.Image]],
    captions: Sequence[str | Sequence[str]],
    references: Sequence[str] = (),
    columns: int = 4,
    lines: int = 2,
) -> Image.Image:
    """One cell a clip, given by its frames (a picture is one frame): what `mosaic` shows of it, its caption
    (or several, one a model) in black and, if given, a reference in grey, `lines` at most each.
    """
    font = ImageFont.load_default(size=14)
    black = [[several] if isinstance(several, str) else list(several) for several in captions]
    texts = max((len(several) for several in black), default=1) + bool(references)
    text_height = (LINE * lines + 2) * texts + GAP
    columns = max(1, min(columns, len(clips)))
    rows = -(-len(clips) // columns)
    sheet = Image.new("RGB", (columns * (CELL + GAP) + GAP, rows * (CELL + text_height + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (frames, several) in enumerate(zip(clips, black, strict=True)):
        x = GAP + index % columns * (CELL + GAP)
        y = GAP + index // columns * (CELL + text_height + GAP)
        sheet.paste(_fit(mosaic(frames)), (x, y))
        y += CELL + 2
        for caption in several:
            y = _write(draw, font, caption, x, y + 2, INK, lines)
        if references:
            _write(draw, font, references[index], x, y + 2, FAINT, lines)
    return sheet


def _fit(image: "Image") -> Image.Image:
    """The whole picture in a square cell; small ones enlarged without blurring their pixels."""
    method = Image.Resampling.NEAREST if max(image.size) < CELL else Image.Resampling.LANCZOS
    return ImageOps.pad(image.convert("RGB"), (CELL, CELL), method=method, color="#f0f0f0")


def _write(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, text: str, x: int, y: int, ink: str, most: int
) -> int:
    """Write `text` wrapped to the cell; return where the next line would begin."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and draw.textlength(longer, font) > CELL:
            lines.append(line)
            line = word
        else:
            line = longer
    lines.append(line)
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} ..."]
    for line in lines:
        draw.text((x, y), line, ink, font)
        y += LINE
    return y
