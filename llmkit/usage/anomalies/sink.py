"""The sink that says when usage is not what it was at such hours before."""

from __future__ import annotations

import inspect
import os
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from threading import Lock
from typing import Any, Final

from llmkit import forks
from llmkit.figures import check_figures
from llmkit.log import LogFormat, StructlogSink
from llmkit.record import CallRecord
from llmkit.tagging import checked_per
from llmkit.usage import prices
from llmkit.usage.anomalies.amounts import Settings
from llmkit.usage.anomalies.calendar import DAY, HOUR, Calendar
from llmkit.usage.anomalies.event import Unusual
from llmkit.usage.anomalies.ledger import SeriesKey, hours_of
from llmkit.usage.anomalies.series import Call, Finding, Series
from llmkit.usage.rules import is_unpriced, model_of

_LEAST_ERROR_RATE: Final = 0.05
_NOT_ASKED: Final = frozenset({"cached", "cancelled"})
_FAILED: Final = frozenset({"failed", "refused"})


class UnusualUsage:
    """Logs a warning `unusual_usage` when the usage of a model is far from what it was at such hours before.

    A sink of `UsageLog`. It watches requests, tokens, dollars (extra `llmkit[prices]`), the share of calls that fail,
    and calls at hours that never have any; for each model alone and for each value of the tags in `per` ("user", or
    ("user", "feature")). `on_unusual` is handed each `Unusual` in the thread of the call, and must not block.

    Nothing is said of a series for its first `learning_days`; a `ledger` (the file of a LedgerSink) is learnt from at
    once, and one that is not there yet is passed over. One warning is told for an episode, which ends when nothing was
    unusual for `cool_down_hours`. `sensitivity` above 1 warns of smaller excesses, below 1 only of larger ones. What is
    less than `least_requests` (tokens, usd) above what was expected in an hour is not told, nor fewer than
    `least_errors` or `least_off_hours` calls. `working_hours=(8, 19)` never calls those hours of a weekday off-hours.
    Hours and weekends are those of `timezone`. A series that is silent for as long as it learns begins anew; beyond
    `most_series`, the least recent are forgotten.
    """

    def __init__(
        self,
        *,
        per: str | tuple[str, ...] = (),
        on_unusual: Callable[[Unusual], None] | None = None,
        ledger: str | os.PathLike[str] | None = None,
        timezone: tzinfo = UTC,
        working_hours: tuple[int, int] | None = None,
        sensitivity: float = 1.0,
        learning_days: int = 14,
        cool_down_hours: int = 24,
        least_requests: int = 30,
        least_tokens: int = 50_000,
        least_usd: float = 1.0,
        least_errors: int = 10,
        least_off_hours: int = 10,
        most_series: int = 1_000,
        logger: Any = None,
        format: LogFormat | None = None,
    ) -> None:
        self._per = checked_per(per)
        _check_hook(on_unusual)
        if not isinstance(timezone, tzinfo):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"timezone={timezone!r} is no time zone; give zoneinfo.ZoneInfo('Europe/Berlin')")
        if working_hours is not None and not 0 <= working_hours[0] < working_hours[1] <= DAY:
            raise ValueError(f"working_hours={working_hours!r} must be two hours of a day, such as (8, 19)")
        _check_above_0(
            sensitivity=sensitivity,
            learning_days=learning_days,
            cool_down_hours=cool_down_hours,
            least_requests=least_requests,
            least_tokens=least_tokens,
            least_usd=least_usd,
            least_errors=least_errors,
            least_off_hours=least_off_hours,
            most_series=most_series,
        )
        self._settings = Settings(
            learning=learning_days * DAY,
            cool_down=cool_down_hours,
            sensitivity=sensitivity,
            least=(float(least_requests), float(least_tokens), float(least_usd)),
            least_errors=least_errors,
            least_error_rate=_LEAST_ERROR_RATE,
            least_off_hours=least_off_hours,
            working_hours=working_hours,
        )
        self._on_unusual = on_unusual
        self._calendar = Calendar(timezone)
        self._most = most_series
        self._series: OrderedDict[SeriesKey, Series] = OrderedDict()
        self._inside: SeriesKey | None = None
        self._log = StructlogSink(logger=logger, format=format)
        prices.load_if_installed()
        forks.begin_anew_in_children(self)
        if ledger is not None:
            self._learn(ledger)

    def begin(self) -> None:
        """What was learnt holds in a forked child, too, but for a series that a thread was counting for."""
        self._lock = Lock()
        if self._inside is not None:
            self._series.pop(self._inside, None)
            self._inside = None

    def __call__(self, record: CallRecord) -> None:
        """Count the finished call, and tell what is unusual now."""
        tags = record.tags
        key: SeriesKey = (*[tags.get(tag) for tag in self._per], model_of(record))
        outcome, tokens = record.outcome, record.total_tokens or 0
        dollars = None if is_unpriced(record) else float(record.cost or 0)
        call = Call(1, tokens, dollars, int(outcome not in _NOT_ASKED), int(outcome in _FAILED))
        with self._lock:
            self._inside = key
            at = record.started_at + (record.latency or 0.0)
            found = self._of(key, int(at // HOUR)).see(at, call)
            self._inside = None
        if found is not None:
            self._tell(self._unusual(key, found))

    def _of(self, key: SeriesKey, hour: int) -> Series:
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(self._calendar, self._settings, hour)
            if len(self._series) > self._most:
                self._series.popitem(last=False)
        else:
            self._series.move_to_end(key)
        return series

    def _learn(self, ledger: str | os.PathLike[str]) -> None:
        for key, hour, totals in hours_of(ledger, self._per):
            self._of(key, hour).learn(hour, totals)

    def _unusual(self, key: SeriesKey, found: Finding) -> Unusual:
        *values, model = key
        zone = self._calendar.timezone
        return Unusual(
            tags={tag: value for tag, value in zip(self._per, values, strict=True) if value is not None},
            model=model if isinstance(model, str) else None,
            measure=found.measure,
            start=datetime.fromtimestamp(found.start, zone),
            end=datetime.fromtimestamp(found.end, zone),
            value=found.value,
            expected=found.expected,
            usual=(0.0, found.limit),
        )

    def _tell(self, unusual: Unusual) -> None:
        self._log.logger().warning("unusual_usage", **unusual.fields())
        if self._on_unusual is not None:
            self._on_unusual(unusual)


def _check_hook(hook: object) -> None:
    if hook is None:
        return
    if not callable(hook):
        raise TypeError(f"on_unusual={hook!r} is no function; give one that takes an Unusual")
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__):
        name = getattr(hook, "__name__", type(hook).__name__)
        raise TypeError(f"on_unusual={name} is async; it is called when nothing can be awaited; pass a plain function")


def _check_above_0(**given: float) -> None:
    check_figures(**given)
    for name, value in given.items():
        if not value > 0:
            raise ValueError(f"{name}={value!r} must be above 0")
