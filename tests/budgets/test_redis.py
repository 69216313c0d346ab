from __future__ import annotations

import uuid

import pytest
import redis
from budgets.ledgers import ENDS, NOW, charge
from redis_servers import LocalRedis

from llmkit.budgets import RedisLedger, Refusal
from llmkit.errors import RedisUnavailable


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex}"


def test_each_sum_has_a_key_that_goes_an_hour_after_its_window(redis_url: str, prefix: str) -> None:
    ledger, client = RedisLedger(redis_url, prefix=prefix), redis.Redis.from_url(redis_url, decode_responses=True)
    ledger.reserve([charge(7), charge(9, name="daily_usd", ends=NOW + 6400.5)], now=NOW)
    tokens, dollars = (
        f"{prefix}:{{user:user=alice}}:{name}:2023-11-14T22:13" for name in ("minute_tokens", "daily_usd")
    )
    done = [key for key in client.scan_iter(f"{prefix}:*") if ":done:" in key]
    assert sorted(client.scan_iter(f"{prefix}:*")) == sorted([tokens, dollars, *done])
    assert (client.get(tokens), client.get(dollars), client.get(done[0])) == ("7", "9", "")
    assert 3600 < client.ttl(tokens) <= 3640
    assert 10_000 < client.ttl(dollars) <= 10_001
    assert 3590 < client.ttl(done[0]) <= 3600
    client.close()


def test_a_settlement_that_is_sent_again_is_done_once(redis_url: str, prefix: str) -> None:
    ledger = RedisLedger(redis_url, prefix=prefix)
    charges = [charge(60), charge(5, scope="all:"), charge(7, scope="all:", name="daily_usd")]
    ledger.settle(charges, once="a", now=NOW)
    ledger.settle(charges, once="a", now=NOW)
    assert ledger.spent([charge(0)]) == [60]
    assert ledger.spent(charges[1:]) == [5, 7]
    ledger.settle(charges, once="b", now=NOW)
    assert ledger.spent([charge(0)]) == [120]


def test_a_client_of_ones_own_is_used(redis_url: str, prefix: str) -> None:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    ledger = RedisLedger(client, prefix=prefix)
    assert ledger.reserve([charge(100)], now=NOW) is None
    assert ledger.reserve([charge(1)], now=NOW) == Refusal(charge(1), 100)
    client.close()


def test_a_prefix_with_braces_is_refused(redis_url: str) -> None:
    with pytest.raises(ValueError, match=r"prefix='a\{b\}' has braces"):
        RedisLedger(redis_url, prefix="a{b}")


def test_a_dead_server_is_an_error_and_so_is_one_that_is_not_there_at_first(local_redis: LocalRedis) -> None:
    ledger = RedisLedger(local_redis.url, timeout=0.2)
    assert ledger.reserve([charge(60)], now=NOW) is None
    local_redis.kill()
    with pytest.raises(RedisUnavailable):
        ledger.reserve([charge(60)], now=NOW)
    with pytest.raises(RedisUnavailable):
        RedisLedger(local_redis.url).spent([charge(0)])


def test_a_restarted_server_has_forgotten_the_script_and_the_figures(local_redis: LocalRedis) -> None:
    ledger = RedisLedger(local_redis.url)
    assert ledger.reserve([charge(60)], now=NOW) is None
    local_redis.kill()
    local_redis.start()
    assert ledger.reserve([charge(60)], now=ENDS - 1) is None
    ledger.settle([charge(-100)], once="a", now=ENDS - 1)
    assert ledger.spent([charge(0)]) == [0]
