"""A Redis server that several processes share, and what happens while it cannot be reached."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from llmkit.errors import LLMKitError, RedisUnavailable
from llmkit.record import logger
from llmkit.runtime import Runtime

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 8.0
"""Seconds for which a server that has failed is not asked again; each failure that follows doubles them."""


class RedisServer:
    """Commands to a Redis server (6 or newer), each within `timeout` seconds.

    `server` is a URL ("redis://host:6379/0", "rediss://...", "unix://...") or a `redis.Redis` of your own, whose
    timeouts and retries then hold. Safe in threads and forks. Needs the extra: pip install "llmkit[redis]".
    """

    def __init__(self, server: str | redis.Redis, *, timeout: float = 1.0) -> None:
        if timeout <= 0:
            raise ValueError(f"timeout={timeout!r} must be above 0 seconds")
        self._client: Any = _connect(server, timeout) if isinstance(server, str) else _checked(server)
        self._name = _named(self._client)
        self._lock = threading.Lock()
        self._pause = self._down_until = 0.0

    async def run(self, runtime: Runtime, commands: Callable[[Any], T]) -> T:
        """What `commands(client)` returns, run in a thread in an async client; `RedisUnavailable` when it cannot.

        After a failure the server is left alone for a second, then for two, up to eight, so that a dead one does not
        delay every call.
        """
        if runtime.monotonic() < self._down_until:
            raise RedisUnavailable(f"{self._name} failed a moment ago and is left alone for a while")
        try:
            answer = await runtime.run_blocking(lambda: commands(self._client))
        except self._failures() as error:
            self._note_failure(runtime, error)
            raise RedisUnavailable(f"{self._name} failed with {type(error).__name__}") from None
        self._pause = self._down_until = 0.0
        return answer

    @staticmethod
    def _failures() -> tuple[type[Exception], ...]:
        import redis

        return redis.RedisError, OSError

    def _note_failure(self, runtime: Runtime, error: Exception) -> None:
        now = runtime.monotonic()
        with self._lock:
            first = not self._pause
            if now >= self._down_until:  # none of those that were under way when another one failed
                self._pause = min(2 * self._pause or _FIRST_PAUSE, _LONGEST_PAUSE)
                self._down_until = now + self._pause
        if first:
            logger.warning("%s failed with %s", self._name, type(error).__name__)


def _connect(url: str, timeout: float) -> Any:
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise LLMKitError("Redis needs the redis package: pip install 'llmkit[redis]'") from None
    # For a connection that the server has closed meanwhile. What timed out may have been done and is not sent again.
    once_more = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    client: Any = redis.Redis
    try:
        return client.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=once_more)
    except ValueError:  # its text quotes from the URL, which may hold a password
        raise ValueError(
            'the Redis URL cannot be read; write "redis://:password@host:6379/0", "rediss://" for TLS, or "unix://", '
            "with the password as urllib.parse.quote(password, safe='') gives it"
        ) from None


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
