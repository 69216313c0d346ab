from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.keys.key import Key
from llmkit.keys.refusals import Refusal
from llmkit.keys.ring import Chosen, KeyStatus, Ring

A, B, C = Key("sk-aaaaaaaaaaaaa-one1"), Key("sk-bbbbbbbbbbbbb-two2"), Key("sk-ccccccccccccc-thr3")
WRONG = Refusal("401", None)


def ring_of(*keys: Key) -> Ring:
    ring = Ring(retry_parked_after=600)
    ring.update(keys)
    return ring


def chosen(ring: Ring, now: float = 0.0) -> Chosen:
    found = ring.choose(now)
    assert found is not None
    return found


def keys(ring: Ring, times: int, now: float = 0.0) -> list[Key]:
    return [chosen(ring, now).key for _ in range(times)]


def test_keys_take_turns() -> None:
    ring = ring_of(A, B, C)
    assert keys(ring, 7) == [A, B, C, A, B, C, A]
    assert len(ring) == 3


def test_a_parked_key_is_left_out_until_its_time_has_come() -> None:
    ring = ring_of(A, B)
    assert ring.refused(chosen(ring), WRONG, now=10)
    assert keys(ring, 3, now=609) == [B, B, B]
    assert ring.status(609) == [
        KeyStatus(label="...one1", usable=False, parked_because="401", until=610),
        KeyStatus(label="...two2", usable=True, parked_because=None, until=None),
    ]
    assert A in keys(ring, 2, now=610)


def test_a_parked_key_whose_time_has_come_is_tried_by_one_request() -> None:
    ring = ring_of(A)
    ring.refused(chosen(ring), WRONG, now=0)
    assert ring.all_parked()
    assert ring.choose(599) is None
    trial = chosen(ring, 600)
    assert ring.choose(600) is None
    assert ring.choose(659) is None
    assert not ring.is_parked(trial)
    ring.worked(trial)
    assert not ring.all_parked()
    assert keys(ring, 3, now=601) == [A, A, A]


def test_a_trial_that_is_refused_parks_again_and_one_without_an_answer_is_repeated() -> None:
    ring = ring_of(A)
    ring.refused(chosen(ring), WRONG, now=0)
    assert ring.refused(chosen(ring, 600), WRONG, now=601)
    assert ring.choose(1200) is None
    assert ring.choose(1201) is not None
    assert ring.choose(1260) is None
    assert ring.choose(1261) is not None


def test_an_answer_to_a_request_sent_before_does_not_bring_a_parked_key_back() -> None:
    ring = ring_of(A)
    served, refused = chosen(ring), chosen(ring)
    ring.refused(refused, WRONG, now=0)
    ring.worked(served)
    assert ring.all_parked()
    assert ring.is_parked(served)


def test_a_second_refusal_of_requests_sent_before_parks_nothing_anew() -> None:
    ring = ring_of(A)
    first, second = chosen(ring), chosen(ring)
    assert ring.refused(first, WRONG, now=0)
    assert not ring.refused(second, WRONG, now=300)
    assert ring.choose(600) is not None


def test_a_key_that_went_and_came_again_is_not_parked_and_old_answers_do_not_count() -> None:
    ring = ring_of(A, B)
    old, older = chosen(ring), chosen(ring)
    ring.refused(old, WRONG, now=0)
    assert ring.update([B]) == ([], ["...one1"])
    assert ring.is_parked(old)
    assert ring.update([B, A]) == (["...one1"], [])
    assert not ring.refused(old._replace(turn=older.turn), WRONG, now=1)
    assert set(keys(ring, 2)) == {A, B}


def test_a_key_that_stays_in_the_list_stays_parked() -> None:
    ring = ring_of(A, B)
    ring.refused(chosen(ring), WRONG, now=0)
    assert ring.update([A, B, C]) == (["...thr3"], [])
    assert A not in keys(ring, 4)


def test_answers_to_keys_that_have_gone_are_of_no_interest() -> None:
    ring = ring_of(A)
    old = chosen(ring)
    ring.update([B])
    assert not ring.refused(old, WRONG, now=0)
    ring.worked(old)
    assert ring.is_parked(old)
    assert keys(ring, 1) == [B]


def test_a_key_at_rest_is_chosen_only_when_all_rest_and_then_the_one_that_is_back_first() -> None:
    ring = ring_of(A, B)
    assert not ring.refused(chosen(ring), Refusal("429", 20), now=0)
    assert keys(ring, 2) == [B, B]
    ring.refused(chosen(ring), Refusal("429", 5), now=0)
    assert ring.choose(0, even_resting=False) is None
    assert keys(ring, 2) == [B, B]
    assert [status.until for status in ring.status(0)] == [20, 5]
    assert ring.status(20)[0].usable
    assert not ring.all_parked()


def test_a_shorter_rest_does_not_cut_a_longer_one() -> None:
    ring = ring_of(A)
    first, second = chosen(ring), chosen(ring)
    ring.refused(first, Refusal("429", 20), now=0)
    ring.refused(second, Refusal("429", 1), now=0)
    assert ring.status(0)[0].until == 20


def test_a_parked_key_that_is_tried_again_and_is_too_fast_rests() -> None:
    ring = ring_of(A)
    late, first = chosen(ring), chosen(ring)
    ring.refused(first, WRONG, now=0)
    ring.refused(late, Refusal("429", 5), now=1)
    assert ring.all_parked()
    ring.refused(chosen(ring, 600), Refusal("429", 5), now=601)
    assert not ring.all_parked()
    assert ring.status(605)[0].parked_because == "429"
    assert ring.status(606)[0].usable


def test_refused_keys_are_not_chosen_again() -> None:
    ring = ring_of(A, B)
    assert chosen(ring).key == A
    found = ring.choose(0, refused=[B])
    assert found is not None
    assert found.key == A
    assert ring.choose(0, refused=[A, B]) is None


def test_keys_that_end_alike_have_labels_of_their_own() -> None:
    ring = ring_of(Key("sk-first-key-wxyz"), Key("sk-second-key-wxyz"), Key("sk-third-key-wxyz"))
    assert [status.label for status in ring.status(0)] == ["...wxyz", "...wxyz(2)", "...wxyz(3)"]
    ring.update([Key("sk-second-key-wxyz"), Key("sk-fourth-key-wxyz")])
    assert [status.label for status in ring.status(0)] == ["...wxyz(2)", "...wxyz"]


@pytest.mark.parametrize("retry_parked_after", [1.0, 600.0])
@given(steps=st.lists(st.tuples(st.sampled_from("cwp"), st.integers(0, 9), st.integers(0, 900)), max_size=40))
def test_no_choice_is_ever_a_key_that_is_parked_then(
    retry_parked_after: float, steps: list[tuple[str, int, int]]
) -> None:
    ring, now, given_out = Ring(retry_parked_after=retry_parked_after), 0.0, list[Chosen]()
    ring.update([A, B, C])
    for what, which, wait in steps:
        now += wait
        if what == "c" or not given_out:
            parked = {one.label for one in ring.status(now) if not one.usable and (one.until or 0) > now}
            found = ring.choose(now)
            if found is None:
                assert len(parked) == 3
                continue
            assert found.label not in parked
            given_out.append(found)
        elif what == "w":
            ring.worked(given_out[which % len(given_out)])
        else:
            ring.refused(given_out[which % len(given_out)], WRONG, now)
