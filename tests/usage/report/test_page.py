from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usage.report import ledgers
from usage.report.pages import NOON, Page, a_month, nothing, reported

from llmkit.usage.report.figures import Filter, Report
from llmkit.usage.report.page import page

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    "</title></style></script><b>",
    "\u202egnp.exe \u2066",
    "\N{FIRE}\N{ZERO WIDTH JOINER}" * 40,
    "x" * 10_000,
    "\x00\x1b[2J\x85",
    "",
]


def policy(html: str) -> dict[str, str]:
    metas = Page(html).all("meta")
    content = next(each["content"] for each in metas if each.get("http-equiv") == "Content-Security-Policy")
    return dict(rule.split(" ", 1) for rule in str(content).split("; "))


def hash_of(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


def inside(html: str, tag: str) -> str:
    found = re.search(f"<{tag}[^>]*>(.*)</{tag}>", html, re.DOTALL)
    assert found is not None
    return found[1]


def test_a_page_has_every_part_of_the_report_and_says_when_it_was_made() -> None:
    html = page(a_month(), made_at=NOON)
    parts = dict.fromkeys(str(attrs["data-of"]) for _, attrs in Page(html).elements if "data-of" in attrs)
    assert [*parts] == [
        "totals", "slots", "by_model", "by_tag.feature", "by_tag.user", "by_operation", "by_key",
        "latency", "first_token", "cache", "effort", "accuracy", "errors", "refusals", "top",
    ]  # fmt: skip
    assert html.startswith("<!doctype html>\n<html")
    assert "22 Oct 2026 \N{EN DASH} 21 Nov 2026, UTC" in Page(html).text
    assert "made 21 Nov 2026, 12:00 UTC" in Page(html).text


def test_a_page_says_whose_it_is() -> None:
    html = page(a_month(), made_at=NOON, name="usage.db")
    assert "<title>LLM usage of usage.db, 21 Nov 2026</title>" in html
    assert "LLM usageusage.db22 Oct 2026" in Page(html).text


def test_a_short_period_has_its_hours() -> None:
    report = replace(a_month(), since=NOON - 3_600, until=NOON)
    assert "21 Nov 2026, 11:00 \N{EN DASH} 21 Nov 2026, 12:00, UTC" in page(report, made_at=NOON)


def test_no_two_elements_have_the_same_id() -> None:
    ids = [attrs["id"] for _, attrs in Page(page(a_month(), made_at=NOON, refresh=5)).elements if "id" in attrs]
    assert len(ids) == len(set(ids)) > 10


def test_a_page_asks_nobody_for_anything() -> None:
    html = page(a_month(), made_at=NOON)
    rules = policy(html)
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == hash_of(inside(html, "style"))
    assert "script-src" not in rules
    assert "connect-src" not in rules
    for _, attrs in Page(html).elements:
        assert not {"src", "srcset", "style", "onload", "onclick", "action", "xlink:href"} & set(attrs)
    assert [str(each["href"])[:14] for each in Page(html).all("link")] == ["data:image/svg"]
    assert Page(html).all("a") == Page(html).all("script") == []
    assert "url(" not in inside(html, "style")
    assert "@import" not in inside(html, "style")


def test_a_page_that_refreshes_may_run_its_own_script_and_ask_its_own_server() -> None:
    html = page(a_month(), made_at=NOON, refresh=5)
    assert policy(html)["script-src"] == hash_of(inside(html, "script"))
    assert policy(html)["connect-src"] == "'self'"
    assert Page(html).all("script") == [{"data-every": "5", "type": "module"}]
    assert {"http-equiv": "refresh", "content": "5"} in Page(html).all("meta")
    assert "anew every 5 s" in html


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str, tmp_path: Path) -> None:
    records = [*ledgers.month(calls=30, until=NOON)]
    for record in records:
        record.model = record.operation = record.key = record.request_id = name
        record.tags = {name: name, "user": name}
        if record.error:
            record.error = record.error_code = name
    ledgers.write(tmp_path / "usage.db", records)
    wanted = Filter(model=name, operation=name, tags={name: name})
    html = page(reported(tmp_path / "usage.db", wanted), made_at=NOON)
    clean = page(a_month(), made_at=NOON)
    assert {tag for tag, _ in Page(html).elements} <= {tag for tag, _ in Page(clean).elements}
    known = {key for _, attrs in Page(clean).elements for key in attrs} | {"title"}
    assert {key for _, attrs in Page(html).elements for key in attrs} <= known
    assert html.encode()
    assert max(map(len, re.findall(r">([^<]*)<", inside(html, "body")))) < 400


@given(st.text(max_size=50))
def test_any_filter_is_shown_as_text(value: str) -> None:
    report = replace(nothing(), filter=Filter(tags={"user": value}))
    assert [tag for tag, _ in Page(page(report, made_at=NOON)).elements].count("bdi") == 1


def test_what_was_picked_is_said() -> None:
    report = replace(a_month(), filter=Filter(model="gpt-4o", outcome="failed", tags={"user": "alice"}))
    assert "model gpt-4ooutcome faileduser alice" in Page(page(report, made_at=NOON)).text


@pytest.mark.parametrize(
    ("wanted", "said"),
    [(Filter(), "add a ledger to your client"), (Filter(model="gpt-5"), "None fits what was asked for")],
)
def test_a_page_of_nothing_says_what_to_do(wanted: Filter, said: str) -> None:
    report: Report = replace(nothing(), filter=wanted)
    html = page(report, made_at=NOON, refresh=5)
    assert said in Page(html).text
    assert Page(html).figures == []
    assert "1970" not in html
