from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import redis
from cache.stores import FULL, KEY, NOW, entry, long_entry
from redis_servers import LocalRedis

from llmkit.cache.redis import RedisStore
from llmkit.errors import RedisUnavailable


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def store(redis_url: str, prefix: str) -> RedisStore:
    return RedisStore(redis_url, prefix=prefix, timeout=10)


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as connected:
        yield connected


def test_it_does_io() -> None:
    assert RedisStore.blocks is True


def test_a_prefix_with_braces_is_refused(redis_url: str) -> None:
    with pytest.raises(ValueError, match=r"prefix='a\{b\}' has braces"):
        RedisStore(redis_url, prefix="a{b}")


def test_all_keys_are_in_one_place_of_a_cluster_and_entries_expire(store: RedisStore, prefix: str, client: Any) -> None:
    store.put(FULL, now=NOW)
    store.put(entry(1, ends=None), now=NOW)
    store.claim(KEY, owner="a", seconds=60, now=NOW)
    store.add({"hits": 1})
    names = {f"{{{prefix}}}:{name}" for name in ("by_age", "by_expiry", "counters", f"claim:{KEY}")}
    full, endless = f"{{{prefix}}}:entry:{KEY}", f"{{{prefix}}}:entry:{entry(1).key}"
    assert set(client.scan_iter(f"{{{prefix}}}*")) == names | {full, endless}
    assert 3_590_000 < client.pttl(full) <= 3_600_500
    assert client.pttl(endless) == -1
    assert client.zrange(f"{{{prefix}}}:by_expiry", 0, -1, withscores=True) == [(KEY, NOW + 3600.5)]
    assert 59_000 < client.pttl(f"{{{prefix}}}:claim:{KEY}") <= 60_000


def test_an_entry_for_ever_loses_the_expiry_of_the_one_before(store: RedisStore, prefix: str, client: Any) -> None:
    store.put(FULL, now=NOW)
    store.put(replace(FULL, expires_at=None), now=NOW)
    assert client.pttl(f"{{{prefix}}}:entry:{KEY}") == -1
    assert client.zcard(f"{{{prefix}}}:by_expiry") == 0
    store.put(replace(FULL, expires_at=NOW + 1e15), now=NOW)
    assert client.pttl(f"{{{prefix}}}:entry:{KEY}") > 9e11


def test_a_client_of_ones_own_is_used_whether_it_decodes_or_not(redis_url: str, store: RedisStore, prefix: str) -> None:
    store.put(FULL, now=NOW)
    store.add({"hits": 1})
    for decodes in (True, False):
        with closing(redis.Redis.from_url(redis_url, decode_responses=decodes)) as own:
            other = RedisStore(own, prefix=prefix)
            other.put(replace(FULL, key="another", body=b"\xff", size=-1), now=NOW)
            assert other.get(KEY, now=NOW) == FULL
            assert list(other.entries(now=NOW, bodies=True))[1] == FULL
            assert other.counts() == {"hits": 1}
            assert other.delete(["another"]) == 1


def test_a_claim_is_made_longer_by_its_owner_and_released_by_nobody_else(
    store: RedisStore, prefix: str, client: Any
) -> None:
    assert store.claim(KEY, owner="a", seconds=60, now=NOW)
    assert store.claim(KEY, owner="a", seconds=120, now=NOW)
    assert client.pttl(f"{{{prefix}}}:claim:{KEY}") > 60_000
    store.release(KEY, owner="b")
    assert client.get(f"{{{prefix}}}:claim:{KEY}") == "a"
    store.release(KEY, owner="a")
    assert client.get(f"{{{prefix}}}:claim:{KEY}") is None


def test_each_put_takes_some_that_have_expired_out_of_the_index(store: RedisStore, prefix: str, client: Any) -> None:
    for number in range(30):
        store.put(entry(number, ends=NOW + 60), now=NOW)
    store.put(entry(100, ends=None), now=NOW + 60)
    assert client.zcard(f"{{{prefix}}}:by_age") == 11
    assert client.zcard(f"{{{prefix}}}:by_expiry") == 10
    assert len(list(client.scan_iter(f"{{{prefix}}}:entry:*"))) == 11
    store.put(entry(101, ends=None), now=NOW + 60)
    assert client.zrange(f"{{{prefix}}}:by_age", 0, -1) == [entry(100).key, entry(101).key]


def test_what_the_server_has_evicted_is_left_out_and_forgotten(store: RedisStore, prefix: str, client: Any) -> None:
    for number in range(5):
        store.put(entry(number, made=NOW + number), now=NOW)
    client.delete(*(f"{{{prefix}}}:entry:{entry(number).key}" for number in (1, 3)))
    assert store.get(entry(1).key, now=NOW) is None
    assert [found.created_at - NOW for found in store.entries(now=NOW)] == [0, 2, 4]
    assert client.zcard(f"{{{prefix}}}:by_age") == client.zcard(f"{{{prefix}}}:by_expiry") == 3
    assert store.delete([entry(3).key]) == 0


@pytest.mark.parametrize("kind", ["text", "list", "hash", "head", "rest", "damaged head", "damaged rest", "other key"])
def test_a_foreign_or_damaged_value_is_not_there_and_is_warned_of_once(
    store: RedisStore, prefix: str, client: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    store.put(FULL, now=NOW)
    store.put(entry(1), now=NOW)
    name = f"{{{prefix}}}:entry:{KEY}"
    if kind in {"text", "list", "hash"}:
        client.delete(name)
    {
        "text": lambda: client.set(name, "my notes"),
        "list": lambda: client.rpush(name, "my notes"),
        "hash": lambda: client.hset(name, "head", "my notes"),
        "head": lambda: client.hdel(name, "rest"),
        "rest": lambda: client.hset(name, "rest", ""),
        "damaged head": lambda: client.hset(name, "head", "my notes"),
        "damaged rest": lambda: client.hset(name, "rest", "my notes"),
        "other key": lambda: client.copy(f"{{{prefix}}}:entry:{entry(1).key}", name, replace=True),
    }[kind]()
    for _ in range(2):
        assert store.get(KEY, now=NOW) is None
        assert list(store.entries(now=NOW, bodies=True)) == [entry(1)]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"the cache {prefix} in Redis: the entry {KEY} is left out: it")
    assert "notes" not in caplog.text
    store.put(FULL, now=NOW)
    assert store.get(KEY, now=NOW) == FULL


def test_a_list_reads_no_answers(store: RedisStore, prefix: str, client: Any) -> None:
    store.put(long_entry(1), now=NOW)
    client.hset(f"{{{prefix}}}:entry:{long_entry(1).key}", "rest", "")
    assert [found.size for found in store.entries(now=NOW)] == [len(long_entry(1).body)]


def test_other_programs_keys_are_neither_read_nor_searched(local_redis: LocalRedis) -> None:
    store = RedisStore(local_redis.url)
    with closing(redis.Redis.from_url(local_redis.url)) as client:
        client.set("theirs", "1")
        store.put(FULL, now=NOW)
        list(store.entries(now=NOW))
        store.delete([KEY])
        store.counts()
        used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
        assert not used & {"scan", "keys", "flushdb", "flushall", "randomkey"}
        assert client.get("theirs") == b"1"


def test_a_dead_server_is_an_error_and_so_is_one_that_is_not_there_at_first(local_redis: LocalRedis) -> None:
    store = RedisStore(local_redis.url, timeout=0.5)
    store.put(FULL, now=NOW)
    local_redis.kill()
    with pytest.raises(RedisUnavailable):
        store.get(KEY, now=NOW)
    with pytest.raises(RedisUnavailable, match="left alone for a while"):
        store.put(FULL, now=NOW)
    with pytest.raises(RedisUnavailable):
        next(RedisStore(local_redis.url, timeout=0.5).entries(now=NOW))


def test_a_restarted_server_has_forgotten_the_scripts_the_answers_and_the_claims(local_redis: LocalRedis) -> None:
    store = RedisStore(local_redis.url, timeout=10)
    store.put(FULL, now=NOW)
    store.add({"hits": 1})
    assert store.claim(KEY, owner="a", seconds=60, now=NOW)
    local_redis.kill()
    local_redis.start()
    assert store.get(KEY, now=NOW) is None
    assert list(store.entries(now=NOW)) == []
    assert store.counts() == {}
    assert store.claim(KEY, owner="b", seconds=60, now=NOW)
    store.release(KEY, owner="b")
    assert store.delete([KEY]) == 0
    store.put(FULL, now=NOW)
    assert store.get(KEY, now=NOW) == FULL


def test_what_the_server_refuses_is_an_error(local_redis: LocalRedis) -> None:
    with closing(redis.Redis.from_url(local_redis.url)) as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+@all", "-hmget")
    store = RedisStore(local_redis.url.replace("redis://", "redis://reader:any@"), timeout=10)
    with pytest.raises(RedisUnavailable, match="NoPermissionError"):
        store.get(KEY, now=NOW)


def test_a_server_whose_memory_is_full_keeps_what_it_has_and_gives_it(local_redis: LocalRedis) -> None:
    store = RedisStore(local_redis.url, timeout=10)
    store.put(FULL, now=NOW)
    with closing(redis.Redis.from_url(local_redis.url)) as client:
        client.config_set("maxmemory", 1)
    for _ in range(2):
        with pytest.raises(RedisUnavailable, match=r"failed with ResponseError \(OOM\)"):
            store.put(replace(FULL, body=b"{}", size=-1), now=NOW)
        assert store.get(KEY, now=NOW) == FULL


def test_a_replica_gives_what_it_has(local_redis: LocalRedis) -> None:
    store = RedisStore(local_redis.url, timeout=10)
    store.put(FULL, now=NOW)
    with closing(redis.Redis.from_url(local_redis.url)) as client:
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(RedisUnavailable, match=r"failed with ResponseError \(READONLY\)"):
            store.put(entry(1), now=NOW)
        assert store.get(KEY, now=NOW) == FULL


@pytest.mark.parametrize("name", ["by_age", "by_expiry", "counters"])
def test_a_foreign_value_in_the_place_of_an_index_stops_no_reading(
    store: RedisStore, prefix: str, client: Any, name: str
) -> None:
    store.put(FULL, now=NOW)
    client.set(f"{{{prefix}}}:{name}", "another program's")
    with pytest.raises(RedisUnavailable, match=r"failed with ResponseError \(WRONGTYPE\)"):
        store.add({"hits": 1}) if name == "counters" else store.put(entry(1), now=NOW)
    assert store.get(KEY, now=NOW) == FULL


def test_a_counter_that_is_no_number_is_0_and_begins_anew(store: RedisStore, prefix: str, client: Any) -> None:
    store.add({"hits": 1, "misses": 1})
    client.hset(f"{{{prefix}}}:counters", "hits", "another program's")
    assert store.counts() == {"hits": 0, "misses": 1}
    store.add({"misses": 2, "hits": 3, "stored": 4})
    assert store.counts() == {"hits": 3, "misses": 3, "stored": 4}
