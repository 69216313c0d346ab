"""Budgets that several machines share, in Redis."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeVar

from llmkit.budgets.ledger import Charge, Refusal
from llmkit.budgets.windows import GRACE
from llmkit.redis_server import RedisServer
from llmkit.runtime import SYNC
from llmkit.sync import drive

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

_SCRIPT: Final = """
-- KEYS: a mark that this was done, then a sum for each charge; ARGV: seconds to keep the mark, then of each charge
-- its amount, the most that the sum may be ('' for no limit) and the seconds to keep the sum.
if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
for i = 2, #KEYS do
  local amount, most = tonumber(ARGV[3 * i - 4]), tonumber(ARGV[3 * i - 3])
  local spent = redis.call('GET', KEYS[i]) or '0'
  if most and tonumber(spent) + amount > most then return {i - 2, spent} end
end
for i = 2, #KEYS do
  if redis.call('INCRBY', KEYS[i], ARGV[3 * i - 4]) < 0 then redis.call('SET', KEYS[i], '0') end
  redis.call('EXPIRE', KEYS[i], ARGV[3 * i - 2])
end
redis.call('SET', KEYS[1], '', 'EX', ARGV[1])
return nil
"""
"""One command a call: nothing comes in between, and when a lost answer has it sent again it is done once."""


class RedisLedger:
    """Keeps the figures in Redis (6 or newer), for all machines that name the same server and `prefix`.

    `server` is a URL or a `redis.Redis` of your own, cluster clients included. Each key holds one sum and expires an
    hour after its window; key names hold the limit, the window and the values of the budget's tags. Raises
    `RedisUnavailable` when the server does not answer within `timeout` seconds. Needs: pip install "llmkit[redis]".
    """

    blocks = True

    def __init__(self, server: str | redis.Redis, *, prefix: str = "llmkit:budget", timeout: float = 1.0) -> None:
        if "{" in prefix or "}" in prefix:
            raise ValueError(f"prefix={prefix!r} has braces, which say where keys are kept in a cluster; use none")
        self._server = RedisServer(server, timeout=timeout)
        self._prefix = prefix

    def reserve(self, charges: Sequence[Charge], *, now: float) -> Refusal | None:
        """Book all charges or none, in one command."""
        refused = self._book(charges, once=uuid.uuid4().hex, now=now)
        return None if refused is None else Refusal(charges[refused[0]], int(refused[1]))

    def settle(self, charges: Sequence[Charge], *, once: str, now: float) -> None:
        """Book all charges, in one command for each scope."""
        in_order = sorted((charge for charge in charges if charge.ends + GRACE > now), key=lambda charge: charge.key)
        for _, group in groupby(in_order, key=lambda charge: charge.scope):
            self._book([replace(charge, most=None) for charge in group], once=once, now=now)

    def spent(self, charges: Sequence[Charge]) -> list[int]:
        """What is booked."""
        keys = [self._key(charge) for charge in charges]
        return [int(value or 0) for value in self._run(lambda client: client.mget(keys))]

    def _book(self, charges: Sequence[Charge], *, once: str, now: float) -> Any:
        keys = [f"{self._prefix}:{{{charges[0].scope}}}:done:{once}", *map(self._key, charges)]
        values: list[int | str] = [GRACE]
        for charge in charges:
            most = "" if charge.most is None else charge.most
            values += [charge.amount, most, math.ceil(charge.ends - now) + GRACE]
        return self._run(lambda client: client.register_script(_SCRIPT)(keys=keys, args=values))

    def _run(self, commands: Callable[[Any], T]) -> T:
        return drive(self._server.run(SYNC, commands))  # the ledger's caller has chosen the thread

    def _key(self, charge: Charge) -> str:
        """The braces have a cluster keep all keys of a scope in one place, where one script may use them."""
        return f"{self._prefix}:{{{charge.scope}}}:{charge.name}:{charge.window}"
