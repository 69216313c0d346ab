"""The columns of the tables of `llmkit usage`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from llmkit.cli.fitting import Column, cut
from llmkit.cli.units import dollars
from llmkit.unseen import in_line
from llmkit.usage.report.details import Call, Latency, Trouble
from llmkit.usage.report.figures import Totals
from llmkit.usage.report.wording import UNKNOWN, roughly, seconds, share, spent

NONE: Final = "(none)"
_LONGEST: Final = 40
"""Characters of the tags of a call."""

Line = tuple[str, Totals]

SUMS: Final[tuple[Column[Line], ...]] = (
    Column(title="cost", show=lambda line: cost(line[1])),
    Column(title="calls", show=lambda line: f"{line[1].calls:,}"),
    Column(title="tokens", show=lambda line: _tokens(line[1].total_tokens, line[1].estimated), rank=1),
    Column(title="input", show=lambda line: _tokens(line[1].input_tokens, line[1].estimated), rank=3),
    Column(title="prompt cache", show=lambda line: _share(line[1].cached_share), rank=6),
    Column(title="output", show=lambda line: _tokens(line[1].output_tokens, line[1].estimated), rank=3),
    Column(title="failed", show=lambda line: f"{line[1].failed:,}", rank=2),
    Column(title="refused", show=lambda line: f"{line[1].refused:,}", rank=5),
    Column(title="from cache", show=lambda line: f"{line[1].cached:,}", rank=4),
)
LATENCIES: Final[tuple[Column[Latency], ...]] = (
    Column(title="latency", show=lambda of: of.model or NONE, text=True),
    Column(title="answers", show=lambda of: f"{of.calls:,}", rank=2),
    Column(title="p50", show=lambda of: UNKNOWN if of.latency is None else seconds(of.latency.p50)),
    Column(title="p90", show=lambda of: UNKNOWN if of.latency is None else seconds(of.latency.p90)),
    Column(title="p99", show=lambda of: UNKNOWN if of.latency is None else seconds(of.latency.p99)),
    Column(title="first p50", show=lambda of: _first(of, 50), rank=3),
    Column(title="first p99", show=lambda of: _first(of, 99), rank=4),
    Column(title="tokens/s", show=lambda of: _speed(of), rank=2),
)
ERRORS: Final[tuple[Column[Trouble], ...]] = (
    Column(title="errors", show=lambda of: of.error or NONE, text=True),
    Column(title="calls", show=lambda of: f"{of.calls:,}"),
    Column(title="status", show=lambda of: str(of.status_code or "-"), rank=1),
    Column(title="code", show=lambda of: of.error_code or "-", text=True, rank=2),
    Column(title="last", show=lambda of: of.last, text=True, rank=3),
    Column(title="models", show=lambda of: ", ".join(of.models) or "-", text=True, rank=4),
)
REFUSALS: Final[tuple[Column[Trouble], ...]] = (replace(ERRORS[0], title="refusals"), *ERRORS[1:])
CALLS: Final[tuple[Column[Call], ...]] = (
    Column(title="dearest calls", show=lambda call: call.at, text=True),
    Column(title="cost", show=lambda call: UNKNOWN if call.cost is None else dollars(call.cost)),
    Column(title="tokens", show=lambda call: _tokens(call.total_tokens, call.estimated)),
    Column(title="latency", show=lambda call: seconds(call.latency), rank=3),
    Column(title="model", show=lambda call: call.model or NONE, text=True, rank=1),
    Column(title="tags", show=lambda call: _tags(call), text=True, rank=2),
    Column(title="request", show=lambda call: call.request_id or "-", text=True, rank=4),
)


def cost(of: Totals) -> str:
    """What it cost; what calls without a known price cost comes on top."""
    return spent(of.cost, unpriced=of.unpriced, digits=4)


def _tokens(count: int | None, estimated: int) -> str:
    """With a tilde where some of them are an estimate."""
    return UNKNOWN if count is None else roughly(f"{count:,}", estimated and count)


def _first(of: Latency, percent: int) -> str:
    return "-" if of.first_token is None else seconds(getattr(of.first_token, f"p{percent}"))


def _speed(of: Latency) -> str:
    return "-" if of.tokens_per_second is None else f"{of.tokens_per_second:,.1f}"


def _tags(call: Call) -> str:
    shown = (f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in call.tags.items())
    return cut(in_line(" ".join(shown)), _LONGEST) or "-"


def _share(part: float | None) -> str:
    return "-" if part is None else share(part)
