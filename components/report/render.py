"""The page: one HTML file that carries its pictures, charts and style, and loads nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from components.data.display import data_uri, mosaic
from components.evaluation.results import (
    MODEL,
    MONITORS,
    System,
    best,
    digits,
    scored_how,
    scores,
    shown,
    systems,
)
from components.evaluation.scoring.degeneration import ADVICE
from components.evaluation.scoring.metrics import METRICS, TRUTH
from components.files import atomic_path
from components.report.charts import Bar, Line, interval_chart, line_chart
from components.report.content import Report, Variant
from components.report.looking import overlay

TEMPLATES = Path(__file__).parent


def write_page(report: Report, path: str | Path) -> None:
    """Write the page, whole or not at all."""
    with atomic_path(path) as fresh:
        fresh.write_text(render(report), encoding="utf-8")


def template(name: str) -> Template:
    """One beside this file; what it is given is text, unless it is `Markup`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def render(report: Report) -> str:
    """The page as text."""
    columns = systems({variant.name: variant.metrics for variant in report.variants})
    style = {variant.name: f"v{index % 5}" for index, variant in enumerate(report.variants)}
    pictured = {*report.sample, *report.worst, *(maps.image_id for maps in report.looked)}
    return template("page.html.j2").render(
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
        how=dict.fromkeys(scored_how(variant.metrics) for variant in report.variants),
        headline=[_headline(variant) for variant in report.variants],
        monitors={key: name for key, (_, name) in MONITORS.items()},
        intervals=[
            (METRICS[name].label, chart)
            for name in ("entirely_right", "CIDEr", "BLEU-4")
            if (chart := _intervals(columns, style, name))
        ],
        curves=_curves(report.variants, style),
        uris={image_id: data_uri(mosaic(report.clips[image_id])) for image_id in pictured},
        looked=[(maps, _glowing(report, maps)) for maps in report.looked],
        faults=report.faults and {what: n for what, n in report.faults.get("faults", {}).items() if n},
    )


def _tables(columns: Sequence[System]) -> list[tuple[str, list[str]]]:
    """(title, metrics) of the tables of scores; that of truth only where the data says what is true."""
    parts: dict[str, list[str]] = {}
    for name in shown(columns):
        parts.setdefault("Truth" if name in TRUTH else "Likeness to the references", []).append(name)
    return list(parts.items())


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
    """The numbers by which a variant is judged: CIDEr, how many times that of the baselines it is, and the
    share of captions that are entirely right, in per cent.
    """
    metrics, own = variant.metrics, scores(variant.metrics, MODEL)
    others = {name: scores(metrics, name)["CIDEr"].mean for name in metrics["systems"]}
    times = {name: own["CIDEr"].mean / cider for name, cider in others.items() if cider > 0}
    return {
        "name": variant.name,
        "cider": own["CIDEr"].text(2),
        "times": times,
        "right": [own["entirely_right"].per_cent()] if "entirely_right" in own else [],
        "monitors": metrics.get("monitors", {}),
    }


def _intervals(columns: Sequence[System], style: dict[str, str], metric: str) -> Markup:
    bars = [
        Bar(column.name, column.scores[metric], style.get(column.name, "base"))
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
    losses = [_line(v, "loss", v.name, style[v.name]) for v in variants]
    ciders = [_line(v, "val/CIDEr", v.name, style[v.name], dots=True) for v in variants]
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


def _gates(variant: Variant) -> list[Line]:
    """A curve a gate."""
    lines = []
    for key in sorted({key for record in variant.history for key in record if key.startswith("gate/")}):
        name = key.removeprefix("gate/")
        kind, _, block = name.rpartition(".")
        shade = f"g{int(block) % 6}" if block.isdigit() else "g0"
        lines.append(_line(variant, key, name, shade, dashed=kind == "feed_forward"))
    return lines


def _line(variant: Variant, key: str, name: str, style: str, **drawn: bool) -> Line:
    """A curve of absolute values: a gate's sign has no meaning, since the weights behind it can turn as well;
    losses and scores have none.
    """
    points = [(r["epoch"], abs(r[key])) for r in variant.history if key in r and "epoch" in r]
    return Line(name, [x for x, _ in points], [y for _, y in points], style, **drawn)


def _glowing(report: Report, maps: Any) -> list[tuple[str, str]]:
    """(word, data URI) for each word of a caption."""
    uris = [data_uri(mosaic(overlay(report.clips[maps.image_id], row))) for row in maps.maps]
    return list(zip(maps.words, uris, strict=True))
