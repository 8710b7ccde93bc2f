"""The page: one HTML file that carries its pictures, charts and style, and loads nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from components.data.pictures import mosaic
from components.evaluation.degeneration import ADVICE
from components.evaluation.metrics import METRICS, TRUTH
from components.evaluation.table import best, digits, systems
from components.files import atomic_path
from components.report.charts import Bar, Line, interval_chart, line_chart
from components.report.content import Report, Variant
from components.report.pictures import data_uri, overlay

TEMPLATES = Path(__file__).parent
SHARES = {
    "unique": "different captions",
    "verbatim_reference": "word for word a reference",
    "verbatim_training": "word for word in training",
    "repeats": "with a repetition",
    "without_end": "without an end",
}
"""Monitors on the page: shares of captions."""


def write_report(report: Report, path: str | Path) -> None:
    """Write the page, whole or not at all."""
    with atomic_path(path) as fresh:
        fresh.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    results = {variant.name: variant.metrics for variant in report.variants}
    columns = systems(results)
    style = {variant.name: f"v{index % 5}" for index, variant in enumerate(report.variants)}
    shown = {*report.sample, *report.worst, *(maps.image_id for maps in report.looked)}
    return environment.get_template("page.html.j2").render(
        report=report,
        advice=ADVICE,
        style=style,
        css=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        systems=columns,
        tables=_tables(columns),
        label=lambda name: METRICS[name].label,
        said=_said,
        best={name: best(columns, name) for name in METRICS},
        digits=digits,
        headline=[_headline(variant) for variant in report.variants],
        monitors=SHARES,
        intervals=[
            (METRICS[name].label, chart)
            for name in ("entirely_right", "CIDEr", "BLEU-4")
            if (chart := _intervals(columns, style, name))
        ],
        curves=_curves(report.variants, style),
        uris={image_id: data_uri(mosaic(report.clips[image_id])) for image_id in shown},
        looked=[(maps, _glowing(report, maps)) for maps in report.looked],
        faults=_faults(report.faults),
    )


def _tables(columns: Sequence[Any]) -> list[tuple[str, list[str]]]:
    """(title, metrics) of the tables of scores; that of truth only where the data says what is true."""
    known = [name for name in METRICS if any(name in column.scores for column in columns)]
    parts = (
        ("Likeness to the references", [name for name in known if name not in TRUTH]),
        ("Truth", [name for name in known if name in TRUTH]),
    )
    return [(title, names) for title, names in parts if names]


def _said(variant: Variant, image_id: str) -> Markup:
    """A caption with its wrong words marked and, where one can tell, a tick or a cross before it."""
    caption, right = variant.captions[image_id], variant.right.get(image_id)
    wrong = set(variant.wrong_words.get(image_id, ()))
    parts = [
        Markup("<mark>{}</mark>").format(word) if place in wrong else escape(word)
        for place, word in enumerate(caption.split())
    ]
    signs = {True: Markup('<b class="right">✓</b> '), False: Markup('<b class="wrong">✗</b> ')}
    return signs.get(right, Markup()) + (Markup(" ").join(parts) or "(nothing)")


def _headline(variant: Variant) -> dict[str, Any]:
    """The numbers by which a variant is judged: CIDEr, and how many times that of the baselines it is."""
    scores = variant.metrics
    cider = scores["model"]["CIDEr"]
    times = {
        system: cider["mean"] / scores[system]["CIDEr"]["mean"]
        for system in ("nearest_neighbour", "blind")
        if system in scores and scores[system]["CIDEr"]["mean"] > 0
    }
    right = {"right": scores["model"]["entirely_right"]} if "entirely_right" in scores["model"] else {}
    return {
        "name": variant.name,
        "cider": cider,
        "times": times,
        "monitors": scores.get("monitors", {}),
    } | right


def _intervals(columns: Sequence[Any], style: dict[str, str], metric: str) -> Markup:
    bars = [
        Bar(
            column.name,
            **{key: column.scores[metric][key] for key in ("mean", "low", "high")},
            style=style.get(column.name, "base"),
        )
        for column in columns
        if metric in column.scores
    ]
    return interval_chart(bars, digits(metric) - 1)


def _curves(
    variants: Sequence[Variant], style: dict[str, str]
) -> list[tuple[str, str, Markup, list[tuple[str, str]]]]:
    """(title, note, chart, keys of its colours): loss, validation CIDEr, and for each variant with gates how
    they open.
    """
    losses = [_line(variant, "loss", style[variant.name]) for variant in variants]
    ciders = [_line(variant, "val/CIDEr", style[variant.name], dots=True) for variant in variants]
    charts = [
        ("Training loss", "per token", line_chart(losses, "epoch"), []),
        ("Validation CIDEr", "of decoded captions", line_chart(ciders, "epoch", zero=True), []),
    ]
    for variant in variants:
        gates = _gates(variant)
        blocks = sorted({(f"block {line.name.rpartition('.')[2]}", line.style) for line in gates})
        note = "|tanh α|: attention solid, feed-forward dashed"
        charts.append((f"Gates of {variant.name}", note, line_chart(gates, "epoch", zero=True), blocks))
    return [chart for chart in charts if chart[2]]


def _line(variant: Variant, key: str, style: str, dots: bool = False) -> Line:
    points = [(r["epoch"], r[key]) for r in variant.history if key in r and "epoch" in r]
    return Line(variant.name, [x for x, _ in points], [y for _, y in points], style, dots=dots)


def _gates(variant: Variant) -> list[Line]:
    """A curve a gate; its sign has no meaning, since the weights behind it can turn as well."""
    names = sorted({key for record in variant.history for key in record if key.startswith("gate/")})
    lines = []
    for name in names:
        points = [(r["epoch"], abs(r[name])) for r in variant.history if name in r and "epoch" in r]
        kind, _, block = name.removeprefix("gate/").rpartition(".")
        shade = f"g{int(block) % 6}" if block.isdigit() else "g0"
        x, y = [p[0] for p in points], [p[1] for p in points]
        lines.append(Line(name.removeprefix("gate/"), x, y, shade, dashed=kind == "feed_forward"))
    return lines


def _glowing(report: Report, maps: Any) -> list[tuple[str, str]]:
    """(word, data URI) for each word of a caption."""
    frames = report.clips[maps.image_id]
    return [
        (word, data_uri(mosaic(overlay(frames, row))))
        for word, row in zip(maps.words, maps.maps, strict=True)
    ]


def _faults(faults: Any) -> list[tuple[str, str]] | None:
    """(what, how often) from the data stage's record; None if there is no record."""
    if faults is None:
        return None
    counts = faults.get("faults", {})
    return [(str(name), str(count)) for name, count in counts.items() if count]
