"""A report as one page of HTML that needs nothing else: no script, no font, no picture from anywhere. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from llmkit.usage.report import wording
from llmkit.usage.report.breakdowns import breakdowns
from llmkit.usage.report.figures import DAY, Filter, Report
from llmkit.usage.report.headline import headline
from llmkit.usage.report.markup import Markup, element, joined
from llmkit.usage.report.over_time import over_time
from llmkit.usage.report.quality import quality
from llmkit.usage.report.timing import timing

_ICON: Final = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<path d='M2 9h3v6H2zM6.5 5h3v10h-3zM11 1h3v14h-3z' fill='%230072b2'/></svg>"
)
_START: Final = """\
from llmkit import AsyncOpenAI
from llmkit import LedgerSink, UsageLog

ledger = LedgerSink("usage.db")
log = UsageLog(sinks=[ledger])
client = AsyncOpenAI(middleware=[log])"""


def page(report: Report, *, made_at: float, name: str = "", refresh: int | None = None) -> str:
    """The page of the ledger `name`; with `refresh` it asks the server it came from for news every so many seconds."""
    body = element("main", *_main(report, made_at, name, refresh))
    live = element("script", _file("live.js"), data_every=refresh, type="module") if refresh else Markup("")
    lost = element(
        "p", "The server does not answer: these are the last figures.", id="lost", role="status", hidden=True
    )
    html = element(
        "html", _head(made_at, name, refresh), element("body", body, *([lost, live] if refresh else [])), lang="en"
    )
    return f"<!doctype html>\n{html}\n"


def _main(report: Report, made_at: float, name: str, refresh: int | None) -> Iterator[Markup]:
    yield _header(report, made_at, name, refresh)
    if not report.totals.calls:
        yield _nothing(report.filter)
        return
    yield headline(report)
    parts = (over_time, breakdowns, timing, quality)
    for part in parts:
        for cards in part(report):
            yield element("div", *cards, class_="cards")


def _header(report: Report, made_at: float, name: str, refresh: int | None) -> Markup:
    shown = wording.day if report.until - report.since > 2 * DAY else wording.moment
    period = f"{shown(report.since)} \N{EN DASH} {shown(report.until)}, UTC"
    made = f"made {wording.moment(made_at)} UTC" + (f", anew every {refresh} s" if refresh else "")
    picked = [element("li", joined(f"{name} ", element("bdi", value))) for name, value in _picked(report.filter)]
    return element(
        "header",
        element("h1", "LLM usage"),
        element("p", element("bdi", wording.cut(name)), class_="ledger") if name else Markup(),
        element("p", period, class_="period") if report.until > report.since else Markup(),
        element("ul", *picked, class_="picked") if picked else Markup(),
        element("p", made, class_="made"),
    )


def _picked(wanted: Filter) -> Iterator[tuple[str, str]]:
    for name in ("model", "operation", "outcome"):
        if value := getattr(wanted, name):
            yield name, wording.cut(value)
    for name, value in wanted.tags.items():
        yield wording.cut(name), wording.cut(value)


def _nothing(wanted: Filter) -> Markup:
    if any(_picked(wanted)):
        title, advice = "No calls", element("p", "None fits what was asked for. Try a longer period or fewer filters.")
    else:
        how = "No call in this period. Ask for a longer one, or add a ledger to your client, make a call and come back:"
        title, advice = "Nothing here yet", joined(element("p", how), element("pre", element("code", _START)))
    return element("section", element("h2", title), advice, class_="card nothing")


def _head(made_at: float, name: str, refresh: int | None) -> Markup:
    style = _file("page.css")
    policy = [
        "default-src 'none'",
        f"style-src {_hash(style)}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if refresh:
        policy += [f"script-src {_hash(_file('live.js'))}", "connect-src 'self'"]
    again = element("noscript", element("meta", http_equiv="refresh", content=refresh)) if refresh else Markup("")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content="; ".join(policy)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("title", f"LLM usage{f' of {wording.cut(name)}' if name else ''}, {wording.day(made_at)}"),
        element("link", rel="icon", href=_ICON),
        element("style", style),
        again,
    )


@cache
def _file(name: str) -> Markup:
    return Markup(files("llmkit.usage.report").joinpath(name).read_text(encoding="utf-8"))


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
