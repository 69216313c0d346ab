"""The figures of a report: what was called, spent, saved, waited for and refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from typing import Any, Final, cast

from llmkit.usage.report.details import Accuracy, CacheUse, Call, Effort, Latency, Trouble, share_of, when

HOUR: Final = 3_600
DAY: Final = 86_400
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which calls count: those for which all that is given holds."""

    since: float | None = None
    """The first moment that counts, in seconds since the epoch; by default the first call."""
    until: float | None = None
    """The first moment that counts no longer; by default that after the last call."""
    model: str | None = None
    """The one that was asked, in the end."""
    operation: str | None = None
    outcome: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    """As they are shown: a number or a bool as JSON writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over some calls. Calls that are priced, and only they, are in `cost`."""

    calls: int = 0
    failed: int = 0
    refused: int = 0
    """Never sent: a budget, a limit or a breaker was against it."""
    cached: int = 0
    """Answered by a cache of llmkit's."""
    cut: int = 0
    """The answer did not arrive whole."""
    cancelled: int = 0
    estimated: int = 0
    """Calls whose tokens llmkit has estimated, as the server sent no figures."""
    unpriced: int = 0
    """Calls that have used something, and whose price is not known."""
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    """The part of `input_tokens` that the provider had in its prompt cache."""
    reasoning_tokens: int = 0
    """The part of `output_tokens` spent on reasoning."""
    cost: Decimal = _ZERO
    """In USD; without that of the unpriced calls."""
    saved_tokens: int = 0
    """Of the answers of llmkit's caches, as they were billed when they were made."""
    saved_cost: Decimal = _ZERO
    """In USD, of those whose price is known."""

    @property
    def cached_share(self) -> float | None:
        """Of the input tokens."""
        return share_of(self.cached_tokens, self.input_tokens)

    @property
    def ok(self) -> int:
        """Calls answered whole by the server."""
        return self.calls - self.failed - self.refused - self.cached - self.cut - self.cancelled

    def is_unknown(self) -> bool:
        """Whether the cost is: something was used, and no price is known."""
        return bool(self.unpriced and not self.cost)

    def __add__(self, other: Totals) -> Totals:
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in SUMS})

    def __sub__(self, other: Totals) -> Totals:
        return Totals(**{name: getattr(self, name) - getattr(other, name) for name in SUMS})


SUMS: Final = tuple(each.name for each in fields(Totals))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """An hour or a day of the period, in UTC."""

    start: float
    """Seconds since the epoch."""
    totals: Totals

    @property
    def at(self) -> str:
        """The start as "2026-11-21T20:00:00Z"."""
        return when(self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The calls that have one value: one model, one user."""

    name: str | None
    """The value as it is shown; None for calls that have none."""
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """All calls, by one thing; the groups and the rest add up to the totals of the report."""

    by: str
    """"model", "operation", "key" or the name of a tag."""
    groups: Sequence[Group]
    """The dearest first, then those with the most tokens, then the most calls."""
    others: int = 0
    """Groups that are not listed, as there are too many."""
    rest: Totals | None = None
    """Of those groups; None without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All figures of a period."""

    filter: Filter
    since: float
    """The period, in seconds since the epoch: from the filter, or from the first call to the last."""
    until: float
    step: int
    """Seconds of each of the `slots`: an hour in periods of less than two days, or a day."""
    totals: Totals
    slots: Sequence[Slot]
    """Every one of the period, in order, also without calls; the first and the last may be cut by the period."""
    by_model: Breakdown
    by_operation: Breakdown
    by_key: Breakdown
    by_tag: Mapping[str, Breakdown]
    """For every tag that any of the calls has, the one that most of them have first."""
    latency: Latency
    latency_by_model: Sequence[Latency]
    """Most calls first, like the accuracy."""
    cache: CacheUse
    accuracy: Accuracy
    accuracy_by_model: Sequence[Accuracy]
    errors: Sequence[Trouble]
    """Of failed calls, the most frequent first."""
    refusals: Sequence[Trouble]
    """Of refused calls."""
    effort: Effort
    top: Sequence[Call]
    """The dearest calls; those whose price is not known come last, by their tokens."""


def as_json(figures: object) -> Any:
    """Figures as JSON has them: properties included, money as exact text, null where it is unknown."""
    if isinstance(figures, Decimal):
        return f"{figures:.9f}"  # whole nano-dollars
    if is_dataclass(figures):
        derived = (name for name, value in vars(type(figures)).items() if isinstance(value, property))
        names = (*(each.name for each in fields(figures)), *derived)
        document = {name: as_json(getattr(figures, name)) for name in names}
        return {**document, "cost": None} if isinstance(figures, Totals) and figures.is_unknown() else document
    if isinstance(figures, Mapping):
        return {name: as_json(value) for name, value in cast("Mapping[str, object]", figures).items()}
    if isinstance(figures, list | tuple):
        return [as_json(value) for value in cast("Sequence[object]", figures)]
    return figures


def step_of(since: float, until: float) -> int:
    """The seconds of a slot in a period."""
    return HOUR if until - since < 2 * DAY else DAY
