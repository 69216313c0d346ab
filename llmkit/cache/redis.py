"""A cache that several machines share, in Redis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from llmkit.cache.entry import Entry
from llmkit.cache.packing import pack
from llmkit.cache.reading import Reader, pages
from llmkit.redis_server import RedisServer
from llmkit.runtime import SYNC
from llmkit.sync import drive

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

_PUT: Final = """
-- KEYS: entry, index by age, index by expiry; ARGV: its name, head, rest, when made, when it expires ('' for never), in
-- how many ms, now, and the beginning of all entries' keys.
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'head', ARGV[2], 'rest', ARGV[3])
if ARGV[5] == '' then
  redis.call('ZREM', KEYS[3], ARGV[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[7], 'LIMIT', 0, 20)) do
  redis.call('DEL', ARGV[8] .. name)
  redis.call('ZREM', KEYS[2], name)
  redis.call('ZREM', KEYS[3], name)
end
"""
_DELETE: Final = """
-- KEYS: index by age, index by expiry, entries; ARGV: their names. Counts the entries that were there.
local deleted = 0
for i, name in ipairs(ARGV) do
  deleted = deleted + redis.call('DEL', KEYS[i + 2])
  redis.call('ZREM', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
end
return deleted
"""
_FORGET: Final = """
-- KEYS: index by age, index by expiry, entries; ARGV: their names. Takes those that are gone out of the indexes.
for i, name in ipairs(ARGV) do
  if redis.call('EXISTS', KEYS[i + 2]) == 0 then
    redis.call('ZREM', KEYS[1], name)
    redis.call('ZREM', KEYS[2], name)
  end
end
"""
_CLAIM: Final = """
-- KEYS: claim; ARGV: owner, ms.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE: Final = """
-- KEYS: claim; ARGV: owner.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
_ADD: Final = """
-- KEYS: counters; ARGV: names and counts in turn. What is there and no number begins anew.
for i = 1, #ARGV, 2 do
  if type(redis.pcall('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])) == 'table' then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
"""
_LONGEST: Final = 1e9
"""Seconds, 30 years: more than Redis can count in milliseconds is for ever, too."""


class RedisStore:
    """Keeps answers in Redis (6 or newer), for all machines that name the same server and `prefix`.

    `server` is a URL or a `redis.Redis` of your own, cluster clients included; a cluster keeps all keys of a prefix on
    one node. Entries expire by themselves; bound the memory with Redis's `maxmemory` and the policy volatile-lru or
    volatile-ttl, which leaves the index alone. Answers are kept as they came: protect the server as you protect them.
    Raises `RedisUnavailable` when the server does not answer within `timeout` seconds, or refuses. Needs: pip install
    "llmkit[redis]".
    """

    blocks = True

    def __init__(self, server: str | redis.Redis, *, prefix: str = "llmkit:cache", timeout: float = 1.0) -> None:
        if "{" in prefix or "}" in prefix:
            raise ValueError(f"prefix={prefix!r} has braces, which say where keys are kept in a cluster; use none")
        self._server = RedisServer(server, timeout=timeout)
        self._reader = Reader(f"the cache {prefix} in Redis")
        # The braces have a cluster keep all keys in one place, where a script may use them.
        self._here = f"{{{prefix}}}"
        self._indexes = [f"{self._here}:by_age", f"{self._here}:by_expiry"]
        self._counters = f"{self._here}:counters"

    def get(self, key: str, *, now: float) -> Entry | None:
        """The entry, by one command."""
        [(head, rest)] = self._read([key], "head", "rest")
        return None if head is None else self._reader.entry(key, head, rest, now=now)

    def put(self, entry: Entry, *, now: float) -> None:
        """Keep an entry, and forget some that have expired, in one command."""
        expires = "" if entry.expires_at is None else entry.expires_at
        left = "" if entry.expires_at is None else _milliseconds(entry.expires_at - now)
        arguments = [entry.key, *pack(entry), entry.created_at, expires, left, now, self._entry("")]
        self._script(_PUT, [self._entry(entry.key), *self._indexes], arguments)

    def delete(self, keys: Iterable[str]) -> int:
        """Forget entries."""
        return sum(self._script(_DELETE, self._with_indexes(page), page) for page in pages(list(keys)))

    def entries(self, *, now: float, since: float | None = None, bodies: bool = False) -> Iterator[Entry]:
        """Those that are there now, but for what goes meanwhile."""
        after = "-inf" if since is None else f"({since!r}"
        names = self._run(lambda client: client.zrangebyscore(self._indexes[0], after, "+inf"))
        fields = ("head", "rest") if bodies else ("head",)
        read = self._reader.entry if bodies else self._reader.listed
        for page in pages([_text(name) for name in names]):
            found = dict(zip(page, self._read(page, *fields), strict=True))
            if gone := [name for name, (head, *_) in found.items() if head is None]:
                self._script(_FORGET, self._with_indexes(gone), gone)
            for name, parts in found.items():
                entry = None if name in gone else read(name, *parts, now=now)
                if entry is not None:
                    yield entry

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to the counters: to all of them or to none."""
        self._script(_ADD, [self._counters], [part for count in counts.items() for part in count])

    def counts(self) -> dict[str, int]:
        """The counters since the server was started empty."""
        found = self._run(lambda client: client.hgetall(self._counters))
        return {_text(name): _number(_text(count)) for name, count in found.items()}

    def claim(self, key: str, *, owner: str, seconds: float, now: float) -> bool:
        """Whether no other process has claimed it; the server's clock ends the claim."""
        return bool(self._script(_CLAIM, [self._claim(key)], [owner, _milliseconds(seconds)]))

    def release(self, key: str, *, owner: str) -> None:
        """Give up a claim."""
        self._script(_RELEASE, [self._claim(key)], [owner])

    def _read(self, names: list[str], *fields: str) -> list[list[Any]]:
        """The fields of entries; None each for one that is not there."""

        def read(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.execute_command("HMGET", self._entry(name), *fields, NEVER_DECODE=True)
            return [_values(answer, fields) for answer in pipeline.execute(raise_on_error=False)]

        return self._run(read)

    def _script(self, script: str, keys: list[str], arguments: Sequence[Any]) -> Any:
        return self._run(lambda client: client.register_script(script)(keys=keys, args=arguments))

    def _run(self, commands: Callable[[Any], T]) -> T:
        return drive(self._server.run(SYNC, commands))  # the store's caller has chosen the thread

    def _entry(self, name: str) -> str:
        return f"{self._here}:entry:{name}"

    def _claim(self, name: str) -> str:
        return f"{self._here}:claim:{name}"

    def _with_indexes(self, names: list[str]) -> list[str]:
        return [*self._indexes, *map(self._entry, names)]


def _values(answer: Any, fields: Sequence[str]) -> list[Any]:
    if not isinstance(answer, Exception):
        values: list[Any] = answer
        return values
    if str(answer).startswith("WRONGTYPE"):  # another program's, which the reader warns of
        return [b""] * len(fields)
    raise answer


def _milliseconds(seconds: float) -> int:
    return math.ceil(1000 * min(max(seconds, 0.001), _LONGEST))


def _number(text: str) -> int:
    """0 for another program's text."""
    try:
        return int(text)
    except ValueError:
        return 0


def _text(value: str | bytes) -> str:
    """Depends on the client's `decode_responses`."""
    return value if isinstance(value, str) else value.decode(errors="replace")
