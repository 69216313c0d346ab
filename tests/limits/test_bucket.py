from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.limits.bucket import Amount, Bucket

ONE = Amount(1, 0)


def bucket(requests: float = inf, tokens: float = inf, *, burst_seconds: float = 60.0) -> Bucket:
    return Bucket(0.0, Amount(requests, tokens), burst_seconds=burst_seconds)


def go(bucket: Bucket, need: Amount, since: float = 0.0) -> float:
    due = bucket.due(since, need)
    bucket.take(due, need)
    return due


def test_a_full_bucket_is_emptied_at_once_and_then_gives_as_much_as_flows_in() -> None:
    limited = bucket(requests=120, burst_seconds=2)  # 4 at once, then 2 a second
    assert [go(limited, ONE) for _ in range(8)] == [0, 0, 0, 0, 0.5, 1, 1.5, 2]


def test_requests_and_tokens_are_taken_together_when_both_are_there() -> None:
    limited = bucket(requests=60, tokens=600, burst_seconds=1)
    assert [go(limited, Amount(1, tokens)) for tokens in (10, 5, 30, 0, 0)] == [0, 1, pytest.approx(3.5), 4.5, 5.5]


def test_nobody_overtakes_one_that_waits() -> None:
    limited = bucket(tokens=60, burst_seconds=10)
    assert [go(limited, Amount(1, tokens)) for tokens in (10, 9, 1)] == [0, 9, 10]


def test_what_is_larger_than_the_bucket_is_saved_up_for_and_leaves_nothing() -> None:
    limited = bucket(tokens=60, burst_seconds=10)
    assert [go(limited, Amount(1, tokens)) for tokens in (25, 5)] == [15, 20]
    assert go(limited, Amount(1, 25), since=1000.0) == 1000  # saved up meanwhile


def test_an_idle_bucket_fills_to_its_capacity_only() -> None:
    limited = bucket(requests=60, burst_seconds=2)
    go(limited, ONE)
    assert [go(limited, ONE, since=1000.0) for _ in range(4)] == [1000, 1000, 1001, 1002]


def test_what_was_not_used_lets_the_next_go_earlier() -> None:
    limited = bucket(tokens=60, burst_seconds=10)
    go(limited, Amount(1, 10))
    assert limited.due(0.0, Amount(1, 8)) == 8
    limited.give_back(Amount(0, 6))
    assert limited.due(0.0, Amount(1, 8)) == 2


def test_giving_back_never_fills_above_the_capacity() -> None:
    limited = bucket(requests=60, tokens=60, burst_seconds=10)
    limited.give_back(Amount(5, 500))
    assert (limited.requests.left, limited.tokens.left) == (10, 10)


def test_what_was_used_beyond_the_need_is_a_debt_that_all_wait_for() -> None:
    limited = bucket(tokens=60, burst_seconds=10)
    go(limited, Amount(1, 10))
    limited.give_back(Amount(0, -30))
    assert limited.due(0.0, Amount(1, 0)) == 30
    assert limited.due(0.0, Amount(1, 5)) == 35


def test_a_pause_lets_nobody_go_and_nothing_flow_in() -> None:
    limited = bucket(requests=60, burst_seconds=1)
    go(limited, ONE)
    limited.pause_until(20.0)
    limited.pause_until(5.0)
    assert go(limited, ONE) == 21


def test_the_servers_limit_counts_where_it_is_lower() -> None:
    limited = bucket(requests=600)
    limited.requests.note_limit(60)
    assert (limited.requests.left, limited.requests.limit) == (60, 60)
    limited.requests.note_limit(6_000)
    assert (limited.requests.left, limited.requests.limit) == (60, 600)


def test_without_limits_nothing_waits_until_the_server_tells_some() -> None:
    limited = bucket(burst_seconds=30)
    marks = limited.take(limited.due(0.0, Amount(1, 1e9)), Amount(1, 1e9))
    limited.requests.note_left(marks[0], 7)  # without a limit, this says nothing for later
    assert go(limited, Amount(1, 1e9)) == 0
    limited.requests.note_limit(60)
    assert limited.requests.left == 30
    limited.requests.note_left(marks[0], 2)
    assert [go(limited, ONE) for _ in range(3)] == [0, 0, 1]


def test_what_others_have_used_is_taken_off_once_however_many_answers_tell_of_it() -> None:
    limited = bucket(requests=100)
    marks = [limited.take(0.0, ONE)[0] for _ in range(10)]
    for count, mark in enumerate(marks, 1):
        limited.requests.note_left(mark, 100 - count - 40)
    assert (limited.requests.left, limited.requests.others) == (50, 40)


def test_a_limit_of_the_servers_that_is_lower_than_ones_own_does_not_count_as_used_by_others() -> None:
    limited = bucket(requests=600)
    marks = [limited.take(0.0, ONE)[0] for _ in range(3)]
    for mark, remaining in zip(marks, (59, 58, 57), strict=True):
        limited.requests.note_limit(60)
        limited.requests.note_left(mark, remaining)
    assert (limited.requests.left, limited.requests.others) == (57, 0)


def test_what_the_server_has_left_never_raises_ones_own() -> None:
    limited = bucket(requests=100)
    limited.requests.note_left(limited.take(0.0, ONE)[0], 5_000)
    assert limited.requests.left == 99


def test_what_the_server_tells_makes_no_debt() -> None:
    limited = bucket(requests=100)
    first = limited.take(0.0, ONE)[0]
    for _ in range(80):
        limited.take(0.0, ONE)
    limited.requests.note_left(first, 0)  # 99 gone, of which 80 were taken by ourselves since
    assert limited.requests.left == 0
    limited.requests.give_back(-7)
    limited.requests.note_left(limited.take(0.0, ONE)[0], 0)
    assert limited.requests.left == -8


def test_a_bucket_is_full_when_it_has_had_the_time() -> None:
    limited = bucket(requests=60, burst_seconds=10)
    assert limited.is_full(0.0)
    go(limited, Amount(4, 0))
    assert not limited.is_full(3.9)
    assert limited.is_full(4.0)
    assert bucket().is_full(0.0)


NEEDS = st.tuples(st.integers(0, 3), st.integers(0, 400), st.floats(0, 5), st.integers(0, 300))


@given(st.lists(NEEDS, max_size=40), st.sampled_from([1.0, 5.0, 60.0]))
def test_in_any_time_no_more_goes_than_the_capacity_and_what_flows_in(
    calls: list[tuple[int, int, float, int]], burst_seconds: float
) -> None:
    limited = bucket(requests=60, tokens=6_000, burst_seconds=burst_seconds)
    clock, returned, went = 0.0, 0.0, []
    for requests, tokens, later, unused in calls:
        clock += later
        due = go(limited, Amount(requests, tokens), since=clock)
        went.append((due, requests, tokens, returned))
        limited.give_back(Amount(0, min(unused, tokens)))
        returned += min(unused, tokens)
    assert [due for due, *_ in went] == sorted(due for due, *_ in went)
    for first in range(len(went)):
        for last in range(first, len(went)):
            window = went[first : last + 1]
            seconds, back = window[-1][0] - window[0][0], window[-1][3] - window[0][3]
            for index, rate in ((1, 1.0), (2, 100.0)):
                most = max(rate * burst_seconds, max(call[index] for call in window)) + rate * seconds
                assert sum(call[index] for call in window) <= most + (back if index == 2 else 0) + 1e-6


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 400)), min_size=1, max_size=40))
def test_nobody_waits_longer_than_it_takes_to_fill_in_what_is_missing(calls: list[tuple[int, int]]) -> None:
    limited = bucket(requests=60, tokens=6_000, burst_seconds=2)
    for need in calls:
        since = limited.at
        missing = max(need[0] - limited.requests.left, (need[1] - limited.tokens.left) / 100, 0.0)
        assert go(limited, Amount(*need), since=since) == pytest.approx(since + missing)
