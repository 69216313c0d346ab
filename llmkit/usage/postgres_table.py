"""The SQL of the table `calls` in PostgreSQL, and what of a row it can hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from llmkit.usage.rows import COLUMNS, Kind, Row, fitting

SCHEMA: Final = 1
"""Is one higher when a column means something else than before; one that is only new is added without."""
LOCK: Final = "SELECT pg_advisory_xact_lock(7810772463961600)"
"""Held while the table is made, so that one of several processes makes it."""
FOUND: Final = """SELECT obj_description(to_regclass($1), 'pg_class') AS comment, array_agg(attname::text) AS names
FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"""
"""What is there under a name; the names are NULL when nothing is."""

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}(\.[a-z_][a-z0-9_]{0,39})?")
_TYPES: Final[Mapping[Kind, str]] = {
    "text": "text",
    "integer": "bigint",
    "real": "double precision",
    "flag": "boolean",
    "nanos": "bigint",
    "json": "jsonb",
}
_COMMENT: Final = "Calls of llmkit, schema {schema}. Costs are nano-dollars (1e-9 USD), NULL is unknown."
_SCHEMA_OF: Final = re.compile(r"Calls of llmkit, schema (\d+)")
_NUL: Final = re.compile(r"(\\\\)|\\u0000")
"""The escape of a NUL in JSON, told from a backslash before "u0000"."""


class Table:
    """Statements for the table `name`, which may have its schema before it: "metrics.calls"."""

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"table={name!r} must be a name of small letters, digits and _, at most 40 of them, such as 'calls' or "
                "'metrics.calls'"
            )
        self.name: Final = ".".join(f'"{part}"' for part in name.split("."))
        self._plain = name.rpartition(".")[2]

    def create(self) -> str:
        """Make it; `started_at` is a time, so that `date_trunc` and Grafana's `$__timeFilter` take it as it is."""
        columns = ", ".join(map(_definition, _KINDS))
        return f"""CREATE TABLE {self.name} (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, call text NOT NULL UNIQUE, {columns});
        CREATE INDEX "{self._plain}_started_at" ON {self.name} (started_at);
        COMMENT ON TABLE {self.name} IS '{_COMMENT.format(schema=SCHEMA)}'"""

    def add(self, names: Iterable[str]) -> str:
        """Add columns of a newer llmkit."""
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {_definition(name)}" for name in names)
        return f"ALTER TABLE {self.name} {added}"

    def insert(self) -> str:
        """Take a row, unless the call is there already; to name the column would need the right to read it."""
        names = ", ".join(f'"{name}"' for name in ("call", *_KINDS))
        values = ", ".join(_taken(number, name) for number, name in enumerate(_KINDS, start=2))
        return f"INSERT INTO {self.name} ({names}) VALUES ($1, {values}) ON CONFLICT DO NOTHING"  # noqa: S608

    def select(self, names: Collection[str]) -> str:
        """The rows of a period, as they were given, from a table with these columns; unknown in those it lacks."""
        values = ", ".join(_given(name) if name in names else "NULL" for name in _KINDS)
        period = "started_at >= to_timestamp($1) AND started_at < to_timestamp($2)"
        return f"SELECT call, {values} FROM {self.name} WHERE {period} ORDER BY started_at, id"  # noqa: S608

    def delete(self) -> str:
        """Drop the oldest $2 of the rows that are older than $1 days."""
        old = "started_at < now() - $1::float8 * interval '1 day' ORDER BY started_at LIMIT $2"
        return f"DELETE FROM {self.name} WHERE id IN (SELECT id FROM {self.name} WHERE {old})"  # noqa: S608


def schema_of(comment: str | None) -> int | None:
    """The schema of a table with that comment; None of one that is not llmkit's."""
    found = _SCHEMA_OF.match(comment or "")
    return None if found is None else int(found[1])


def missing(names: Iterable[str]) -> list[str]:
    """The columns that a table with these does not have."""
    there = frozenset(names)
    return [column.name for column in COLUMNS if column.name not in there]


def plain(row: Row) -> Row:
    """The row without what PostgreSQL cannot hold: NULs, and what is not `fitting`."""
    pairs = zip(_KINDS.values(), row[1:], strict=True)
    return fitting((row[0], *(_without_nul(kind, value) for kind, value in pairs)))


def _definition(name: str) -> str:
    return f'"{name}" {"timestamptz NOT NULL" if name == "started_at" else _TYPES[_KINDS[name]]}'


def _taken(number: int, name: str) -> str:
    if name == "started_at":
        return f"to_timestamp(${number})"
    return f"${number}::int::boolean" if _KINDS[name] == "flag" else f"${number}"


def _given(name: str) -> str:
    if name == "started_at":
        return "extract(epoch FROM started_at)::float8"
    return f'"{name}"::int' if _KINDS[name] == "flag" else f'"{name}"'


def _without_nul(kind: Kind, value: object) -> object:
    if value is None or kind not in ("text", "json"):
        return value
    if kind == "text":  # some servers have numbers for codes
        return str(value).replace("\0", "\ufffd")
    return _NUL.sub(lambda found: found[1] or "\ufffd", str(value))


_KINDS: Final[Mapping[str, Kind]] = {column.name: column.kind for column in COLUMNS}
