"""A Redis server that several processes share, and what happens while it cannot be reached."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from llmkit.errors import LLMKitError, RedisUnavailable
from llmkit.pauses import Pause
from llmkit.record import logger
from llmkit.runtime import Runtime

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

_WORDS = re.compile(r"\b(OOM|READONLY|MISCONF|WRONGTYPE|NOPERM|NOAUTH|WRONGPASS|NOREPLICAS|BUSY)\b")
"""For: no memory is left; a replica; its disk fails; another type's key; no right to it; and so on."""


class RedisServer:
    """Commands to a Redis server (6 or newer), each within `timeout` seconds.

    `server` is a URL ("redis://host:6379/0", "rediss://...", "unix://...") or a `redis.Redis` of your own, whose
    timeouts and retries then hold. Safe in threads and forks. Needs the extra: pip install "llmkit[redis]".
    """

    def __init__(self, server: str | redis.Redis, *, timeout: float = 1.0) -> None:
        if not 0 < timeout < math.inf:
            raise ValueError(f"timeout={timeout!r} must be above 0 seconds, and finite")
        self._client: Any = _connect(server, timeout) if isinstance(server, str) else _checked(server)
        self._name = _named(self._client)
        self._lock = threading.Lock()
        self._pause = Pause()
        self._refused: set[str] = set()

    async def run(self, runtime: Runtime, commands: Callable[[Any], T]) -> T:
        """What `commands(client)` returns, run in a thread in an async client; `RedisUnavailable` when it cannot.

        A server that does not answer is left alone for a second, then for two, up to eight, so that a dead one does
        not delay every call. One that refuses a command, as a full one does a write, may still do the next.
        """
        if self._pause.lasts(runtime.monotonic()):
            raise RedisUnavailable(f"{self._name} failed a moment ago and is left alone for a while")
        try:
            answer = await runtime.run_blocking(lambda: commands(self._client))
        except _failures() as error:
            kind = _kind(error)
            if isinstance(error, _silences()):
                self._note_silence(runtime, kind)
            else:
                self._note_refusal(kind)
            raise RedisUnavailable(f"{self._name} failed with {kind}") from None
        self._pause.over()
        return answer

    def _note_silence(self, runtime: Runtime, kind: str) -> None:
        with self._lock:
            first = self._pause.failed(runtime.monotonic())
        if first:
            logger.warning("%s failed with %s", self._name, kind)

    def _note_refusal(self, kind: str) -> None:
        """Say it once for each kind, for other commands succeed in between."""
        self._pause.over()
        with self._lock:
            first = kind not in self._refused
            self._refused.add(kind)
        if first:
            logger.warning("%s failed with %s", self._name, kind)


def _failures() -> tuple[type[Exception], ...]:
    import redis

    return redis.RedisError, *_silences()


def _silences() -> tuple[type[Exception], ...]:
    """Those after which every command would fail: no connection, no answer, no login, no data yet, no node."""
    import redis
    from redis.exceptions import RedisClusterException

    return redis.ConnectionError, redis.TimeoutError, RedisClusterException, OSError


def _kind(error: Exception) -> str:
    """Its class and Redis's word for it; the rest of its text may quote what was sent."""
    word = _WORDS.search(str(error))
    return type(error).__name__ if word is None else f"{type(error).__name__} ({word[0]})"


def _connect(url: str, timeout: float) -> Any:
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise LLMKitError("Redis needs the redis package: pip install 'llmkit[redis]'") from None
    # For a connection that the server has closed meanwhile. What timed out may have been done and is not sent again.
    once_more = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    build: Any = redis.Redis
    try:
        _refuse_lost_password(url)
        client = build.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=once_more)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # opens nothing, but raises for an option there is not
        str(pool.connection_kwargs.get("host", "")).encode("idna")
    except (ValueError, TypeError, redis.RedisError):  # their texts quote from the URL, which may hold a password
        raise ValueError(
            'the Redis URL cannot be read; write "redis://:password@host:6379/0", "rediss://" for TLS, or "unix://", '
            "with the password as urllib.parse.quote(password, safe='') gives it, and behind a ? what redis-py knows"
        ) from None
    return client


def _refuse_lost_password(url: str) -> None:
    """A password with a /, ? or # in it ends the address early: its parts would be taken for a host, port or path."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        lost = bool(parts.netloc) and "@" not in parts.netloc
    else:
        lost = "@" in parts.path + parts.query + parts.fragment
    if lost:
        raise ValueError


def _checked(client: Any) -> Any:
    if not callable(getattr(client, "register_script", None)) or "asyncio" in type(client).__module__:
        raise TypeError(
            f"Redis is given as a URL or as a redis.Redis, not as a {type(client).__module__}.{type(client).__name__}; "
            "async clients use it, too, from a thread"
        )
    return client


def _named(client: Any) -> str:
    """Which server it is, in words without a user name or password."""
    place: dict[str, Any] = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    if "path" in place:
        return f"Redis at {place['path']}"
    return f"Redis at {place['host']}:{place.get('port', 6379)}" if "host" in place else "Redis"
