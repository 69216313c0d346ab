from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis_servers import LocalRedis
from surfaces import CHAT
from virtual_loop import run

from llmkit import runtime
from llmkit.errors import RedisUnavailable
from llmkit.limits import Amount, Limits, RedisBackend, Ticket, Told
from llmkit.limits.gate import Gate
from llmkit.middleware.rate_limit import RateLimit
from llmkit.sync import drive
from llmkit.testing import FakeOpenAI, virtual_time

SLOW = Limits(requests_per_minute=6, tokens_per_minute=60, burst_seconds=1_000)
"""100 requests and 1,000 tokens at once, and so little after that, that a test's own time does not count."""
NEVER = pytest.approx(0, abs=0.3)
names = (f"bucket {number}" for number in count())


def seconds(wait: float) -> Any:
    return pytest.approx(wait, abs=0.5)


class Shared:
    """Two processes, as far as Redis can tell, and one bucket."""

    def __init__(self, url: str, *, limits: Limits = SLOW, **options: Any) -> None:
        self.url, self.name, self.limits = url, next(names), limits
        self.one = RedisBackend(url, prefix="test", **options)
        self.two = RedisBackend(url, prefix="test", **options)
        self.redis: redis.Redis = redis.Redis.from_url(url, decode_responses=True)

    @property
    def key(self) -> str:
        return f"test:{self.name}"

    def ticket(self, tokens: float, *, requests: float = 1, clock: runtime.Runtime | None = None) -> Ticket:
        clock = clock or runtime.current(is_async=False)
        return Ticket(bucket=self.name, limits=self.limits, need=Amount(requests, tokens), runtime=clock)

    def ask(self, backend: RedisBackend, tokens: float) -> tuple[Ticket, float]:
        ticket = self.ticket(tokens)
        return ticket, drive(backend.ask(ticket))

    def wait(self, backend: RedisBackend, tokens: float) -> float:
        return self.ask(backend, tokens)[1]

    def field(self, name: str) -> float:
        return float(self.redis.hget(self.key, name) or "nan")  # type: ignore[arg-type]

    @property
    def tokens_left(self) -> float:
        now, micro = self.redis.time()  # type: ignore[misc]
        return now + micro / 1e6 - self.field("empty2")  # one a second

    @property
    def commands(self) -> int:
        stats: Any = self.redis.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


@pytest.fixture
def shared(redis_url: str) -> Shared:
    return Shared(redis_url)


def test_processes_take_from_one_bucket_in_the_order_of_their_commands(shared: Shared) -> None:
    assert [shared.wait(backend, 400) for backend in (shared.one, shared.two, shared.one, shared.two)] == [
        NEVER, NEVER, seconds(200), seconds(600),
    ]  # fmt: skip


def test_a_reservation_that_is_due_needs_no_second_command(shared: Shared) -> None:
    with virtual_time() as clock:
        shared.wait(shared.one, 1_000)
        waiting, wait = shared.ask(shared.one, 10)
        before = shared.commands
        assert drive(shared.one.ask(waiting)) == pytest.approx(0.5, abs=0.1)  # when it may have moved up
        clock.advance(wait + 0.001)
        assert drive(shared.one.ask(waiting)) <= 0
        assert shared.commands == before


def test_what_is_larger_than_the_bucket_is_saved_up_for(shared: Shared) -> None:
    assert [shared.wait(shared.one, tokens) for tokens in (2_500, 10)] == [seconds(1_500), seconds(1_510)]


def test_what_was_not_used_goes_with_the_next_command(shared: Shared) -> None:
    done, _ = shared.ask(shared.one, 1_000)
    shared.one.settle(done, Amount(0, 300))
    shared.one.settle(done, Amount(0, 200))
    assert shared.wait(shared.one, 400) == NEVER
    assert shared.wait(shared.two, 400) == seconds(300)


def test_who_waits_moves_up_when_something_is_given_back(shared: Shared) -> None:
    with virtual_time() as clock:
        done, _ = shared.ask(shared.one, 1_000)
        waiting, wait = shared.ask(shared.one, 600)
        assert wait == seconds(600)
        shared.one.settle(done, Amount(0, 500))
        assert drive(shared.one.ask(waiting)) == pytest.approx(0.1)  # when the news will be taken along
        clock.advance(0.1)
        assert drive(shared.one.ask(waiting)) == seconds(100)
        clock.advance(101)
        assert drive(shared.one.ask(waiting)) <= 0


def test_all_who_wait_move_up_by_what_is_given_back_wherever(shared: Shared) -> None:
    with virtual_time() as clock:
        done, _ = shared.ask(shared.one, 1_000)
        first, _ = shared.ask(shared.one, 600)
        second, wait = shared.ask(shared.two, 100)
        assert wait == seconds(700)
        shared.one.settle(done, Amount(0, 500))
        clock.advance(0.1)
        assert drive(shared.one.ask(first)) == seconds(100)
        assert drive(shared.two.ask(second)) == pytest.approx(0.4, abs=0.1)  # when it will ask
        clock.advance(0.4)
        assert drive(shared.two.ask(second)) == seconds(200)
        shared.one.settle(done, Amount(0, -50))
        clock.advance(0.5)
        assert drive(shared.one.ask(first)) == seconds(150)


def test_a_reservation_given_up_is_undone(shared: Shared) -> None:
    shared.wait(shared.one, 1_000)
    waiting, _ = shared.ask(shared.one, 50_000)
    shared.one.drop(waiting)
    assert shared.wait(shared.one, 10) == seconds(10)


def test_when_a_reservation_is_given_up_those_behind_it_move_up_and_those_before_it_do_not(shared: Shared) -> None:
    with virtual_time() as clock:
        shared.wait(shared.one, 1_000)
        before, _ = shared.ask(shared.two, 100)
        given_up, _ = shared.ask(shared.one, 50_000)
        behind, wait = shared.ask(shared.two, 10)
        assert wait == seconds(50_110)
        shared.one.drop(given_up)
        assert shared.wait(shared.one, 0) == seconds(110)
        clock.advance(0.5)
        assert drive(shared.two.ask(behind)) == seconds(110)
        assert drive(shared.two.ask(before)) == seconds(100)


def test_a_reservation_given_up_while_it_asks_again_is_given_back_once(shared: Shared) -> None:
    waiting, _ = shared.ask(shared.one, 2_000)
    held = waiting.memo
    shared.one.drop(waiting)
    shared.one._reserve(shared.redis, waiting, held)
    assert not shared.one._news
    assert shared.tokens_left == seconds(1_000)


def test_who_was_never_asked_has_nothing_to_give_up(shared: Shared) -> None:
    shared.one.drop(shared.ticket(10))
    assert shared.wait(shared.one, 1_000) == NEVER


def test_the_servers_limits_and_what_is_left_of_them_hold_for_all_processes(shared: Shared) -> None:
    tickets = [shared.ask(shared.one, 100)[0] for _ in range(3)]
    for number, ticket in enumerate(tickets, 1):
        shared.one.note(ticket, Told(), Told(per_minute=60, remaining=600 - 100 * number), pause=0)
    assert shared.wait(shared.one, 0) == NEVER
    assert shared.tokens_left == seconds(300)  # others had used 400, which was told three times
    assert shared.wait(shared.two, 310) == seconds(10)


def test_a_server_with_nothing_left_makes_no_debt(shared: Shared) -> None:
    first, _ = shared.ask(shared.one, 0)
    shared.wait(shared.one, 700)
    shared.one.note(first, Told(), Told(remaining=0), pause=0)
    assert shared.wait(shared.one, 10) == seconds(10)


def test_limits_are_learnt_from_the_server(redis_url: str) -> None:
    shared = Shared(redis_url, limits=Limits(burst_seconds=1_000))
    (first, wait), (second, _) = (shared.ask(shared.one, 1e9) for _ in range(2))
    assert wait <= 0
    shared.one.note(first, Told(remaining=5), Told(per_minute=60, remaining=40), pause=0)
    shared.one.note(second, Told(), Told(per_minute=60, remaining=30), pause=0)
    shared.one.note(first, Told(), Told(per_minute=60, remaining=35), pause=0)
    assert shared.wait(shared.two, 1e9) <= 0  # not told yet
    assert shared.wait(shared.one, 50) == seconds(20)


def test_a_limit_of_the_servers_that_is_lower_than_ones_own_does_not_count_as_used_by_others(shared: Shared) -> None:
    tickets = [shared.ask(shared.one, 10)[0] for _ in range(3)]
    for ticket, remaining in zip(tickets, (490, 480, 470), strict=True):
        shared.one.note(ticket, Told(), Told(per_minute=30, remaining=remaining), pause=0)
    assert shared.wait(shared.one, 0) == NEVER
    assert (shared.tokens_left / 2, shared.field("others2")) == (seconds(470), 0)


def test_a_pause_holds_for_all_processes(shared: Shared) -> None:
    done, _ = shared.ask(shared.one, 10)
    shared.one.note(done, Told(), Told(), pause=30)
    shared.one.note(done, Told(), Told(), pause=20)
    assert [shared.wait(backend, 10) for backend in (shared.one, shared.two)] == [seconds(30), seconds(30)]


def test_what_a_lost_bucket_had_been_told_is_not_held_against_a_new_one(shared: Shared) -> None:
    old, _ = shared.ask(shared.one, 100)
    shared.one.note(old, Told(), Told(remaining=100), pause=0)
    assert shared.wait(shared.one, 0) == NEVER
    shared.redis.delete(shared.key)
    late = shared.ask(shared.two, 0)[0]
    shared.one.note(old, Told(), Told(remaining=0), pause=0)
    assert shared.wait(shared.one, 0) == NEVER
    assert shared.tokens_left == seconds(1_000)
    shared.two.note(late, Told(), Told(remaining=900), pause=0)
    shared.two.note(old, Told(), Told(remaining=0), pause=0)
    assert shared.wait(shared.two, 0) == NEVER
    assert shared.tokens_left == seconds(900)


def test_a_reservation_in_a_lost_bucket_is_made_again_when_it_is_asked_for(shared: Shared) -> None:
    with virtual_time() as clock:
        done, _ = shared.ask(shared.one, 1_000)
        waiting, _ = shared.ask(shared.one, 100)
        shared.redis.delete(shared.key)
        shared.one.settle(done, Amount(0, 1))
        clock.advance(1)
        assert drive(shared.one.ask(waiting)) <= 0
        shared.one.drop(shared.ask(shared.one, 2_000)[0])
        shared.redis.delete(shared.key)
        assert shared.wait(shared.one, 1_000) <= 0.3


TAKE = st.tuples(st.integers(0, 20), st.integers(0, 500), st.integers(-100, 300), st.booleans())


@given(st.lists(TAKE, max_size=12))
def test_all_wait_until_what_has_been_taken_and_not_given_back_is_there(
    redis_url: str, plan: list[tuple[int, int, int, bool]]
) -> None:
    shared = Shared(redis_url)
    requests, tokens = -100.0, -1_000.0  # in debt, when above 0
    for more_requests, more_tokens, unused, by_one in plan:
        backend = shared.one if by_one else shared.two
        ticket = shared.ticket(more_tokens, requests=more_requests)
        requests, tokens = requests + more_requests, tokens + more_tokens
        assert drive(backend.ask(ticket)) == pytest.approx(max(0, requests * 10, tokens), abs=2.0)
        backend.settle(ticket, Amount(0, unused))
        drive(backend.ask(shared.ticket(0, requests=0)))  # takes the news along
        tokens = max(-1_000.0, tokens - unused)
    shared.redis.delete(shared.key)


@pytest.mark.parametrize(
    "damage",
    [
        lambda shared: shared.redis.set(shared.key, "mine"),
        lambda shared: shared.redis.hset(shared.key, mapping={"born": "soon"}),
        lambda shared: shared.redis.hset(shared.key, mapping={"paused": "inf", "empty2": "5"}),
        lambda shared: shared.redis.hset(shared.key, mapping={"empty1": "nan", "empty2": "nan", "others2": "nan"}),
        lambda shared: shared.redis.hset(shared.key, mapping={"empty1": "1e300", "told1": "x"}),
        lambda shared: shared.redis.script_flush(),
    ],
)
def test_a_key_that_is_damaged_or_not_ours_starts_anew(shared: Shared, damage: Any) -> None:
    shared.wait(shared.one, 10)
    damage(shared)
    shared.wait(shared.one, 0)
    assert [shared.wait(shared.one, tokens) for tokens in (900, 1_000)] == [NEVER, pytest.approx(910, abs=15)]


def test_a_bucket_is_one_small_key_that_vanishes_when_it_is_not_used(shared: Shared) -> None:
    shared.wait(shared.one, 10)
    assert 3_600 < shared.redis.ttl(shared.key) < 3_600 + 2_000  # type: ignore[operator]
    assert shared.redis.memory_usage(shared.key) < 600  # type: ignore[operator]


def test_clients_of_ones_own_are_used_whatever_they_decode(redis_url: str, shared: Shared) -> None:
    for decode in (False, True):
        shared.one = RedisBackend(redis.Redis.from_url(redis_url, decode_responses=decode), prefix="test")
        assert shared.wait(shared.one, 10) == NEVER


def test_news_of_many_buckets_are_not_kept_for_ever(shared: Shared) -> None:
    ticket, _ = shared.ask(shared.one, 10)
    for number in range(1_500):
        ticket.bucket = f"user {number}"
        shared.one.settle(ticket, Amount(0, 1))
    assert len(shared.one._news) == 1_000
    assert "user 1499" in shared.one._news


async def test_a_call_cancelled_while_redis_is_asked_gives_back_what_was_taken_after_all(
    local_redis: LocalRedis,
) -> None:
    shared = Shared(local_redis.url)
    shared.wait(shared.one, 0)
    await shared.one._server.run(runtime.SYNC, lambda client: client.ping())
    shared.redis.client_pause(60_000, all=False)
    task = asyncio.create_task(Gate(shared.one).enter(shared.ticket(2_000, clock=runtime.ASYNC)))
    while not any(client["cmd"] == "evalsha" for client in shared.redis.client_list()):  # type: ignore[union-attr]
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    shared.redis.client_unpause()
    while not shared.one._news:
        await asyncio.sleep(0.001)
    assert shared.wait(shared.two, 0) == seconds(1_000)
    assert shared.wait(shared.one, 0) <= 0


def test_cancelled_calls_take_none_of_the_others_time(shared: Shared) -> None:
    async def work() -> None:
        gate, went = Gate(shared.one), list[int]()

        async def call(number: int) -> None:
            mine = shared.ticket(100, clock=runtime.current(is_async=True))
            assert await gate.enter(mine)
            went.append(number)
            gate.leave(mine)

        tasks = [asyncio.create_task(call(number)) for number in range(60)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        assert went == list(range(1, 60, 2))

    shared.wait(shared.two, 1_000)
    run(work())
    assert shared.field("empty2") - shared.field("born") == seconds(3_000)  # 30 calls of 100


PROCESS = """
import asyncio, json, sys
import redis
from llmkit import runtime
from llmkit.limits import Amount, Limits, RedisBackend, Ticket
from llmkit.limits.gate import Gate

url, bucket = sys.argv[1:]
backend, clock = RedisBackend(url, prefix="test"), redis.Redis.from_url(url)
gate, went = Gate(backend), []

async def call(tokens):
    limits = Limits(requests_per_minute=6_000, tokens_per_minute=24_000, burst_seconds=0.5)
    ticket = Ticket(bucket=bucket, limits=limits, need=Amount(1, tokens), runtime=runtime.ASYNC)
    assert await gate.enter(ticket)
    seconds, micro = clock.time()
    went.append((seconds + micro / 1e6, tokens))
    backend.settle(ticket, Amount(0, 0))
    gate.leave(ticket)

async def work():
    await asyncio.gather(*(call(tokens) for tokens in [10] * 15 + [60] + [10] * 9))

asyncio.run(work())
print(json.dumps(went))
"""


def test_three_processes_together_never_overshoot(local_redis: LocalRedis) -> None:
    shared = Shared(local_redis.url)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PROCESS, shared.url, shared.name]
    running = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) for _ in range(3)]
    went = sorted(tuple(call) for process in running for call in json.loads(process.communicate()[0]))
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(went) == 75
    born, so_far = shared.field("born"), 0.0
    for at, tokens in went:
        so_far += tokens
        assert so_far <= 200 + 400 * (at - born) + 1e-3
    assert shared.commands <= 75 + 6  # none asked twice; the script had to be loaded


def test_while_redis_is_gone_each_process_goes_on_with_buckets_of_its_own(local_redis: LocalRedis) -> None:
    async def work() -> None:
        fake = FakeOpenAI()
        backend = RedisBackend(local_redis.url)
        client = fake.async_client(middleware=[RateLimit(requests_per_minute=600, burst_seconds=1, backend=backend)])
        tasks = [asyncio.create_task(client.chat.completions.create(**CHAT)) for _ in range(40)]
        while len(fake.requests) < 15:
            await asyncio.sleep(0.01)
        local_redis.kill()
        await asyncio.gather(*tasks)
        assert len(fake.requests) == 40
        stream = await client.chat.completions.create(**CHAT, stream=True)
        async for _ in stream:
            pass
        assert len(backend._own._buckets) == 1  # type: ignore[union-attr]
        local_redis.start()
        await asyncio.sleep(2)
        await client.chat.completions.create(**CHAT)
        assert redis.Redis.from_url(local_redis.url).keys() == [b"llmkit:limit:fake.openai.test gpt-4o-mini"]

    run(work())


def test_while_redis_is_gone_a_closed_limit_lets_nobody_go(local_redis: LocalRedis) -> None:
    async def work() -> None:
        fake = FakeOpenAI()
        backend = RedisBackend(local_redis.url, on_error="closed")
        client = fake.async_client(middleware=[RateLimit(requests_per_minute=600, burst_seconds=1, backend=backend)])
        tasks = [asyncio.create_task(client.chat.completions.create(**CHAT)) for _ in range(40)]
        while len(fake.requests) < 15:
            await asyncio.sleep(0.01)
        local_redis.kill()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        refused = [result for result in results if isinstance(result, RedisUnavailable)]
        assert len(refused) == 40 - len(fake.requests)
        assert len(refused) >= 20
        local_redis.start()
        await asyncio.sleep(2)
        await client.chat.completions.create(**CHAT)

    run(work())


def test_a_call_that_has_its_reservation_goes_though_redis_is_gone(local_redis: LocalRedis) -> None:
    with virtual_time() as clock:
        shared = Shared(local_redis.url, on_error="closed")
        done, _ = shared.ask(shared.one, 1_000)
        waiting, _ = shared.ask(shared.one, 100)
        local_redis.kill()
        shared.one.settle(done, Amount(0, 1_000))
        clock.advance(1)
        assert drive(shared.one.ask(waiting)) == seconds(99)
        clock.advance(100)
        assert drive(shared.one.ask(waiting)) <= 0


def test_a_sync_client_shares_the_bucket(redis_url: str) -> None:
    backends = [RedisBackend(redis_url, prefix="sync") for _ in range(2)]
    fake = FakeOpenAI()
    limits = [RateLimit(requests_per_minute=6, burst_seconds=20, timeout=0, backend=backend) for backend in backends]
    with virtual_time():
        for limit in limits:
            fake.client(middleware=[limit]).chat.completions.create(**CHAT)
        with pytest.raises(TimeoutError):
            fake.client(middleware=[limits[0]]).chat.completions.create(**CHAT)


def test_an_unknown_behaviour_is_refused(redis_url: str) -> None:
    with pytest.raises(ValueError, match="on_error='ajar' is unknown; use 'open' or 'closed'"):
        RedisBackend(redis_url, on_error="ajar")  # type: ignore[arg-type]
