from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest
import redis
from redis_servers import LocalRedis

from llmkit.cache.vectors import Neighbour, RedisIndex
from llmkit.errors import LLMKitError, RedisUnavailable

NOW = 1_700_000_000.0


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex}"


def test_what_one_process_adds_another_finds_and_removes(redis_8_url: str, prefix: str) -> None:
    one, other = RedisIndex(redis_8_url, prefix=prefix), RedisIndex(redis_8_url, prefix=prefix)
    one.add("p", "a", [1, 0], expires_at=None, now=NOW)
    assert other.search("p", [1, 0], most=1, now=NOW) == [Neighbour("a", 1.0)]
    other.remove(["a"])
    assert one.search("p", [1, 0], most=1, now=NOW) == []
    assert RedisIndex(redis_8_url, prefix=f"{prefix}2").search("p", [1, 0], most=1, now=NOW) == []


def test_nothing_is_left_of_what_was_removed_or_has_expired_and_each_addition_sees_to_it(
    redis_8_url: str, prefix: str
) -> None:
    index, client = RedisIndex(redis_8_url, prefix=prefix), redis.Redis.from_url(redis_8_url, decode_responses=True)
    for number in range(120):
        index.add(f"{number}", f"key {number}", [1, number], expires_at=NOW + 1, now=NOW)
    assert len(list(client.scan_iter(f"{{{prefix}}}:*", count=1000))) == 122
    for left in (71, 21, 1):
        index.add("p", "a", [1, 0], expires_at=NOW + 9, now=NOW + 1)
        assert len(list(client.scan_iter(f"{{{prefix}}}:*", count=1000))) == left + 2
        assert client.hlen(f"{{{prefix}}}:partitions") == client.zcard(f"{{{prefix}}}:ends") == left
    index.remove(["a"])
    assert list(client.scan_iter(f"{{{prefix}}}:*", count=1000)) == []
    client.close()


def test_a_vector_set_that_the_server_has_evicted_is_no_trouble(redis_8_url: str, prefix: str) -> None:
    index, client = RedisIndex(redis_8_url, prefix=prefix), redis.Redis.from_url(redis_8_url)
    index.add("p", "a", [1, 0], expires_at=NOW + 1, now=NOW)
    index.add("p", "b", [1, 0], expires_at=float("inf"), now=NOW)
    client.delete(f"{{{prefix}}}:in:p")
    index.remove(["b"])
    assert index.search("p", [1, 0], most=1, now=NOW) == []
    index.add("p", "a", [1, 0, 0], expires_at=None, now=NOW)
    assert index.search("p", [1, 0, 0], most=2, now=NOW) == [Neighbour("a", 1.0)]
    client.close()


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode_responses", [False, True])
def test_a_client_of_ones_own_is_used_whatever_it_speaks(
    redis_8_url: str, prefix: str, protocol: int, decode_responses: bool
) -> None:
    options: dict[str, Any] = {"protocol": protocol, "decode_responses": decode_responses}
    client = redis.Redis.from_url(redis_8_url, **options)
    index = RedisIndex(client, prefix=prefix)
    index.add("p", "schlüssel", [1, 0], expires_at=NOW + 1, now=NOW)
    index.add("p", "b", [0, 1], expires_at=NOW + 1, now=NOW)
    found = index.search("p", [1, 0], most=2, now=NOW)
    assert found == [Neighbour("schlüssel", 1.0), Neighbour("b", pytest.approx(0, abs=0.01))]
    client.close()


def test_scores_of_long_vectors_are_exact_to_two_thousandths(redis_8_url: str, prefix: str) -> None:
    numbers = np.random.default_rng(1)
    index = RedisIndex(redis_8_url, prefix=prefix)
    vectors = numbers.standard_normal((50, 1536))
    for number, vector in enumerate(vectors):
        index.add("p", str(number), vector.tolist(), expires_at=None, now=NOW)
    for number, vector in enumerate(vectors):
        wanted = vector + 0.3 * numbers.standard_normal(1536)
        right = vector @ wanted / np.linalg.norm(vector) / np.linalg.norm(wanted)
        assert index.search("p", wanted.tolist(), most=1, now=NOW) == [
            Neighbour(str(number), pytest.approx(right, abs=0.002))
        ]


def test_an_older_server_is_named_as_what_is_wrong(local_redis: LocalRedis) -> None:
    index = RedisIndex(local_redis.url)
    for _ in range(2):
        with pytest.raises(LLMKitError, match=r"has no vector sets: RedisIndex needs Redis 8 or newer"):
            index.add("p", "a", [1, 0], expires_at=None, now=NOW)
        with pytest.raises(LLMKitError, match=r"has no vector sets: RedisIndex needs Redis 8 or newer"):
            index.search("p", [1, 0], most=1, now=NOW)
    index.remove(["a"])


def test_a_server_that_refuses_or_is_dead_is_unavailable(
    redis_8_url: str, prefix: str, local_redis: LocalRedis
) -> None:
    client = redis.Redis.from_url(redis_8_url)
    client.set(f"{{{prefix}}}:in:p", "not a vector set")
    with pytest.raises(RedisUnavailable, match="failed with ResponseError"):
        RedisIndex(client, prefix=prefix).add("p", "a", [1, 0], expires_at=None, now=NOW)
    with pytest.raises(RedisUnavailable, match="failed with ResponseError"):
        RedisIndex(client, prefix=prefix).search("p", [1, 0], most=1, now=NOW)
    client.delete(f"{{{prefix}}}:in:p")
    client.close()
    local_redis.kill()
    with pytest.raises(RedisUnavailable, match="failed with ConnectionError"):
        RedisIndex(local_redis.url, timeout=0.2).search("p", [1, 0], most=1, now=NOW)


def test_a_foreign_value_in_one_partition_is_no_trouble_of_the_others(redis_8_url: str, prefix: str) -> None:
    index, client = RedisIndex(redis_8_url, prefix=prefix), redis.Redis.from_url(redis_8_url)
    index.add("p", "a", [1, 0], expires_at=None, now=NOW)
    index.add("q", "b", [1, 0], expires_at=NOW + 1, now=NOW)
    client.set(f"{{{prefix}}}:in:q", "not a vector set")
    for _ in range(2):
        with pytest.raises(RedisUnavailable, match="failed with ResponseError"):
            index.search("q", [1, 0], most=1, now=NOW)
        with pytest.raises(RedisUnavailable, match="failed with ResponseError"):
            index.add("q", "c", [1, 0], expires_at=None, now=NOW)
        assert index.search("p", [1, 0], most=1, now=NOW) == [Neighbour("a", 1.0)]
    index.add("p", "d", [0, 1], expires_at=None, now=NOW + 2)  # which forgets "b"
    index.remove(["a", "b"])
    assert index.search("p", [0, 1], most=2, now=NOW) == [Neighbour("d", 1.0)]
    client.delete(f"{{{prefix}}}:in:q")
    client.close()


def test_a_prefix_with_braces_is_refused() -> None:
    with pytest.raises(ValueError, match=r"prefix='a\{b\}' has braces"):
        RedisIndex("redis://127.0.0.1:1", prefix="a{b}")
