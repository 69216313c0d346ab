from __future__ import annotations

import os
import re
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from devtools import CHROMIUM, Tab, browser_tab
from usage.report import ledgers
from usage.report.by_sql import figures_by_sql
from usage.report.pages import NOON, nothing, reported

from llmkit.usage.report.page import page
from llmkit.usage.report.page_file import write_page
from llmkit.usage.report.serve import PageServer

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

FIGURES = """[...document.querySelectorAll("data[data-figure]")].map(each => [
    each.closest("[data-of]").dataset.of, each.closest("[data-name]")?.dataset.name ?? "", each.dataset.figure,
    each.value, each.textContent])"""
WIDER = """[...document.querySelectorAll("body *")].filter(each => {
    const { left, right, width } = each.getBoundingClientRect(), edge = document.documentElement.clientWidth + 0.5;
    return width && (left < 0 || right > edge) && !each.closest("table:not(.listed)");
}).map(each => each.outerHTML.slice(0, 200))"""
CUT = """[...document.querySelectorAll("h1, h2, p, li, th, td, dt, dd, small, .wide")].filter(each =>
    each.scrollWidth > each.clientWidth + 1 && each.clientWidth && getComputedStyle(each).display !== "inline"
).map(each => each.outerHTML.slice(0, 200))"""
OVERLAPPING = """[...document.querySelectorAll("svg.columns")].flatMap(chart => {
    const boxes = [...chart.querySelectorAll("text")].map(each => each.getBoundingClientRect());
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom - 2 && b.top < a.bottom - 2;
    return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => meet(a, b)).map(() => chart.textContent));
})"""
PALE = """(() => {
    const parts = color => color.match(/[\\d.]+/g).map(Number);
    const light = color => parts(color).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = each => {
        while (each && (parts(getComputedStyle(each).backgroundColor)[3] ?? 1) === 0) each = each.parentElement;
        return getComputedStyle(each ?? document.documentElement).backgroundColor;
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), pale = [];
    while (walker.nextNode()) {
        const each = walker.currentNode.parentElement, style = getComputedStyle(each);
        if (!walker.currentNode.data.trim() || ["title", "desc"].includes(each.tagName)) continue;
        const color = each instanceof SVGElement ? style.fill : style.color;
        const [low, high] = [light(color), light(behind(each))].sort((a, b) => a - b);
        if ((high + 0.05) / (low + 0.05) < 4.5) pale.push(each.outerHTML.slice(0, 200));
    }
    return pale;
})()"""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    ledgers.write(tmp_path / "usage.db", ledgers.month(calls=1_500, until=NOON))
    return tmp_path / "usage.db"


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncGenerator[Tab]:
    async with browser_tab("about:blank", tmp_path / "profile") as opened:
        yield opened


LOOKS = [*((width, dark) for width in (360, 1280) for dark in (False, True)), (610, False), (990, True)]


@pytest.mark.parametrize(("width", "dark"), LOOKS)
async def test_the_page_is_readable_on_any_screen(ledger: Path, tab: Tab, width: int, dark: bool) -> None:
    html = ledger.with_suffix(".html")
    write_page(html, page(reported(ledger), made_at=NOON, name="usage.db"))
    await tab.look(width, 780 if width == 360 else 900, dark=dark, phone=width == 360)
    tab.requests.clear()
    await tab.go(html.as_uri())
    for _ in range(2):  # as it comes, and unfolded
        assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert await tab.run(WIDER) == []
        assert await tab.run(CUT) == []
        assert await tab.run(OVERLAPPING) == []
        assert await tab.run(PALE) == []
        await tab.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    shade = await tab.run("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", shade))) < 100) is dark
    assert tab.requests == [html.as_uri()]
    assert tab.complaints == []
    if folder := os.environ.get("LLMKIT_TEST_PICTURES"):  # to look at them
        await tab.picture(Path(folder) / f"usage-{width}-{'dark' if dark else 'light'}.png")


async def test_every_figure_is_what_sql_says_of_the_ledger(ledger: Path, tab: Tab) -> None:
    html = ledger.with_suffix(".html")
    write_page(html, page(reported(ledger), made_at=NOON))
    await tab.go(html.as_uri())
    found = await tab.run(FIGURES)
    by_sql = figures_by_sql(ledger, until=NOON)
    assert {(of, name, figure) for of, name, figure, _, _ in found} == set(by_sql)
    assert len(found) > 400
    for of, name, figure, value, shown in found:
        assert shown
        expected = by_sql[of, name, figure]
        if isinstance(expected, float):
            assert float(value) == pytest.approx(expected, rel=1e-9), (of, name, figure)
        else:
            assert (Decimal(value) if value else None) == expected, (of, name, figure)


async def test_hostile_names_do_nothing(tmp_path: Path, tab: Tab) -> None:
    hostile = [
        "<script>console.error(1)</script>",
        "\"'><img src=x onerror=console.error(1)>",
        "\u202egnp",
        "\N{FIRE}" * 300,
    ]
    records = [*ledgers.month(calls=40, until=NOON)]
    for number, record in enumerate(records):
        record.model = record.operation = record.request_id = hostile[number % 4] + "W" * 10_000
        record.tags = {hostile[number % 4]: hostile[number % 4] + "w" * 10_000}
    ledgers.write(tmp_path / "usage.db", records)
    write_page(tmp_path / "usage.html", page(reported(tmp_path / "usage.db"), made_at=NOON))
    await tab.look(360, 780, phone=True)
    tab.requests.clear()
    await tab.go((tmp_path / "usage.html").as_uri())
    await tab.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
    assert await tab.run(WIDER) == []
    assert await tab.run("document.querySelectorAll('script, img').length") == 0
    assert tab.requests == [(tmp_path / "usage.html").as_uri()]
    assert tab.complaints == []


async def test_a_page_of_nothing_is_readable_too(tmp_path: Path, tab: Tab) -> None:
    write_page(tmp_path / "usage.html", page(nothing(), made_at=NOON))
    await tab.look(360, 780, phone=True)
    await tab.go((tmp_path / "usage.html").as_uri())
    assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
    assert await tab.run(PALE) == []
    assert tab.complaints == []


@asynccontextmanager
async def served(ledger: Path) -> AsyncGenerator[PageServer]:
    with PageServer(lambda: page(reported(ledger), made_at=NOON, refresh=1), host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def shows(condition: str) -> str:
    """A promise that is kept when the condition holds."""
    return f"""new Promise(done => {{
        const look = () => ({condition}) ? done(true) : setTimeout(look, 20);
        look();
    }})"""


async def test_a_served_page_renews_itself_and_stays_where_it_is(ledger: Path, tab: Tab) -> None:
    calls = "document.querySelector('[data-of=totals] [data-figure=calls]').value"
    async with served(ledger) as server:
        await tab.look(1280, 900)
        tab.requests.clear()
        await tab.go(server.url)
        assert await tab.run(calls) == "1500"
        await tab.run("""document.getElementById("slots").open = true; scrollTo(0, 700);
            document.querySelector("#slots summary").focus({ preventScroll: true })""")
        ledgers.write(ledger, ledgers.month(calls=7, until=NOON, seed=9))
        assert await tab.run(shows(f"{calls} === '1507'"))
        assert await tab.run("scrollY") == 700
        assert await tab.run("document.getElementById('slots').open")
        assert await tab.run("document.activeElement.parentElement.id") == "slots"
        assert set(tab.requests) == {server.url}
        assert tab.complaints == []
    assert await tab.run(shows("!document.getElementById('lost').hidden"))
    assert await tab.run(PALE) == []
    assert await tab.run(calls) == "1507"
