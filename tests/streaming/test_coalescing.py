from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_sources import Source, settled, taken

from llmkit.streaming.coalescing import coalesce
from llmkit.streaming.texts import Piece, piece_of
from llmkit.testing import FakeOpenAI

HOUR = 3600.0
EVENTS = st.lists(st.one_of(st.text(max_size=9), st.integers(), st.just({"type": "other"})), max_size=40)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    type: str = "text_delta"
    step: int = 1
    text: str = ""


def summary(events: list[Any]) -> list[Any]:
    """The text at each place between other events, and those events."""
    found: list[Any] = []
    for event in events:
        piece = piece_of(event)
        if piece is None:
            found.append(event)
        elif found and isinstance(found[-1], Piece) and found[-1].place == piece.place:
            found[-1] = Piece(piece.place, found[-1].text + piece.text)
        else:
            found.append(piece)
    return found


async def pausing(events: list[Any], pauses: list[bool]) -> AsyncIterator[Any]:
    for event, pause in zip(events, pauses, strict=False):
        if pause:
            await asyncio.sleep(0)
        yield event


@given(
    events=EVENTS,
    pauses=st.lists(st.booleans(), min_size=40, max_size=40),
    tokens=st.integers(1, 6),
    seconds=st.sampled_from([0, HOUR]),
)
def test_text_and_order_are_the_same_wherever_the_text_is_cut(
    events: list[Any], pauses: list[bool], tokens: int, seconds: float
) -> None:
    found, error = asyncio.run(taken(coalesce(pausing(events, pauses), tokens, seconds)))
    assert error is None
    assert summary(found) == summary(events)
    assert len(found) <= len(events)


async def test_text_is_given_out_when_there_is_enough_of_it() -> None:
    texts, _ = await taken(coalesce(Source(["1234"] * 12), tokens=5, seconds=HOUR))
    assert texts == ["1234" * 5, "1234" * 5, "1234" * 2]


async def test_a_long_text_is_given_out_at_once_and_none_is_cut() -> None:
    source = Source(["long" * 100, "short"], hangs=True)
    async with coalesce(source, seconds=HOUR) as texts:
        assert await anext(texts) == "long" * 100


async def test_bytes_are_what_is_counted() -> None:
    texts, _ = await taken(coalesce(Source(["日本", "語\ud800", "です"]), tokens=2, seconds=HOUR))
    assert texts == ["日本語\ud800", "です"]


async def test_the_time_counts_from_the_first_text_and_needs_no_next_event() -> None:
    gate = asyncio.Event()
    source = Source(["a", "b", gate, "c"])
    async with coalesce(source, tokens=100, seconds=0.001) as texts:
        assert await anext(texts) == "ab"
        gate.set()
        assert await anext(texts) == "c"
        with pytest.raises(StopAsyncIteration):
            await anext(texts)


async def test_text_that_comes_within_the_time_is_merged_although_it_was_waited_for() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    source = Source(["a", gates[0], "b", gates[1], "c"])
    consumer = asyncio.create_task(taken(coalesce(source, tokens=100, seconds=HOUR)))
    for gate in gates:
        await settled()
        gate.set()
    assert await consumer == (["abc"], None)


async def test_another_event_passes_at_once_after_the_text_before_it() -> None:
    source = Source(["a", "b", {"type": "usage"}, 7, "c"], hangs=True)
    async with coalesce(source, tokens=100, seconds=HOUR) as events:
        assert [await anext(events) for _ in range(3)] == ["ab", {"type": "usage"}, 7]


async def test_the_steps_of_a_tool_loop_are_merged_by_step() -> None:
    steps = [TextDelta(text="a"), TextDelta(text="b"), TextDelta(step=2, text="c"), "end"]
    found, _ = await taken(coalesce(Source(steps), tokens=100, seconds=HOUR))
    assert found == [TextDelta(text="ab"), TextDelta(step=2, text="c"), "end"]


@pytest.mark.parametrize("chars", [1, 3])
async def test_chat_chunks_are_merged_and_the_rest_of_the_stream_is_untouched(chars: int) -> None:
    options: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "stream": True}

    async def stream() -> Any:
        fake = FakeOpenAI(stream_chars=chars)
        fake.reply("The quick brown fox jumps over the lazy dog. " * 5, tool_calls=[("f", {"a": 1})])
        client: Any = fake.async_client()
        return await client.chat.completions.create(**options)

    plain, _ = await taken(await stream())
    merged, error = await taken(coalesce(await stream(), tokens=10, seconds=HOUR))
    assert error is None
    assert summary(merged) == summary(plain)
    assert len(merged) < len(plain) - 10


async def test_a_merged_responses_delta_has_the_last_sequence_number() -> None:
    fake = FakeOpenAI(stream_chars=1)
    fake.reply("Hello there, how are you?")
    stream = await fake.async_client().responses.create(model="gpt-4o-mini", input="Hi", stream=True)
    events, error = await taken(coalesce(stream, tokens=1000, seconds=HOUR))
    assert error is None
    [number] = [n for n, event in enumerate(events) if event.type == "response.output_text.delta"]
    assert events[number].delta == "Hello there, how are you?"
    assert events[number].sequence_number == events[number + 1].sequence_number - 1
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


async def test_an_error_comes_after_the_text_before_it() -> None:
    source = Source(["a", "b"], error=ConnectionError("dropped"))
    found, error = await taken(coalesce(source, tokens=100, seconds=HOUR))
    assert found == ["ab"]
    assert isinstance(error, ConnectionError)
    assert source.closes == 1


@pytest.mark.parametrize("items", [[], ["a"], [1]])
async def test_cancelling_the_consumer_closes_the_source_at_once(items: list[Any]) -> None:
    source = Source(items, hangs=True)
    texts = coalesce(source, tokens=100, seconds=HOUR)
    consumer = asyncio.create_task(taken(texts))
    await settled()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert source.cancelled
    assert source.closes == 1
    assert await taken(texts) == ([], None)


async def test_a_stream_left_early_is_closed() -> None:
    fake = FakeOpenAI()
    stream = await fake.async_client().responses.create(model="gpt-4o-mini", input="Hi", stream=True)
    async with coalesce(stream) as events:
        async for _ in events:
            break
    assert fake.open_streams == 0


@pytest.mark.parametrize("tokens", [0, -1, 2.5, True, None])
async def test_tokens_that_are_no_number_of_tokens_are_named(tokens: Any) -> None:
    with pytest.raises(ValueError, match=f"tokens={tokens!r} is no number of tokens"):
        coalesce(Source(), tokens=tokens)


@pytest.mark.parametrize("seconds", [-0.1, float("nan")])
async def test_seconds_that_cannot_be_waited_are_named(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"seconds={seconds!r} cannot be waited"):
        coalesce(Source(), seconds=seconds)
