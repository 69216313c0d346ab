from __future__ import annotations

from llmkit.limits import Amount, Limits, MemoryBackend, Ticket, Told
from llmkit.sync import drive
from llmkit.testing import VirtualClock

LIMITS = Limits(requests_per_minute=60, burst_seconds=10)


def ask(backend: MemoryBackend, clock: VirtualClock, bucket: str, limits: Limits = LIMITS) -> float:
    return drive(backend.ask(Ticket(bucket=bucket, limits=limits, need=Amount(10, 0), runtime=clock)))


def test_full_buckets_are_thrown_away_when_there_are_many() -> None:
    backend, clock = MemoryBackend(), VirtualClock()
    for user in range(900):
        assert ask(backend, clock, f"user {user}") == 0
    clock.advance(9)
    for user in range(900, 1_000):
        assert ask(backend, clock, f"user {user}") == 0
    clock.advance(1)
    assert ask(backend, clock, "user 1000") == 0
    assert len(backend._buckets) == 101
    assert ask(backend, clock, "user 950") == 9  # it was not full


def test_buckets_in_use_are_all_kept() -> None:
    backend, clock = MemoryBackend(), VirtualClock()
    for user in range(3_000):
        assert ask(backend, clock, f"user {user}") == 0
    assert len(backend._buckets) == 3_000
    clock.advance(10)
    for user in range(3_000, 4_001):
        assert ask(backend, clock, f"user {user}") == 0
    assert len(backend._buckets) == 1_001


def test_other_limits_are_another_bucket() -> None:
    backend, clock = MemoryBackend(), VirtualClock()
    assert ask(backend, clock, "a") == 0
    assert ask(backend, clock, "a", Limits(requests_per_minute=60, burst_seconds=11)) == 0
    assert ask(backend, clock, "a") == 10


def test_a_call_that_was_let_go_elsewhere_may_tell_what_it_knows() -> None:
    backend, clock = MemoryBackend(), VirtualClock()
    ticket = Ticket(bucket="a", limits=LIMITS, need=Amount(1, 0), runtime=clock)
    assert drive(backend.ask(ticket)) == 0
    backend.note(ticket, Told(per_minute=30), Told(remaining=5), pause=3)
    assert ask(backend, clock, "a") == 3 + 5 * 2
