"""A call as a row of a ledger: the columns, and what of a record goes into each. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import PydanticSerializationError, to_json

from llmkit.record import CallRecord
from llmkit.streaming.event_json import event_json
from llmkit.streaming.surrogates import mended, sendable

Kind = Literal["text", "integer", "real", "flag", "nanos", "json"]
Row = tuple[Any, ...]


class Column(NamedTuple):
    """A column of the table `calls`."""

    name: str
    """That of the field of `CallRecord`."""
    kind: Kind
    """"nanos" are whole nano-dollars, "json" is text, "flag" is 0 or 1."""


COLUMNS: Final = (
    Column("started_at", "real"),
    Column("latency", "real"),
    Column("time_to_first_token", "real"),
    Column("operation", "text"),
    Column("model", "text"),
    Column("response_model", "text"),
    Column("sent_model", "text"),
    Column("base_url", "text"),
    Column("sent_to", "text"),
    Column("service_tier", "text"),
    Column("key", "text"),
    Column("tags", "json"),
    Column("outcome", "text"),
    Column("stream", "flag"),
    Column("estimated", "flag"),
    Column("complete", "flag"),
    Column("fallback", "flag"),
    Column("attempts", "integer"),
    Column("retry_wait", "real"),
    Column("limit_wait", "real"),
    Column("cache", "text"),
    Column("cache_key", "text"),
    Column("predicted_tokens", "integer"),
    Column("trimmed_messages", "integer"),
    Column("input_tokens", "integer"),
    Column("output_tokens", "integer"),
    Column("total_tokens", "integer"),
    Column("cached_tokens", "integer"),
    Column("cache_write_tokens", "integer"),
    Column("reasoning_tokens", "integer"),
    Column("input_audio_tokens", "integer"),
    Column("output_audio_tokens", "integer"),
    Column("input_image_tokens", "integer"),
    Column("output_image_tokens", "integer"),
    Column("audio_seconds", "real"),
    Column("cost", "nanos"),
    Column("saved_input_tokens", "integer"),
    Column("saved_output_tokens", "integer"),
    Column("saved_cost", "nanos"),
    Column("finish_reasons", "json"),
    Column("status_code", "integer"),
    Column("error", "text"),
    Column("error_code", "text"),
    Column("request_id", "text"),
    Column("response_id", "text"),
    Column("body", "json"),
    Column("answer", "text"),
)
"""In the order of the table, after the name of the call."""

_NANO: Final = 9
_MOST: Final = 2**63
_WITHOUT_CONTENT: Final = COLUMNS[:-2]
_values: Final = attrgetter(*(column.name for column in _WITHOUT_CONTENT))
_PLACES: Final = {column.name: place for place, column in enumerate(COLUMNS, start=1)}
_FLAGS: Final = tuple(_PLACES[column.name] for column in COLUMNS if column.kind == "flag")
_GIVEN: Final = _PLACES["model"], _PLACES["sent_model"]
"""Texts that callers give, in which SQLite would keep anything."""
_TAGS, _REASONS, _COST, _SAVED = (_PLACES[name] for name in ("tags", "finish_reasons", "cost", "saved_cost"))


def row_of(call: str, record: CallRecord, *, content: bool = True) -> Row:
    """The values of a finished call, the name of the call first; with its texts, where it has them, if `content`."""
    row: list[Any] = [call, *_values(record), None, None]
    for place in _FLAGS:
        row[place] = int(row[place])
    for place in _GIVEN:
        if type(row[place]) is not str:
            row[place] = None
    row[_TAGS] = as_json(record.tags) if record.tags else None
    row[_REASONS] = as_json(record.finish_reasons) if record.finish_reasons else None
    row[_COST], row[_SAVED] = nanos(record.cost), nanos(record.saved_cost)
    if content:
        row[-2] = None if record.body is None else mended(event_json(record.body))
        row[-1] = record.answer
    return tuple(row)


def fitting(row: Row) -> Row:
    """The row with what its columns cannot hold left out: another type, a number too large, half of a character."""
    pairs = zip(COLUMNS, row[1:], strict=True)
    return (row[0], *(_fitting(column.kind, value) for column, value in pairs))


def fields_of(row: Row) -> dict[str, Any]:
    """The name of the call and its fields, as its record had them; the texts of JSON are read."""
    pairs = zip(COLUMNS, row[1:], strict=True)
    fields = {column.name: _read(column.kind, value) for column, value in pairs}
    return {"call": row[0], **fields, "tags": fields["tags"] or {}}


def nanos(dollars: Decimal | None) -> int | None:
    """Dollars as whole nano-dollars, to the nearest: sums of them are exact, and no call is off by more than half."""
    return None if dollars is None else round(dollars.scaleb(_NANO))


def usd(amount: int | None) -> Decimal | None:
    """Nano-dollars as dollars."""
    return None if amount is None else Decimal(amount).scaleb(-_NANO)


def _read(kind: Kind, value: Any) -> Any:
    read = _READ.get(kind)
    return value if value is None or read is None else read(value)


def _fitting(kind: Kind, value: object) -> str | int | float | None:
    if kind in ("text", "json"):
        return sendable(value) if isinstance(value, str) else None
    if kind == "real":
        return float(value) if isinstance(value, int | float) and abs(value) < _MOST else None
    return int(value) if isinstance(value, int) and -_MOST <= value < _MOST else None


def as_json(value: object) -> str:
    """Data as one line of JSON that every reader takes; NaN is null."""
    try:
        return str(to_json(value, inf_nan_mode="null"), "utf-8")
    except PydanticSerializationError:  # half of a surrogate pair, or what no tag can be
        return mended(event_json(value))


_READ: Final[Mapping[Kind, Callable[[Any], Any]]] = {"flag": bool, "nanos": usd, "json": json.loads}
