from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmkit.breaker import Breaker, Limits

LIMITS = Limits(failures=3, within=60, cooldown=30)


def entered(breaker: Breaker, now: float) -> int:
    number = breaker.enter(now)
    assert number is not None
    return number


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(LIMITS)
    assert [breaker.failed(entered(breaker, now), now, "APIConnectionError") for _ in range(3)] == [False, False, True]
    return breaker


def test_failures_in_a_row_open_a_circuit() -> None:
    breaker = opened()
    assert (breaker.state, breaker.failures, breaker.last_error) == ("open", 3, "APIConnectionError")
    assert breaker.enter(29.9) is None
    assert (breaker.retry_in(10), breaker.retry_in(40)) == (20, 0)


def test_a_success_in_between_begins_the_count_anew() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(5):
        for _ in range(2):
            assert not breaker.failed(entered(breaker, 0), 0, "x")
        assert not breaker.worked(entered(breaker, 0))
    assert (breaker.state, breaker.failures, breaker.retry_in(0)) == ("closed", 0, 0)


def test_failures_that_are_far_apart_do_not_open_it() -> None:
    breaker = Breaker(LIMITS)
    assert not any(breaker.failed(entered(breaker, now), now, "x") for now in (0, 31, 62, 93))
    assert breaker.failed(entered(breaker, 122), 122, "x")  # 62, 93, 122: within 60 seconds


def test_one_probe_runs_after_the_cooldown_and_closes_the_circuit_if_it_works() -> None:
    breaker = opened()
    probe = entered(breaker, 30)
    assert breaker.state == "half-open"
    assert breaker.is_probe(probe)
    assert [breaker.enter(now) for now in (30, 31, 1000)] == [None] * 3
    assert breaker.worked(probe)
    assert (breaker.state, breaker.failures) == ("closed", 0)
    assert not breaker.is_probe(entered(breaker, 31))


def test_a_probe_that_fails_opens_it_again_for_as_long() -> None:
    breaker = opened()
    assert breaker.failed(entered(breaker, 30), 35, "InternalServerError")
    assert (breaker.state, breaker.last_error) == ("open", "InternalServerError")
    assert breaker.enter(64.9) is None
    assert breaker.worked(entered(breaker, 65))


def test_a_probe_that_shows_nothing_makes_room_for_another_at_once() -> None:
    breaker = opened()
    first = entered(breaker, 30)
    breaker.told_nothing(first)
    assert breaker.state == "open"
    assert not breaker.worked(first)
    second = entered(breaker, 30)
    assert breaker.enter(30) is None
    breaker.told_nothing(first)
    assert breaker.enter(30) is None
    assert breaker.worked(second)


def test_what_began_before_a_change_says_nothing_after_it() -> None:
    breaker = Breaker(LIMITS)
    early = [entered(breaker, 0) for _ in range(8)]
    assert [breaker.failed(number, 1, "x") for number in early[:3]] == [False, False, True]
    assert not breaker.failed(early[3], 20, "x")
    assert not breaker.worked(early[4])
    assert breaker.retry_in(20) == 11
    assert breaker.worked(entered(breaker, 31))
    assert not any(breaker.failed(number, 32, "x") for number in early[5:])
    breaker.told_nothing(early[5])
    assert (breaker.state, breaker.failures) == ("closed", 0)


@given(st.lists(st.tuples(st.sampled_from(["enter", "worked", "failed", "nothing"]), st.integers(0, 20)), max_size=60))
def test_an_open_circuit_has_one_probe_at_most(steps: list[tuple[str, int]]) -> None:
    breaker, now, running = Breaker(LIMITS), 0.0, list[int]()
    for what, wait in steps:
        now += wait
        if what == "enter" or not running:
            was_closed = breaker.state == "closed"
            number = breaker.enter(now)
            if number is not None:
                running.append(number)
                assert was_closed or sum(map(breaker.is_probe, running)) == 1
        elif what == "worked":
            breaker.worked(running.pop(0))
        elif what == "failed":
            breaker.failed(running.pop(0), now, "x")
        else:
            breaker.told_nothing(running.pop(0))
