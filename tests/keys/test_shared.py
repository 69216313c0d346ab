from __future__ import annotations

import pytest

from llmkit.errors import NoUsableKey
from llmkit.keys.refusals import Refusal
from llmkit.keys.shared import SharedKeys
from llmkit.keys.sources import Environment, Function, Given
from llmkit.testing import virtual_time

A, B = "sk-first-key-of-ours-1111", "sk-second-key-of-ours-2222"
WRONG = Refusal("401", None)


def shared(*keys: str) -> SharedKeys:
    found = SharedKeys(Given(keys), retry_parked_after=600)
    found.load()
    return found


async def test_what_is_told_of_parked_keys_names_labels_reasons_and_when_the_next_one_is_tried() -> None:
    keys = shared(A, B)
    with virtual_time() as clock:
        for reason in (WRONG, Refusal("429 insufficient_quota", None)):
            keys.refused(await keys.next(clock), reason, clock)
            clock.advance(100)
        assert keys.all_parked()
        with pytest.raises(NoUsableKey) as caught:
            await keys.next(clock)
    assert str(caught.value) == (
        "all 2 keys of the ring are parked: ...1111 (401), ...2222 (429 insufficient_quota); "
        "the next one is tried again in 400 s; no other key comes from the KeyRing's own arguments"
    )


async def test_a_ring_without_keys_says_where_they_should_have_come_from() -> None:
    keys = SharedKeys(Function(lambda: [A], every=30), retry_parked_after=600)
    assert keys.all_parked()
    assert keys.told().endswith("<lambda> has given no keys")
    with virtual_time() as clock:
        assert (await keys.next(clock)).label == "...1111"


async def test_times_are_seconds_since_the_epoch_for_operators() -> None:
    keys = shared(A)
    with virtual_time(start=5000) as clock:
        clock.advance(10)
        keys.refused(await keys.next(clock), Refusal("429", 7), clock)
        assert [status.until for status in keys.status()] == [5017]
        assert not keys.all_parked()


async def test_a_key_that_was_parked_is_looked_for_at_its_source_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYS", A)
    keys = SharedKeys(Environment("TEST_KEYS"), retry_parked_after=600)
    with virtual_time() as clock:
        first = await keys.next(clock)
        monkeypatch.setenv("TEST_KEYS", B)
        keys.refused(first, WRONG, clock)
        assert (await keys.next(clock)).label == "...2222"
        assert keys.is_parked(first)
        keys.worked(first)
        assert keys.is_parked(first)


async def test_a_choice_of_rested_keys_does_not_take_one_at_rest() -> None:
    keys = shared(A, B)
    with virtual_time() as clock:
        for _ in range(2):
            keys.refused(await keys.next(clock), Refusal("429", 7), clock)
        assert await keys.choose(clock, even_resting=False) is None
        assert await keys.choose(clock) is not None
