"""What every store does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from cache.stores import FULL, KEY, KINDS, NOW, entry, long_entry, opened

from llmkit.cache.entry import Entry
from llmkit.cache.memory import MemoryStore
from llmkit.cache.store import CacheStore

Make = Callable[[], CacheStore]


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Make]:
    with opened(request.param, redis_url) as stores:
        yield stores


@pytest.mark.parametrize(
    "kept",
    [
        FULL,
        entry(1),
        long_entry(1),
        replace(FULL, events=None, vector=None, size=-1),
        replace(FULL, events=b"", vector=b"", body=b"not UTF-8: \xff\x00", size=-1),
        replace(FULL, key='an\nodd "key" \u00e9\U0001f600\x00 {}', model=None, tags={"a\nb": 'c"\u00e9'}),
        replace(FULL, expires_at=None, request_id=None, cost=None, partition=None),
    ],
    ids=["full", "small", "long", "without events", "odd bytes", "odd text", "without facts"],
)
def test_an_entry_comes_back_as_it_was_put(make: Make, kept: Entry) -> None:
    store, other = make(), make()
    store.put(kept, now=NOW)
    assert store.get(kept.key, now=NOW) == kept
    assert other.get(kept.key, now=NOW) == kept
    assert list(other.entries(now=NOW, bodies=True)) == [kept]
    assert list(other.entries(now=NOW)) == [replace(kept, body=b"", events=None, vector=None)]
    assert [listed.size for listed in other.entries(now=NOW)] == [kept.size]


def test_what_was_never_put_is_not_there(make: Make) -> None:
    store = make()
    assert store.get(KEY, now=NOW) is None
    assert list(store.entries(now=NOW)) == []
    assert store.delete([KEY]) == 0
    assert store.counts() == {}


def test_an_entry_takes_the_place_of_the_one_before(make: Make) -> None:
    store = make()
    store.put(FULL, now=NOW)
    store.put(replace(FULL, body=b"{}", events=None, size=-1, expires_at=None), now=NOW)
    found = store.get(KEY, now=NOW + 1e6)
    assert found == replace(FULL, body=b"{}", events=None, size=-1, expires_at=None)
    assert len(list(store.entries(now=NOW))) == 1
    store.put(FULL, now=NOW)
    assert store.get(KEY, now=NOW + 1e6) is None


def test_an_entry_expires_to_the_moment(make: Make) -> None:
    store = make()
    for number, ends in enumerate((NOW + 10, NOW + 20, None)):
        store.put(entry(number, ends=ends), now=NOW)
    assert [store.get(entry(number).key, now=NOW + 9.9) is not None for number in range(3)] == [True] * 3
    assert [found.key for found in store.entries(now=NOW + 10)] == [entry(1).key, entry(2).key]
    assert [store.get(entry(number).key, now=NOW + 10) is not None for number in range(3)] == [False, True, True]
    assert [store.get(entry(number).key, now=NOW + 20) is not None for number in range(3)] == [False, False, True]


def test_an_entry_that_has_expired_already_is_not_there(make: Make) -> None:
    store = make()
    store.put(entry(1), now=NOW)
    store.put(entry(1, ends=NOW), now=NOW)
    assert store.get(entry(1).key, now=NOW) is None
    assert list(store.entries(now=NOW)) == []


def test_entries_are_listed_by_age_from_a_moment_on(make: Make) -> None:
    store = make()
    for number in (3, 1, 2):
        store.put(entry(number, made=NOW + number), now=NOW)

    def numbers(**options: float | bool) -> list[float]:
        return [found.created_at - NOW for found in store.entries(now=NOW, **options)]

    assert numbers() == [1, 2, 3]
    assert numbers(since=NOW + 1) == [2, 3]
    assert numbers(since=NOW + 1.5, bodies=True) == [2, 3]
    assert numbers(since=NOW + 3) == []


def test_a_long_list_is_whole_while_entries_come_and_go(make: Make) -> None:
    store = make()
    for number in range(250):
        store.put(entry(number, made=NOW + number), now=NOW)
    listed = store.entries(now=NOW, bodies=True)
    first = next(listed)
    store.put(entry(999, made=NOW + 999), now=NOW)
    store.delete([entry(240).key])
    rest = list(listed)
    assert [first, *rest][:240] == [entry(number, made=NOW + number) for number in range(240)]
    assert [found.key for found in rest[-9:]] == [entry(number).key for number in range(241, 250)]


def test_what_is_deleted_is_gone_and_counted_once(make: Make) -> None:
    store, other = make(), make()
    for number in range(250):
        store.put(entry(number), now=NOW)
    assert store.delete([entry(7).key, entry(7).key, entry(8).key, "unknown"]) == 2
    assert other.get(entry(7).key, now=NOW) is None
    assert other.delete([]) == 0
    assert other.delete(found.key for found in store.entries(now=NOW)) == 248
    assert list(store.entries(now=NOW)) == []


def test_counters_begin_at_zero_and_add_up(make: Make) -> None:
    store, other = make(), make()
    store.add({"hits": 1, "saved_nanos": 9 * 10**15})
    other.add({"hits": 2, "misses": 5})
    other.add({})
    assert store.counts() == {"hits": 3, "misses": 5, "saved_nanos": 9 * 10**15}


def test_a_claim_is_held_by_its_owner_alone_until_it_is_released(make: Make) -> None:
    store, other = make(), make()
    alone = not store.blocks
    assert store.claim(KEY, owner="a", seconds=60, now=NOW)
    assert store.claim(KEY, owner="a", seconds=90, now=NOW)
    assert other.claim(KEY, owner="b", seconds=60, now=NOW) is alone
    other.release(KEY, owner="b")
    assert other.claim(KEY, owner="b", seconds=60, now=NOW) is alone
    assert other.claim("another", owner="b", seconds=60, now=NOW)
    store.release(KEY, owner="a")
    store.release(KEY, owner="a")
    assert other.claim(KEY, owner="b", seconds=60, now=NOW)


def test_a_claim_is_no_entry(make: Make) -> None:
    store = make()
    store.claim(KEY, owner="a", seconds=60, now=NOW)
    assert store.get(KEY, now=NOW) is None
    assert list(store.entries(now=NOW)) == []


def test_threads_read_whole_entries_while_others_write_them(make: Make) -> None:
    stores, start = [make(), make()], threading.Barrier(6)

    def work(worker: int) -> list[Entry | None]:
        start.wait()
        store, read = stores[worker % 2], list[Entry | None]()
        for turn in range(30):
            store.put(long_entry(turn % 5), now=NOW)
            store.add({"stored": 1})
            read.append(store.get(long_entry((turn + worker) % 5).key, now=NOW))
        return read

    with ThreadPoolExecutor(6) as threads:
        found = [each for read in threads.map(work, range(6)) for each in read]
    assert {each.key for each in found if each} == {long_entry(number).key for number in range(5)}
    assert all(each is None or each in [long_entry(number) for number in range(5)] for each in found)
    assert stores[0].counts() == {"stored": 180}


@pytest.mark.parametrize("seed", range(3))
def test_any_commands_do_what_they_do_to_a_store_in_memory(make: Make, seed: int) -> None:
    chance, store, model, now = random.Random(seed), make(), MemoryStore(), NOW
    for turn in range(150):
        now += chance.choice((0, 0, 1, 20))
        key = entry(chance.randrange(8)).key
        command = chance.choice(("put", "put", "get", "get", "delete", "list"))
        if command == "put":
            ends = chance.choice((None, now + chance.randrange(90)))
            each = replace(entry(1, made=now + turn / 1000, ends=ends), key=key, body=b"%d" % turn, size=-1)
            store.put(each, now=now)
            model.put(each, now=now)
        elif command == "delete" and model.get(key, now=now) is not None:  # an expired one may be gone already
            assert store.delete([key]) == model.delete([key]) == 1
        elif command == "list":
            since, bodies = chance.choice((None, now - 40)), chance.random() < 0.5
            listed = list(store.entries(now=now, since=since, bodies=bodies))
            assert listed == list(model.entries(now=now, since=since, bodies=bodies))
        assert store.get(key, now=now) == model.get(key, now=now)
