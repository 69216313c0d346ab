"""Calls as a file for a spreadsheet (CSV), for a script (JSON Lines) or for a warehouse (Parquet)."""

from __future__ import annotations

import csv
import importlib
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from llmkit.errors import LLMKitError
from llmkit.streaming.surrogates import sendable
from llmkit.usage.rows import COLUMNS, Column, as_json, nanos, usd

Call = Mapping[str, object]
Convert = Callable[[Any], Any]

_COLUMNS: Final = (Column("call", "text"), *COLUMNS)
_NAMES: Final = tuple(column.name for column in _COLUMNS)
_AT_ONCE: Final = 10_000
"""Rows of one part of a Parquet file."""
_FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""How a formula begins, the last four as wide characters (OWASP, "CSV Injection")."""


def export_calls(calls: Iterable[Call], path: str | os.PathLike[str]) -> int:
    """Write the calls into a file whose name ends with .csv, .jsonl or .parquet; how many they were.

    The file is there when it is whole, in place of one that was there before, and is for its owner alone. Each call has
    the fields of a `CallRecord` and the name `call`; one that it does not have is empty. `started_at` is written as a
    time in UTC, costs as US dollars. In a CSV a `'` stands before a text that a spreadsheet would run as a formula, and
    lists and tags are JSON, as they are in Parquet, which needs the extra: pip install "llmkit[parquet]".
    """
    wanted = Path(path)
    write = _WRITE.get(wanted.suffix.lower())
    if write is None:
        raise ValueError(f"the name {wanted.name!r} does not say the format; let it end with .csv, .jsonl or .parquet")
    if wanted.is_dir() or not wanted.parent.is_dir():
        raise ValueError(f"{str(wanted)!r} cannot be a file; give a name in a folder that is there")
    with _appearing(wanted) as file:
        return write(calls, file)


@contextmanager
def _appearing(path: Path) -> Generator[Path, None, None]:
    """A file that takes the name when it is whole, and is gone when it is not to be."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".llmkit-export-")
    os.close(handle)
    try:
        yield Path(name)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _csv(calls: Iterable[Call], path: Path) -> int:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(_NAMES)
        return _counted(map(rows.writerow, _converted(calls, _CELLS)))


def _jsonl(calls: Iterable[Call], path: Path) -> int:
    with path.open("w", encoding="utf-8") as file:
        rows = (dict(zip(_NAMES, values, strict=True)) for values in _converted(calls, _VALUES))
        return _counted(file.write(as_json(row) + "\n") for row in rows)


def _parquet(calls: Iterable[Call], path: Path) -> int:
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise LLMKitError("Parquet needs the pyarrow package: pip install 'llmkit[parquet]'") from None
    types = {
        "text": arrow.string(),
        "json": arrow.string(),
        "integer": arrow.int64(),
        "real": arrow.float64(),
        "flag": arrow.bool_(),
        "nanos": arrow.decimal128(28, 9),
        "time": arrow.timestamp("us", tz="UTC"),
    }
    schema = arrow.schema([(column.name, types[_kind(column)]) for column in _COLUMNS])
    rows, written = _converted(calls, _TYPED), 0
    with parquet.ParquetWriter(path, schema) as file:
        while part := list(islice(rows, _AT_ONCE)):
            columns = zip(*part, strict=True)
            arrays = [arrow.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            file.write_batch(arrow.record_batch(arrays, schema=schema))
            written += len(part)
    return written


def _converted(calls: Iterable[Call], by_kind: Mapping[str, Convert]) -> Iterator[list[Any]]:
    """The values of each call, in the order of the columns."""
    converts = [(column.name, by_kind[_kind(column)]) for column in _COLUMNS]
    for call in calls:
        values = ((call.get(name), convert) for name, convert in converts)
        yield [None if value is None else convert(value) for value, convert in values]


def _kind(column: Column) -> str:
    return "time" if column.name == "started_at" else column.kind


def _counted(written: Iterable[object]) -> int:
    return sum(1 for _ in written)


def _text(value: object) -> str:
    return sendable(str(value))


def _cell(value: object) -> str:
    text = _text(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _iso(seconds: float) -> str:
    return _time(seconds).isoformat(timespec="microseconds")


def _same(value: object) -> object:
    return value


_CELLS: Final[Mapping[str, Convert]] = {
    "text": _cell,
    "json": as_json,
    "integer": _same,
    "real": _same,
    "flag": lambda value: "true" if value else "false",
    "nanos": lambda dollars: f"{dollars:f}",
    "time": _iso,
}
_VALUES: Final[Mapping[str, Convert]] = {
    "text": _same,
    "json": _same,
    "integer": _same,
    "real": _same,
    "flag": bool,
    "nanos": float,
    "time": _iso,
}
_TYPED: Final[Mapping[str, Convert]] = {
    "text": _text,
    "json": as_json,
    "integer": _same,
    "real": _same,
    "flag": bool,
    "nanos": lambda dollars: usd(nanos(dollars)),
    "time": _time,
}
_WRITE: Final[Mapping[str, Callable[[Iterable[Call], Path], int]]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
