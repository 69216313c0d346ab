from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usage.report.pages import Page

import llmkit
from llmkit.usage.report import charts
from llmkit.usage.report.charts import Series, Shown, bar, columns, legend, sparkline, spread, ticks
from llmkit.usage.report.markup import Markup

SHEET = (Path(llmkit.__file__).parent / "usage/report/page.css").read_text()
SHOWN = Shown("{:g}".format, "{:.2f}".format)


def chart(series: Sequence[Series], labels: Sequence[str] = ("Mon", "Tue")) -> Markup:
    return columns("spend", title="Spend", about="Two days.", labels=labels, marks={0: "M"}, series=series, shown=SHOWN)


@pytest.mark.parametrize(
    ("most", "values"),
    [
        (0, [0, 1]),
        (math.nan, [0, 1]),
        (math.inf, [0, 1]),
        (10, [0, 2, 4, 6, 8, 10]),
        (1_020, [0, 250, 500, 750, 1_000, 1_250]),
        (0.03, [0, 0.01, 0.02, 0.03]),
    ],
)
def test_ticks_are_round(most: float, values: list[float]) -> None:
    assert ticks(most) == pytest.approx(values)


def test_what_is_counted_has_whole_ticks() -> None:
    assert ticks(2, whole=True) == [0, 1, 2]
    assert ticks(10, whole=True) == [0, 2, 4, 6, 8, 10]
    assert ticks(12, whole=True) == [0, 3, 6, 9, 12]


@given(st.floats(min_value=1e-9, max_value=1e15))
def test_ticks_reach_what_is_shown_and_are_few(most: float) -> None:
    values = ticks(most)
    assert values[0] == 0
    assert values[-1] >= most * 0.999_999
    assert 2 <= len(values) <= 7


def test_a_column_is_as_high_as_its_value() -> None:
    page = Page(chart([Series("a", [5, 10])]))
    assert [each for each in page.all("rect") if each["class"] == "s0"] == [
        {"x": "4.500%", "width": "41.000%", "y": "104.00", "height": "96.00", "class": "s0"},
        {"x": "54.500%", "width": "41.000%", "y": "8.00", "height": "192.00", "class": "s0"},
    ]


def test_series_stand_on_each_other_and_nothing_is_drawn_for_nothing() -> None:
    page = Page(chart([Series("a", [5, 0]), Series("b", [5, 10], color=1)]))
    drawn = [(each["class"], each["y"], each["height"]) for each in page.all("rect") if each["class"] != "place"]
    assert drawn == [("s0", "104.00", "96.00"), ("s1", "8.00", "96.00"), ("s1", "8.00", "192.00")]


def test_a_chart_says_what_it_shows() -> None:
    made = chart([Series("a", [1, 2]), Series("b", [0, 3])])
    page = Page(made)
    assert page.all("svg")[0]["role"] == "img"
    assert page.all("svg")[0]["aria-labelledby"] == "spend-title"
    assert page.all("svg")[0]["aria-describedby"] == "spend-about"
    assert re.findall("<title[^>]*>([^<]*)", made) == ["Spend", "Mon: 1.00\na: 1.00", "Tue: 5.00\na: 2.00\nb: 3.00"]
    assert re.findall("<desc[^>]*>([^<]*)", made) == ["Two days."]
    assert re.findall("<text[^>]*>([^<]*)", made) == ["0", "1", "2", "3", "4", "5", "M"]


def test_the_tooltip_of_one_series_does_not_repeat_itself() -> None:
    assert "<title>Mon: 1.00</title>" in chart([Series("a", [1, 2])])


def test_crowded_columns_have_no_gaps() -> None:
    page = Page(chart([Series("a", [1] * 100)], labels=[""] * 100))
    assert [each["width"] for each in page.all("rect") if each["class"] == "s0"] == ["1.000%"] * 100


@pytest.mark.parametrize("series", [[], [Series("a", [])], [Series("a", [0, 0])]])
def test_a_chart_of_nothing_has_its_axes(series: list[Series]) -> None:
    labels = ["Mon"] * len(series[0].values) if series else []
    page = Page(chart(series, labels=labels))
    assert [each["class"] for each in page.all("line")] == ["base", "level"]


def test_a_hostile_name_stays_text() -> None:
    name = "</title><script>alert(1)</script>\u202e" + "x" * 10_000
    page = Page(chart([Series(name, [1, 2]), Series("b", [1, 1])]) + legend([Series(name, [])]))
    assert page.all("script") == []
    assert name.replace("\u202e", r"\u202e") in page.text


@pytest.mark.parametrize(("fraction", "width"), [(0.5, "50.000%"), (2, "100.000%"), (-1, "0.000%")])
def test_a_bar_stays_in_its_place(fraction: float, width: str) -> None:
    page = Page(bar(fraction, color=2))
    assert page.all("rect")[0]["width"] == width
    assert page.all("rect")[0]["class"] == "s2"
    assert page.all("svg")[0]["aria-hidden"] == "true"


def test_percentiles_lie_where_they_belong() -> None:
    page = Page(spread(1, 2, 4, most=8, title="half within 1 s"))
    assert [each["cx"] for each in page.all("circle")] == ["25.000%", "12.500%"]
    assert [(each["x1"], each["x2"]) for each in page.all("line")] == [
        ("0%", "100%"),
        ("12.500%", "50.000%"),
        ("50.000%", "50.000%"),
    ]
    assert page.all("svg")[0]["aria-label"] == "half within 1 s"


def test_percentiles_of_no_time_at_all() -> None:
    assert [each["cx"] for each in Page(spread(0, 0, 0, most=0, title="")).all("circle")] == ["0.000%", "0.000%"]


def test_a_sparkline_has_the_shape_of_its_values() -> None:
    page = Page(sparkline([0, 2, 1], title="Calls"))
    assert page.all("path")[1]["d"] == "M0.00,26.00L50.00,2.00L100.00,14.00"
    assert page.all("svg")[0]["aria-label"] == "Calls"


def test_a_sparkline_of_nothing_is_flat() -> None:
    assert Page(sparkline([0, 0], title="")).all("path")[1]["d"] == "M0.00,26.00L100.00,26.00"


@pytest.mark.parametrize("values", [[], [1]])
def test_there_is_no_line_through_less_than_two_values(values: list[float]) -> None:
    assert sparkline(values, title="") == ""


def palette(dark: bool) -> dict[str, str]:
    """The colours of a mode, as the style sheet gives them."""
    blocks = re.findall(r":root \{(.*?)\}", SHEET, re.DOTALL)
    found = re.findall(r"--(\w+): #(\w+)", blocks[1 if dark else 0])
    return {name: code if len(code) == 6 else "".join(2 * digit for digit in code) for name, code in found}


def linear(code: str) -> list[float]:
    parts = [int(code[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(one: str, other: str) -> float:
    """WCAG's ratio."""
    weights = (0.2126, 0.7152, 0.0722)
    bright = sorted(sum(w * c for w, c in zip(weights, linear(code), strict=True)) for code in (one, other))
    return (bright[1] + 0.05) / (bright[0] + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_texts_and_colours_stand_out_from_what_is_behind_them(dark: bool) -> None:
    colors = palette(dark)
    for behind in ("page", "card"):
        assert contrast(colors["text"], colors[behind]) >= 7
        assert contrast(colors["quiet"], colors[behind]) >= 4.5
    assert contrast(colors["alarm"], colors["card"]) >= 4.5
    for number in range(charts.COLORS):
        assert contrast(colors[f"s{number}"], colors["card"]) >= 3


SEEN = {  # Machado, Oliveira and Fernandes (2009), severity 1
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


def lab(light: list[float]) -> list[float]:
    """Linear sRGB as CIE L*a*b*, in which distances are what people see."""
    rows = ((0.4124, 0.3576, 0.1805, 0.9505), (0.2126, 0.7152, 0.0722, 1.0), (0.0193, 0.1192, 0.9505, 1.089))
    scaled = [max(0.0, sum(w * c for w, c in zip(row, light, strict=False))) / row[3] for row in rows]
    x, y, z = (each ** (1 / 3) if each > 0.008856 else 7.787 * each + 16 / 116 for each in scaled)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", SEEN)
def test_who_does_not_see_red_or_green_tells_the_series_of_a_chart_apart(kind: str, dark: bool) -> None:
    colors = palette(dark)
    seen = {}
    for name in ("s0", "s1", "s2", "s3", "s4"):
        light = linear(colors[name])
        seen[name] = lab([sum(w * c for w, c in zip(row, light, strict=True)) for row in SEEN[kind]])
    for one, other in combinations(seen, 2):
        assert math.dist(seen[one], seen[other]) > 15, (one, other)
