"""A connection to a PostgreSQL server for threads that wait, on an event loop of its own."""

from __future__ import annotations

import asyncio
import errno
import importlib
import math
import selectors
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from llmkit.errors import LLMKitError, PostgresUnavailable
from llmkit.forks import begin_anew_in_children

T = TypeVar("T")

_STATES: Final[Mapping[str, str]] = {
    "28": "the user or the password is refused",
    "3D000": "there is no such database",
    "3F000": "there is no such schema",
    "42501": "the role lacks a right",
}
"""How an SQLSTATE begins, and what it is about."""
_REFUSED: Final = f"[Errno {errno.ECONNREFUSED}]"


class PostgresServer:
    """One connection, opened when it is needed; each command within `timeout` seconds, and one after another.

    Needs the extra: pip install "llmkit[postgres]".
    """

    def __init__(self, dsn: str, *, timeout: float) -> None:
        if not 0 < timeout < math.inf:
            raise ValueError(f"timeout={timeout!r} must be above 0 seconds, and finite")
        parts = _split(dsn)
        host = parts.netloc.rpartition("@")[2]
        self.name = f"PostgreSQL at {host or 'its usual place'}"
        self.address = f"{host}{parts.path}"
        """Its host and its database, without a user name or a password."""
        self._failures = _failures()
        # In a function, where no repr and no vars() shows the password.
        self._connect: Callable[[], Awaitable[Any]] = lambda: _asyncpg().connect(
            dsn, timeout=timeout, command_timeout=timeout, statement_cache_size=0
        )
        self._session: tuple[asyncio.Runner, Any] | None = None
        begin_anew_in_children(self)

    def begin(self) -> None:
        """Leave the connection to the parent; kept, for it must not be closed either."""
        self._parents = self._session
        self._session = None
        self._lock = Lock()

    def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """What `work(connection)` returns; it may be done twice, when a connection that was there has gone.

        Raises `PostgresUnavailable`, without the server's own words, which may quote what was sent.
        """
        with self._lock:
            kept = self._session is not None
            try:
                return self._run(work)
            except PostgresUnavailable:
                if not kept:
                    raise
            return self._run(work)

    def close(self) -> None:
        """End the connection, unless a command is still under way; the next one opens one."""
        if self._lock.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._lock.release()

    def _end(self) -> None:
        if self._session is None:
            return
        (runner, connection), self._session = self._session, None
        with runner, suppress(*self._failures):
            runner.run(connection.close(timeout=1))

    def _run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        try:
            runner, connection = self._session = self._session or self._opened()
            return runner.run(_awaited(work(connection)))
        except self._failures as error:
            self._end()
            raise PostgresUnavailable(f"{self.name} failed with {_said(error)}") from None

    def _opened(self) -> tuple[asyncio.Runner, Any]:
        runner = asyncio.Runner(loop_factory=_Loop)
        try:
            return runner, runner.run(_awaited(self._connect()))
        except BaseException:
            runner.close()
            raise


class _Loop(asyncio.SelectorEventLoop):
    """Needs no other thread, as there are none when the interpreter ends, and shares nothing with a forked child."""

    def __init__(self) -> None:
        # epoll's list of sockets would be the parent's and the child's together.
        super().__init__(getattr(selectors, "PollSelector", selectors.SelectSelector)())

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        return socket.getaddrinfo(host, port, family, type, proto, flags)


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def _asyncpg() -> Any:
    try:
        return importlib.import_module("asyncpg")
    except ImportError:
        raise LLMKitError("PostgreSQL needs the asyncpg package: pip install 'llmkit[postgres]'") from None


def _failures() -> tuple[type[Exception], ...]:
    asyncpg = _asyncpg()
    return asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError


def _said(error: Exception) -> str:
    """What it is, without its own words, which may quote anything."""
    state: str = getattr(error, "sqlstate", None) or ""
    name = f"{type(error).__name__} ({state})" if state else type(error).__name__
    meaning = next((meaning for begin, meaning in _STATES.items() if state.startswith(begin)), None)
    if isinstance(error, socket.gaierror):
        meaning = "there is no such host"
    elif isinstance(error, OSError) and _REFUSED in str(error):  # in one that is of several addresses, too
        meaning = "nothing listens there"
    return f"{name}: {meaning}" if meaning else name


def _split(dsn: str) -> SplitResult:
    """The parts of the address; a ValueError when a password may be lost in it."""
    try:
        parts = urlsplit(dsn)
    except ValueError:
        parts = urlsplit("")
    rest = f"{parts.path}?{parts.query}"
    if parts.scheme not in {"postgresql", "postgres"} or parts.fragment or ("@" in rest and "@" not in parts.netloc):
        raise ValueError(
            'the address of PostgreSQL cannot be read; write "postgresql://user:password@host:5432/database", with the '
            "password as urllib.parse.quote(password, safe='') gives it"
        ) from None
    return parts
