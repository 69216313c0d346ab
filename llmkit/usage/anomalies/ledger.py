"""The hours of each series that the file of a LedgerSink has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from llmkit.record import logger
from llmkit.sqlite_file import is_address
from llmkit.tagging import Tag
from llmkit.usage.anomalies.amounts import Totals
from llmkit.usage.anomalies.calendar import HOUR, WEEK
from llmkit.usage.reading import Ledger
from llmkit.usage.rules import MODEL, UNPRICED

SeriesKey = tuple[Tag | None, ...]
"""The values of the tags, and the model last."""

_LEARNT: Final = 4 * WEEK * HOUR
"""Seconds."""
_NANO: Final = 1e-9
_HOURS: Final = """
SELECT {tags} {model}, CAST((started_at + coalesce(latency, 0)) / 3600 AS INTEGER) AS hour,
  count(*), total(total_tokens), total(cost), total(1.0 * total_tokens * total_tokens), total(1.0 * cost * cost),
  total(outcome NOT IN ('cached', 'cancelled')), total(outcome IN ('failed', 'refused')),
  max({unpriced})
FROM calls WHERE started_at > (SELECT max(started_at) FROM calls) - ?
GROUP BY {columns} ORDER BY hour
"""


def hours_of(ledger: str | os.PathLike[str], per: tuple[str, ...]) -> Iterator[tuple[SeriesKey, int, Totals]]:
    """The series, the hour and its calls, the oldest hours first; none when there is no file yet, which is logged.

    Raises `LedgerUnavailable` when the file is something else.
    """
    if is_address(ledger) or os.path.isdir(ledger):  # an address may hold a password
        found = "the address of a server" if is_address(ledger) else f"the folder {os.fspath(ledger)!r}"
        raise ValueError(f"ledger is {found}; give the file of a LedgerSink, as nothing else can be learnt from")
    if not os.path.exists(ledger) or os.path.getsize(ledger) == 0:
        logger.warning("there is no ledger %s yet; nothing is learnt from it", os.fspath(ledger))
        return
    tags = "json_extract(tags, ?), " * len(per)
    columns = ", ".join(str(place + 1) for place in range(len(per) + 2))
    query = _HOURS.format(tags=tags, model=MODEL, unpriced=UNPRICED, columns=columns)
    book = Ledger(ledger)
    with book.reading() as connection:
        rows = connection.execute(query, (*[f'$."{tag}"' for tag in per], _LEARNT)).fetchall()
    book.close()
    for *key, hour, calls, tokens, cost, tokens_squared, cost_squared, asked, failed, unpriced in rows:
        yield (
            tuple(key),
            hour,
            Totals(
                usage=[float(calls), tokens, cost * _NANO],
                squares=[float(calls), tokens_squared, cost_squared * _NANO * _NANO],
                asked=int(asked),
                failed=int(failed),
                unpriced=bool(unpriced),
            ),
        )
