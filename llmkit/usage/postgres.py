"""Calls in a table of PostgreSQL, where a team asks questions of all its services at once."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from threading import main_thread
from typing import Any, Final

from llmkit.errors import PostgresUnavailable
from llmkit.figures import check_figures
from llmkit.record import CallRecord, logger
from llmkit.usage import postgres_table, prices
from llmkit.usage.call_names import CallNames
from llmkit.usage.postgres_server import PostgresServer
from llmkit.usage.postgres_table import Table
from llmkit.usage.rows import Row, row_of
from llmkit.usage.writer import MOST, MOST_WITH_CONTENT, Writer

_EVERY: Final = 1.0
"""Seconds between batches: each is a commit of a server that many processes share."""
_MOST_DAYS: Final = 36_500
_TIDY_EVERY: Final = 3_600.0
_TIDY_AT_ONCE: Final = 10_000
"""Rows that go at once, so that deleting holds up nobody."""
_AT_ONCE: Final = 5_000


class PostgresSink:
    """Keeps each call as a row of `table` of a PostgreSQL server, which is made when it is not there.

    `dsn` is "postgresql://user:password@host:5432/database"; libpq's variables and password file hold, too. Rows are
    written in batches, each command within `timeout` seconds, and no call waits for them. While the server is away the
    last 100,000 wait (10,000 with `content=True`). `keep_days` drops older rows; `content=True` keeps prompts and
    answers of calls whose UsageLog has `content=True`. Columns are named as the fields of `CallRecord`; costs are whole
    nano-dollars, NULL when unknown.

    Safe in threads and forks. Needs the extra: pip install "llmkit[postgres]".
    """

    def __init__(
        self,
        dsn: str,
        *,
        table: str = "calls",
        timeout: float = 10.0,
        keep_days: float | None = None,
        content: bool = False,
    ) -> None:
        check_figures(timeout=timeout, keep_days=keep_days)
        if keep_days is not None and not 0 < keep_days <= _MOST_DAYS:
            raise ValueError(f"keep_days={keep_days!r} must be above 0 and at most {_MOST_DAYS:_} days; None keeps all")
        self._server = PostgresServer(dsn, timeout=timeout)
        self._table = Table(table)
        self._keep_days = keep_days
        self._content = content
        self._names = CallNames()
        self._is_made = False
        self._tidy_at = 0.0
        self._noted: set[str] = set()
        most = MOST_WITH_CONTENT if content else MOST
        self._writer: Writer[Row] = Writer(self._write, name="PostgresSink", most_waiting=most, every=_EVERY)
        prices.load_if_installed()

    def __repr__(self) -> str:
        return f"PostgresSink('postgresql://{self._server.address}')"

    def __call__(self, record: CallRecord) -> None:
        """Keep the finished call."""
        self._writer.put(row_of(self._names.next(), record, content=self._content))

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Write what waits; whether that has worked within `timeout` seconds."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write what waits, and end the connection; a call that comes later opens one."""
        self._writer.close()
        self._server.close()

    def _write(self, batch: list[Row]) -> None:
        try:
            self._server.run(lambda connection: self._insert(connection, batch))
        except PostgresUnavailable:
            self._is_made = False  # what comes back may be another one
            raise
        if self._keep_days is not None and time.monotonic() >= self._tidy_at:
            self._tidy(self._keep_days)
        if not main_thread().is_alive():  # the process ends, and nobody would end the connection later
            self._server.close()

    def _tidy(self, days: float) -> None:
        """Drop what is old, a part of it now and the rest after the next batches."""
        gone = 0
        try:
            gone = self._server.run(lambda connection: _deleted(connection, self._table, days))
        except PostgresUnavailable as error:
            self._note(f"{self._server.name} drops no old calls: {error}")
        if gone < _TIDY_AT_ONCE:
            self._tidy_at = time.monotonic() + _TIDY_EVERY

    async def _insert(self, connection: Any, batch: list[Row]) -> None:
        if not self._is_made:
            await _made(connection, self._table, self._server.name)
            self._is_made = True
        if await _inserted(connection, self._table, batch) is None:
            return
        await self._insert_good(connection, [postgres_table.plain(row) for row in batch])

    async def _insert_good(self, connection: Any, rows: list[Row]) -> None:
        """Insert the rows without those that are refused, which are found by halves."""
        kind = await _inserted(connection, self._table, rows)
        if kind is None:
            return
        if len(rows) == 1:
            self._note(f"{self._server.name} refuses a call with {kind}; it is left out")
            return
        middle = len(rows) // 2
        await self._insert_good(connection, rows[:middle])
        await self._insert_good(connection, rows[middle:])

    def _note(self, trouble: str) -> None:
        """Say it once of each kind."""
        if trouble not in self._noted:
            self._noted.add(trouble)
            logger.warning("%s", trouble)


def read_calls(dsn: str, *, since: float, until: float, table: str = "calls", timeout: float = 10.0) -> Iterator[Row]:
    """The rows that began from `since` and before `until`, in seconds since the epoch, oldest first.

    As `rows.row_of` makes them: the name of the call, then a value for each of `rows.COLUMNS`. Raises
    `PostgresUnavailable`.
    """
    server, chosen = PostgresServer(dsn, timeout=timeout), Table(table)
    try:
        cursor = server.run(lambda connection: _selected(connection, chosen, since, until, server.name))
        while found := server.run(lambda _: cursor.fetch(_AT_ONCE)):
            yield from map(tuple, found)
    finally:
        server.close()


async def _made(connection: Any, table: Table, name: str) -> None:
    """Make the table, or add the columns that it lacks; one that is whole needs no right to do either."""
    if not _lacking(await connection.fetchrow(postgres_table.FOUND, table.name), table, name):
        return
    async with connection.transaction():
        await connection.execute(postgres_table.LOCK)
        lacking = _lacking(await connection.fetchrow(postgres_table.FOUND, table.name), table, name)
        if lacking:
            await connection.execute(lacking)


def _lacking(found: Any, table: Table, name: str) -> str | None:
    """The statement that makes the table what it is to be."""
    if found["names"] is None:
        return table.create()
    schema, absent = postgres_table.schema_of(found["comment"]), postgres_table.missing(found["names"])
    if schema is None and absent:
        raise PostgresUnavailable(f"{name}: the table {table.name} is of something else; give PostgresSink another")
    if schema is not None and schema > postgres_table.SCHEMA:
        known = f"{table.name} has schema {schema}, this llmkit knows {postgres_table.SCHEMA}"
        raise PostgresUnavailable(f"{name}: the table {known}; use a newer llmkit")
    return table.add(absent) if absent else None


async def _inserted(connection: Any, table: Table, rows: Sequence[Row]) -> str | None:
    """Insert all the rows, or none when one of them is refused for what it holds: the class of the error."""
    asyncpg = importlib.import_module("asyncpg")
    lasting = asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.PLPGSQLError
    try:
        async with connection.transaction():
            await connection.executemany(table.insert(), rows)
    except (*lasting, asyncpg.ProgramLimitExceededError, ValueError) as error:
        return type(error).__name__
    return None


async def _deleted(connection: Any, table: Table, days: float) -> int:
    return int((await connection.execute(table.delete(), days, _TIDY_AT_ONCE)).split()[-1])


async def _selected(connection: Any, table: Table, since: float, until: float, name: str) -> Any:
    found = await connection.fetchrow(postgres_table.FOUND, table.name)
    if found["names"] is None:
        raise PostgresUnavailable(f"{name} has no table {table.name}")
    await connection.transaction(isolation="repeatable_read", readonly=True).start()
    return await connection.cursor(table.select(found["names"]), since, until)
