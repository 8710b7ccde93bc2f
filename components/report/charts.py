"""Small charts as inline SVG: no script, no font, no library; colours and dark mode come from the page's
style sheet.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from components.evaluation.bootstrap import Interval

WIDTH, HEIGHT = 390, 225
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 12, 36


@dataclass(frozen=True)
class Line:
    """A curve: `style` is a class of the style sheet (`v0`, `v1`, ...: the colour of a variant)."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Bar:
    """A score with its interval."""

    name: str
    score: Interval
    style: str


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that span [low, high], about `count` of them."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def line_chart(lines: Sequence[Line], x_label: str, zero: bool = False) -> Markup:
    """Curves over one axis; `zero` keeps 0 in the picture. Empty without a point."""
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return Markup("")
    ys = [y for line in lines for y in line.y if math.isfinite(y)] + ([0.0] if zero else [])
    xs = [x for line in lines for x in line.x]
    y_ticks, x_ticks = ticks(min(ys), max(ys)), ticks(min(0, *xs), max(xs), 6)
    x_ticks = [x for x in x_ticks if x <= max(xs) * 1.001]
    right = max(max(xs), x_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (right - x_ticks[0] or 1)
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = []
    for y in y_ticks:
        height = place(0, y)[1]
        parts.append(_grid(LEFT, height, WIDTH - RIGHT, height))
        parts.append(_text(LEFT - 8, height + 4, f"{y:g}", "end"))
    for x in x_ticks:
        parts.append(_text(place(x, y_ticks[0])[0], HEIGHT - BOTTOM + 17, f"{x:g}", "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 2, x_label, "middle"))
    for line in lines:
        parts += _curve(line, [place(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)])
    return _svg(parts, HEIGHT, ", ".join(line.name for line in lines))


def interval_chart(bars: Sequence[Bar], precision: int = 2) -> Markup:
    """A point with a whisker for each system, from 0 on, names on the left, numbers on the right."""
    if not bars:
        return Markup("")
    row, left, right = 27, 134, 40
    height = row * len(bars) + 26
    scale = ticks(0, max(bar.score.high for bar in bars))
    place = lambda value: left + value / scale[-1] * (WIDTH - left - right)  # noqa: E731
    parts = []
    for value in scale:
        parts.append(_grid(place(value), 4, place(value), height - 22))
        parts.append(_text(place(value), height - 6, f"{value:g}", "middle"))
    for index, bar in enumerate(bars):
        y = row * index + row / 2 + 2
        mean, low, high = map(place, bar.score)
        parts.append(_text(left - 10, y + 4, bar.name, "end", "name"))
        box = f'x="{left}" y="{y - 7:.1f}" width="{mean - left:.1f}" height="14" rx="2"'
        parts.append(f'<rect class="bar {bar.style}" {box}/>')
        whisker = f"M{low:.1f} {y}H{high:.1f}M{low:.1f} {y - 4}v8M{high:.1f} {y - 4}v8"
        parts.append(f'<path class="whisker" d="{whisker}"/>')
        parts.append(_text(WIDTH, y + 4, bar.score.text(precision)[0], "end", "name"))
    return _svg(parts, height, ", ".join(f"{bar.name} {bar.score.text(precision)[0]}" for bar in bars))


def _curve(line: Line, points: list[tuple[float, float]]) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    style = f"line {line.style}{' dashed' if line.dashed else ''}"
    parts = [f'<polyline class="{style}" points="{path}"><title>{escape(line.name)}</title></polyline>']
    if line.dots or len(points) == 1:
        parts += [f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
    return parts


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, style: str = "tick") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: list[str], height: float, label: str) -> Markup:
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
    return Markup(head + "".join(parts) + "</svg>")
