"""The entries of a cache: which are meant, what they are called, and what there is to say of them."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from llmkit.cli.units import dollars, duration, size

if TYPE_CHECKING:
    from llmkit.cache.entry import Entry, Selection

COLUMNS: Final = ("key", "model", "age", "expires", "size", "tokens", "tags")
NUMBERS: Final = ("age", "expires", "size", "tokens")
_FIRST_MOMENT: Final = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST_MOMENT: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
_LEAST: Final = 8
"""Characters of a key's short name."""


def matching(entries: Iterable[Entry], selection: Selection, *, tags: Mapping[str, str], now: float) -> Iterator[Entry]:
    """The entries that are meant; `tags` as they are shown, for a command line has no numbers."""
    for entry in entries:
        shown = {name: _shown(value) for name, value in entry.tags.items()}
        if selection.has(entry, now=now) and tags.items() <= shown.items():
            yield entry


def short_names(keys: Iterable[str], *, among: Iterable[str]) -> dict[str, str]:
    """For each key as much of its digest as tells it from all others; all of a key whose digest another has, too."""
    names: dict[str, str] = {}
    digests = sorted(map(_digest, among))
    for key in keys:
        digest = _digest(key)
        at = bisect_left(digests, digest)
        before, after = "".join(digests[max(at - 1, 0) : at]), "".join(digests[at + 1 : at + 2])
        length = max(_LEAST, 1 + _common(digest, before), 1 + _common(digest, after))
        names[key] = key if digest == after else digest[:length]
    return names


def meant_by(text: str, keys: Iterable[str]) -> list[str]:
    """The key that `text` is, or those that begin so or whose digest does."""
    found: list[str] = []
    for key in keys:
        if key == text:
            return [key]
        if key.startswith(text) or _digest(key).startswith(text):
            found.append(key)
    return found


def row(entry: Entry, name: str, *, now: float) -> tuple[str, ...]:
    """Its line in a list, of `COLUMNS`."""
    left = "never" if entry.expires_at is None else duration(entry.expires_at - now)
    tokens = f"{entry.input_tokens:,}+{entry.output_tokens:,}"
    return name, entry.model or "", duration(now - entry.created_at), left, size(entry.size), tokens, _tags(entry)


def facts(entry: Entry, *, now: float) -> Iterator[tuple[str, str]]:
    """All that is known of it but its text."""
    yield "key", entry.key
    yield "operation", entry.operation
    yield "model", entry.model or "-"
    yield "made", f"{when(entry.created_at)}, {duration(now - entry.created_at)} ago"
    yield "expires", "never" if entry.expires_at is None else f"{when(entry.expires_at)}, in {_left(entry, now)}"
    yield "size", f"{size(entry.size)}, made by a stream" if entry.events is not None else size(entry.size)
    yield "tokens", f"{entry.input_tokens:,} input, {entry.output_tokens:,} output"
    yield "cost", "not known" if entry.cost is None else dollars(entry.cost)
    yield "request id", entry.request_id or "-"
    yield "tags", _tags(entry) or "-"
    if entry.partition is not None:
        yield "semantic", "found by meaning, too"


def as_json(entry: Entry) -> dict[str, Any]:
    """The same for machines; times in UTC, the cost as text, exact."""
    return {
        "key": entry.key,
        "operation": entry.operation,
        "model": entry.model,
        "created_at": when(entry.created_at),
        "expires_at": None if entry.expires_at is None else when(entry.expires_at),
        "size": entry.size,
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "cost": None if entry.cost is None else str(entry.cost),
        "request_id": entry.request_id,
        "tags": dict(entry.tags),
        "semantic": entry.partition is not None,
    }


def answer_of(entry: Entry) -> str:
    """The text of its answer; for embeddings and what else has none, the JSON."""
    from llmkit.streaming.facts import answer_text

    try:
        return answer_text(json.loads(entry.body)) or entry.body.decode(errors="replace")
    except ValueError:
        return entry.body.decode(errors="replace")


def when(moment: float) -> str:
    """Seconds since the epoch as "2026-11-21T20:15:00Z"; what is later than 9999 as the end of that year."""
    moment = min(max(moment, _FIRST_MOMENT), _LAST_MOMENT)
    return f"{datetime.fromtimestamp(moment, UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def _left(entry: Entry, now: float) -> str:
    return duration((entry.expires_at or now) - now)


def _tags(entry: Entry) -> str:
    return " ".join(f"{name}={_shown(value)}" for name, value in entry.tags.items())


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _digest(key: str) -> str:
    return key.rpartition(":")[2]


def _common(text: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(text, other, strict=False))
    return next((index for index, (one, two) in pairs if one != two), min(len(text), len(other)))
