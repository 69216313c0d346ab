from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from usage.report.pages import NOON, Page, a_month

from llmkit.usage.report.figures import DAY, HOUR, Slot, Totals
from llmkit.usage.report.markup import joined
from llmkit.usage.report.over_time import every, grouped, label, marks, over_time

MIDNIGHT = NOON - 12 * HOUR


def slots(count: int, step: int = DAY) -> list[Slot]:
    totals = Totals(calls=2, failed=1, cost=Decimal("0.5"), input_tokens=3, cached_tokens=5, output_tokens=1)
    return [Slot(start=MIDNIGHT + index * step, totals=totals) for index in range(count)]


def test_three_charts_and_a_table_have_the_figures_of_each_day() -> None:
    report = a_month()
    cards = [*over_time(report)]
    page = Page(joined(*(card for row in cards for card in row)))
    assert [len(row) for row in cards] == [1, 2]
    assert [each["id"] for each in page.all("h2")] == ["spend", "tokens", "calls"]
    assert page.values("slots") == {
        (slot.at, name): f"{getattr(slot.totals, name)}" if name != "cost" else f"{slot.totals.cost:f}"
        for slot in report.slots
        for name in ("cost", "calls", "failed", "input_tokens", "output_tokens")
    }


def test_a_tooltip_has_the_day_and_its_parts() -> None:
    report = replace(a_month(), slots=slots(2), step=DAY)
    text = Page(joined(*(card for row in over_time(report) for card in row))).text
    assert "21 Nov 2026: $0.5000" in text
    assert "21 Nov 2026: 2\nanswered: 1\nfailed: 1" in text
    assert "21 Nov 2026: 6\ninput from the provider's cache: 5\noutput: 1" in text


@pytest.mark.parametrize(("most", "mark"), [("0.8", "$0.20"), ("8", "$2"), ("0.0004", "$0.0001"), ("8000", "$2k")])
def test_the_axis_of_the_spend_has_dollars(most: str, mark: str) -> None:
    slot = Slot(start=MIDNIGHT, totals=Totals(cost=Decimal(most)))
    report = replace(a_month(), slots=[slot], step=DAY)
    assert mark in Page(joined(*next(over_time(report)))).text


def test_what_there_is_nothing_of_has_no_chart_and_no_legend() -> None:
    slot = Slot(start=MIDNIGHT, totals=Totals(calls=1, refused=1))
    page = Page(joined(*(card for row in over_time(replace(a_month(), slots=[slot])) for card in row)))
    assert "No spend in this period." in page.text
    assert "No tokens in this period." in page.text
    assert [each["class"] for each in page.all("svg")] == ["swatch", "columns"]
    assert "refused" in page.text
    assert "from a cache" not in page.text


def test_too_many_days_are_put_together() -> None:
    assert grouped(slots(93)) == slots(93)
    together = grouped(slots(365))
    assert len(together) == 92
    assert together[1].start == MIDNIGHT + 4 * DAY
    assert together[0].totals.cost == 2
    assert sum((slot.totals for slot in together), Totals()) == sum((slot.totals for slot in slots(365)), Totals())
    report = replace(a_month(), slots=slots(365), step=DAY)
    assert "The figures of each 4 days" in Page(joined(*next(over_time(report)))).text


def test_labels_say_the_day_and_the_hour_if_need_be() -> None:
    assert label(NOON, DAY) == "21 Nov 2026"
    assert label(NOON, HOUR) == "21 Nov 2026, 12:00"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (HOUR, "each hour"),
        (6 * HOUR, "each 6 hours"),
        (DAY, "each day"),
        (7 * DAY, "each 7 days"),
        (900, "each 900 seconds"),
    ],
)
def test_steps_have_names(step: int, said: str) -> None:
    assert every(step) == said


@pytest.mark.parametrize(
    ("count", "step", "below"),
    [
        (0, DAY, {}),
        (1, DAY, {0: "21 Nov"}),
        (3, DAY, {0: "21 Nov", 1: "22 Nov", 2: "23 Nov"}),
        (4, HOUR, {0: "21 Nov", 1: "01:00", 2: "02:00", 3: "03:00"}),
        (48, HOUR, {0: "21 Nov", 12: "12:00", 24: "22 Nov", 36: "12:00"}),
        (4, 100 * DAY, {0: "Nov '26", 1: "Mar '27", 2: "Jun '27", 3: "Sep '27"}),
        (30, 5 * HOUR, {0: "21 Nov", 10: "23 Nov", 20: "25 Nov", 29: "27 Nov"}),
    ],
)
def test_round_days_and_hours_stand_below_the_columns(count: int, step: int, below: dict[int, str]) -> None:
    assert marks([slot.start for slot in slots(count, step)], step) == below


def test_there_are_never_more_marks_than_a_phone_has_room_for() -> None:
    for step in (HOUR, 5 * HOUR, DAY, 4 * DAY):
        for count in range(1, 94):
            assert len(marks([slot.start for slot in slots(count, step)], step)) <= 6
