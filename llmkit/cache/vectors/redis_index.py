"""Similar texts that several machines share, in the vector sets of Redis 8."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from llmkit.cache.vectors.index import Neighbour
from llmkit.cache.vectors.unit import load, refuse_length, unit
from llmkit.errors import LLMKitError
from llmkit.redis_server import RedisServer
from llmkit.runtime import SYNC
from llmkit.sync import drive

if TYPE_CHECKING:
    import redis

    from llmkit.cache.vectors.unit import Numbers

T = TypeVar("T")

_DROP: Final = """
-- KEYS: the partition of each key, the end of each; ARGV[1]: how the names of the partitions' vector sets begin.
local function drop(key)
  local partition = redis.call('HGET', KEYS[1], key)
  if not partition then return end
  redis.pcall('VREM', ARGV[1] .. partition, key) -- another program's value there is no matter of other partitions
  redis.call('HDEL', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
end
"""
_ADD: Final = f"""{_DROP}
-- ARGV from the second on: partition, key, vector, now, end.
for _, key in ipairs(redis.call('ZRANGE', KEYS[2], '-inf', ARGV[5], 'BYSCORE', 'LIMIT', 0, 50)) do drop(key) end
local set, length = ARGV[1] .. ARGV[2], #ARGV[4] / 4
if redis.call('EXISTS', set) == 1 and redis.call('VDIM', set) ~= length then return redis.call('VDIM', set) end
drop(ARGV[3])
redis.call('VADD', set, 'FP32', ARGV[4], ARGV[3], 'Q8', 'SETATTR', '{{"end":' .. ARGV[6] .. '}}')
redis.call('HSET', KEYS[1], ARGV[3], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[6], ARGV[3])
return length
"""
"""Gives the length of the partition's vectors. Forgets up to 50 that have expired, wherever, in 0.1 ms each."""
_REMOVE: Final = f"{_DROP} for i = 2, #ARGV do drop(ARGV[i]) end"
_REMOVED_AT_ONCE = 100
"""Within the timeout, and without keeping other clients waiting for long."""
_LOOKED_AT = 10_000
"""Expired neighbours that a search goes through for one that has not; it takes up to some milliseconds."""
_NEVER = 9e15
"""The end of what does not expire, in seconds since the epoch."""


class RedisIndex:
    """Finds the nearest vectors in Redis 8, for all machines that name the same server and `prefix`.

    `server` is a URL or a `redis.Redis` of your own, cluster clients included, where all is kept on one node. Scores
    are exact to 0.002, since the server keeps a byte for each number. Raises `RedisUnavailable` when it does not
    answer within `timeout` seconds, or refuses. Needs the extras: pip install "llmkit[redis,semantic]".
    """

    blocks = True
    shared = True

    def __init__(self, server: str | redis.Redis, *, prefix: str = "llmkit:vectors", timeout: float = 1.0) -> None:
        if "{" in prefix or "}" in prefix:
            raise ValueError(f"prefix={prefix!r} has braces, which say where keys are kept in a cluster; use none")
        load()
        self._server = RedisServer(server, timeout=timeout)
        self._keys = [f"{{{prefix}}}:partitions", f"{{{prefix}}}:ends"]
        self._sets = f"{{{prefix}}}:in:"

    def add(self, partition: str, key: str, vector: Sequence[float], *, expires_at: float | None, now: float) -> None:
        """Keep a vector, in place of any other under its key."""
        made = unit(vector)
        end = _NEVER if expires_at is None else min(expires_at, _NEVER)
        kept = self._script(_ADD, [partition, key, _blob(made), f"{now:.6f}", f"{end:.6f}"])
        refuse_length(len(made), int(kept))

    def search(self, partition: str, vector: Sequence[float], *, most: int, now: float) -> list[Neighbour]:
        """The `most` nearest of the partition that have not expired, best first."""
        wanted, name = unit(vector), self._sets + partition
        options = "WITHSCORES", "COUNT", most, "FILTER", f".end > {now:.6f}", "FILTER-EF", _LOOKED_AT

        def ask(client: Any) -> Any:
            try:
                return client.execute_command("VSIM", name, "FP32", _blob(wanted), *options)
            except _refusal() as error:
                if "dimension" in str(error):
                    refuse_length(len(wanted), int(client.execute_command("VDIM", name)))
                raise

        return [_neighbour(key, score) for key, score in _pairs(self._run(ask))]

    def remove(self, keys: Iterable[str]) -> None:
        """Forget vectors; keys that are not there are passed over."""
        rest = iter(keys)
        while some := list(islice(rest, _REMOVED_AT_ONCE)):
            self._script(_REMOVE, some)

    def _script(self, script: str, values: Sequence[str | bytes]) -> Any:
        arguments = [self._sets, *values]
        return self._run(lambda client: client.register_script(script)(keys=self._keys, args=arguments))

    def _run(self, commands: Callable[[Any], T]) -> T:
        return drive(self._server.run(SYNC, lambda client: _with_vector_sets(client, commands)))


def _with_vector_sets(client: Any, commands: Callable[[Any], T]) -> T:
    try:
        return commands(client)
    except _refusal() as error:
        if re.search("unknown (redis )?command", str(error), re.IGNORECASE):
            raise LLMKitError("this Redis server has no vector sets: RedisIndex needs Redis 8 or newer") from None
        raise


def _refusal() -> type[Exception]:
    import redis

    return redis.ResponseError


def _blob(vector: Numbers) -> bytes:
    return vector.astype("<f4").tobytes()


def _pairs(answer: dict[Any, Any] | Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    """Keys and scores, as the client's version of the protocol gives them."""
    return answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)


def _neighbour(key: bytes | str, score: float | bytes | str) -> Neighbour:
    """Redis gives (1 + cosine) / 2."""
    return Neighbour(key.decode() if isinstance(key, bytes) else key, max(-1.0, min(1.0, 2 * float(score) - 1)))
