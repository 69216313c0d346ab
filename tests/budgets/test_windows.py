from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.budgets.windows import Span, checked_name, scope, window


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("span", "now", "label", "ends"),
    [
        ("minute", "2026-11-21T17:30:59.999", "2026-11-21T17:30", "2026-11-21T17:31"),
        ("minute", "2026-12-31T23:59:00", "2026-12-31T23:59", "2027-01-01"),
        ("daily", "2026-11-21T00:00:00", "2026-11-21", "2026-11-22"),
        ("daily", "2028-02-28T23:59:59.9", "2028-02-28", "2028-02-29"),
        ("monthly", "2026-12-01T00:00:00", "2026-12", "2027-01-01"),
        ("monthly", "2026-01-31T12:00:00", "2026-01", "2026-02-01"),
        ("monthly", "2028-02-29T12:00:00", "2028-02", "2028-03-01"),
    ],
)
def test_a_window_is_one_of_the_calendar_in_utc(span: Span, now: str, label: str, ends: str) -> None:
    assert window(span, at(now)) == (label, at(ends))


@given(st.sampled_from(["minute", "daily", "monthly"]), st.floats(0, 4_000_000_000))
def test_each_moment_is_in_a_window_that_ends_after_it_and_the_next_one_begins_there(span: Span, now: float) -> None:
    label, ends = window(span, now)
    assert now < ends
    assert window(span, max(now, ends - 0.5)).label == label
    assert window(span, ends).label > label


def test_a_budget_is_called_after_its_tags() -> None:
    assert checked_name(None, ()) == "all"
    assert checked_name(None, ("feature", "user")) == "feature+user"
    assert checked_name("team-a", ("user",)) == "team-a"


@pytest.mark.parametrize("name", ["", "a:b", "a{b}", "a b", "a\n"])
def test_a_name_that_would_not_fit_into_a_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be letters"):
        checked_name(name, ())


def test_a_scope_has_the_values_of_the_tags() -> None:
    assert scope("feature+user", {"user": "alice"}) == "feature+user:user=alice"
    assert scope("user", {}) == "user:"
    assert scope("user", {"user": ""}) == "user:user="


@given(st.dictionaries(st.text(min_size=1), st.text()), st.dictionaries(st.text(min_size=1), st.text()))
def test_scopes_are_plain_text_and_differ_as_their_tags_do(one: dict[str, str], other: dict[str, str]) -> None:
    assert (scope("n", one) == scope("n", other)) == (list(one.items()) == list(other.items()))
    assert scope("n", one).isascii()
    assert not set(scope("n", one)) & set("{}\n ")


def test_half_a_surrogate_pair_is_a_value_as_any_other() -> None:
    assert scope("user", {"user": "\ud83d"}) == "user:user=%ED%A0%BD"
