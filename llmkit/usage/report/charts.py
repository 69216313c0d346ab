"""Charts as inline SVG: as wide as their place, their texts as large at any width. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from llmkit.usage.report.markup import Markup, element, joined

COLORS: Final = 6
"""There are so many, the last one for what has no name."""

_TOP, _BASE, _HEIGHT = 8, 200, 226
_CROWDED: Final = 70
"""Columns that would have less than three pixels each on a phone."""


class Shown(NamedTuple):
    """How a chart writes its values."""

    axis: Callable[[float], str]
    tooltip: Callable[[float], str]
    whole: bool = False
    """There is nothing between 1 and 2."""


class Series(NamedTuple):
    """A name and its value in each column."""

    name: str
    values: Sequence[float]
    color: int = 0
    """Below `COLORS`."""


def ticks(most: float, *, about: int = 5, whole: bool = False) -> list[float]:
    """Round values from 0 to at least `most`, about so many steps apart, or whole ones."""
    if not 0 < most < math.inf:
        return [0.0, 1.0]
    rough = most / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    step = math.ceil(step) if whole else step
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def columns(
    name: str,
    *,
    title: str,
    about: str,
    labels: Sequence[str],
    marks: Mapping[int, str],
    series: Sequence[Series],
    shown: Shown,
) -> Markup:
    """A column for each label, the series stacked in it; its tooltip has the label and the figures.

    `marks` are the texts below some of the columns, by their index; `name` begins the ids.
    """
    most = max((sum(values) for values in zip(*(of.values for of in series), strict=True)), default=0)
    scale = ticks(most, whole=shown.whole)
    width = 100 / max(1, len(labels))
    stacks = (
        _stack(index * width, width, [(of.values[index], of.color) for of in series], scale[-1], tooltip)
        for index, tooltip in enumerate(_tooltips(labels, series, shown))
    )
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", about, id=f"{name}-about"),
        *(_level(value, scale[-1], shown.axis(value)) for value in scale),
        *stacks,
        *_marks(marks, width),
        class_="columns",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-about",
        height=_HEIGHT,
    )


def legend(series: Iterable[Series]) -> Markup:
    """The colours of the series and their names."""
    keys = (
        element("li", _strip("swatch", _rect(0, 100, 0, 10, of.color), height=10), element("bdi", of.name))
        for of in series
    )
    return element("ul", *keys, class_="legend")


def bar(fraction: float, *, color: int = 0) -> Markup:
    """A horizontal bar, `fraction` of its place long; decoration beside the figure it shows."""
    return _strip("bar", _rect(0, max(0.0, min(1.0, fraction)) * 100, 0, 6, color), height=6)


def spread(low: float, middle: float, high: float, *, most: float, title: str) -> Markup:
    """A dot at `low`, a ring at `middle`, a stroke at `high`, on a line from 0 to `most`."""
    a, b, c = (_percent(value, most) for value in (low, middle, high))
    return _strip(
        "spread",
        element("title", title),
        element("line", x1="0%", x2="100%", y1=8, y2=8, class_="rail"),
        element("line", x1=a, x2=c, y1=8, y2=8, class_="reach"),
        element("line", x1=c, x2=c, y1=2, y2=14, class_="end"),
        element("circle", cx=b, cy=8, r=4, class_="ring"),
        element("circle", cx=a, cy=8, r=4.5, class_="dot"),
        height=16,
        title=title,
    )


def sparkline(values: Sequence[float], *, title: str) -> Markup:
    """The shape of a series, without figures; nothing for less than two values."""
    if len(values) < 2:
        return Markup("")
    most, step = max(values) or 1.0, 100 / (len(values) - 1)
    points = [f"{index * step:.2f},{26 - 24 * value / most:.2f}" for index, value in enumerate(values)]
    return element(
        "svg",
        element("title", title),
        element("path", d=f"M0,28L{'L'.join(points)}L100,28Z", class_="under"),
        element("path", d=f"M{'L'.join(points)}", class_="line"),
        class_="spark",
        role="img",
        aria_label=title,
        viewBox="0 0 100 28",
        preserveAspectRatio="none",
        height=28,
    )


def _tooltips(labels: Sequence[str], series: Sequence[Series], shown: Shown) -> Iterator[str]:
    for index, label in enumerate(labels):
        values = [(of.name, of.values[index]) for of in series]
        total = f"{label}: {shown.tooltip(sum(value for _, value in values))}"
        parts = [f"{name}: {shown.tooltip(value)}" for name, value in values if value > 0]
        yield "\n".join([total, *parts] if len(series) > 1 else [total])


def _stack(x: float, width: float, parts: Sequence[tuple[float, int]], most: float, tooltip: str) -> Markup:
    gap = 0 if width < 100 / _CROWDED else width * 0.18
    tops = pairwise([0.0, *accumulate(value for value, _ in parts)])
    rects = (
        _rect(x + gap / 2, width - gap, _y(top, most), _y(below, most) - _y(top, most), color)
        for (below, top), (_, color) in zip(tops, parts, strict=True)
        if top > below
    )
    place = element("rect", x=f"{x:.3f}%", width=f"{width:.3f}%", y=_TOP, height=_BASE - _TOP, class_="place")
    return element("g", element("title", tooltip), place, *rects)


def _level(value: float, most: float, label: str) -> Markup:
    y = f"{_y(value, most):.1f}"
    line = element("line", x1="0%", x2="100%", y1=y, y2=y, class_="level" if value else "base")
    return joined(line, element("text", label, x=-8, y=y, dy="0.32em", text_anchor="end"))


def _marks(marks: Mapping[int, str], width: float) -> Iterator[Markup]:
    for index, mark in marks.items():
        yield element("text", mark, x=f"{(index + 0.5) * width:.3f}%", y=_HEIGHT - 8, text_anchor="middle")


def _strip(kind: str, *inside: Markup, height: int, title: str | None = None) -> Markup:
    seen = {"role": "img", "aria_label": title} if title else {"aria_hidden": "true"}
    return element("svg", *inside, class_=kind, height=height, **seen)


def _rect(x: float, width: float, y: float, height: float, color: int) -> Markup:
    return element(
        "rect",
        x=f"{x:.3f}%",
        width=f"{width:.3f}%",
        y=f"{y:.2f}",
        height=f"{height:.2f}",
        class_=f"s{color}",
    )


def _y(value: float, most: float) -> float:
    return _BASE - (_BASE - _TOP) * value / most


def _percent(value: float, most: float) -> str:
    return f"{100 * value / most if most else 0:.3f}%"
