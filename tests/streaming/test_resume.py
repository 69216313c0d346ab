from __future__ import annotations

from contextlib import aclosing
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.streaming.interrupted import StreamInterrupted
from llmkit.streaming.resume import resumed
from llmkit.testing import FakeOpenAI, virtual_time

TEXT = "Hello there, how are you today?"


async def background(fake: FakeOpenAI, *, max_resumes: int = 3) -> list[Any]:
    client = fake.async_client(middleware=[], max_retries=0)
    stream = await client.responses.create(model="gpt-4o", input="Hi", stream=True, background=True)
    return [event async for event in resumed(client, stream, max_resumes=max_resumes)]


def numbers(events: list[Any]) -> list[int]:
    return [event.sequence_number for event in events]


def asked_after(fake: FakeOpenAI) -> list[int]:
    return [int(request.query["starting_after"]) for request in fake.requests[1:]]


async def test_a_stream_that_does_not_break_is_passed_on() -> None:
    fake = FakeOpenAI().reply(TEXT)
    events = await background(fake)
    assert numbers(events) == list(range(len(events)))
    assert len(fake.requests) == 1


async def test_a_broken_stream_goes_on_after_its_last_event() -> None:
    fake = FakeOpenAI().drop(TEXT, after=6)
    with virtual_time() as clock:
        events = await background(fake)
    assert numbers(events) == list(range(len(events)))
    assert events[-1].response.output_text == TEXT
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    assert asked_after(fake) == [5]
    assert len(clock.sleeps) == 1
    assert fake.open_streams == 0


@settings(deadline=None, max_examples=30)
@given(drops=st.lists(st.integers(1, 6), min_size=1, max_size=5))
async def test_any_number_of_breaks_loses_and_repeats_nothing(drops: list[int]) -> None:
    first, *others = drops
    fake = FakeOpenAI().drop(TEXT, after=first)
    for after in others:
        fake.drop(after=after)
    with virtual_time():
        events = await background(fake, max_resumes=5)
    assert numbers(events) == list(range(len(events)))
    assert fake.pending == 0
    assert fake.open_streams == 0


async def test_it_gives_up_after_attempts_that_bring_nothing() -> None:
    fake = FakeOpenAI().drop(TEXT, after=6).drop(after=2).drop(after=0).drop(after=0).drop(after=0)
    with virtual_time() as clock, pytest.raises(StreamInterrupted) as caught:
        await background(fake, max_resumes=2)
    assert asked_after(fake) == [5, 7, 7]
    assert (caught.value.sequence_number, caught.value.resumable) == (7, True)
    assert TEXT.startswith(caught.value.text)
    assert isinstance(caught.value.__cause__, openai.APIConnectionError)
    assert len(clock.sleeps) == 3
    assert fake.open_streams == 0


async def test_it_never_resumes_when_told_so() -> None:
    fake = FakeOpenAI().drop(TEXT, after=6)
    with pytest.raises(StreamInterrupted):
        await background(fake, max_resumes=0)
    assert len(fake.requests) == 1


async def test_a_foreground_stream_is_interrupted_at_once() -> None:
    fake = FakeOpenAI().drop(TEXT, after=6)
    client = fake.async_client(middleware=[])
    stream = await client.responses.create(model="gpt-4o", input="Hi", stream=True)
    with pytest.raises(StreamInterrupted) as caught:
        [event async for event in resumed(client, stream)]
    assert (caught.value.resumable, len(fake.requests)) == (False, 1)


async def test_a_body_that_ends_early_is_resumed_too() -> None:
    fake = FakeOpenAI().reply(TEXT)
    client = fake.async_client(middleware=[])
    stream = await client.responses.create(model="gpt-4o", input="Hi", stream=True, background=True)
    first = [await anext(stream) for _ in range(6)]
    await stream.close()

    async def cut() -> Any:
        for event in first:
            yield event

    with virtual_time():
        events = [event async for event in resumed(client, cut())]
    assert numbers(events) == list(range(len(events)))


async def test_events_that_come_again_are_passed_over() -> None:
    fake = FakeOpenAI().drop(TEXT, after=6)

    def all_again(request: Any) -> httpx2.Response:
        body = "".join(f'data: {{"type": "response.x", "sequence_number": {n}}}\n\n' for n in (4, 5, 6))
        done = 'data: {"type": "response.completed", "response": {"id": "resp_fake_1", "output": []}}\n\n'
        return httpx2.Response(200, text=body + done, headers={"content-type": "text/event-stream"})

    fake.respond(all_again)
    with virtual_time():
        events = await background(fake)
    assert numbers(events[:-1]) == [0, 1, 2, 3, 4, 5, 6]
    assert events[-1].type == "response.completed"


async def test_a_server_that_is_busy_is_asked_again_when_it_says() -> None:
    fake = FakeOpenAI().drop(TEXT, after=6).error(503, headers={"retry-after": "7"})
    with virtual_time() as clock:
        events = await background(fake)
    assert numbers(events) == list(range(len(events)))
    assert clock.sleeps[1] == 7.0


async def test_a_server_that_cannot_be_reached_is_asked_again() -> None:
    fake = FakeOpenAI().drop(TEXT, after=6).fail(httpx2.ConnectError("refused"))
    with virtual_time():
        events = await background(fake)
    assert numbers(events) == list(range(len(events)))


async def test_a_response_that_is_gone_ends_it() -> None:
    fake = FakeOpenAI().drop(TEXT, after=6).error(404)
    with virtual_time() as clock, pytest.raises(StreamInterrupted) as caught:
        await background(fake)
    assert isinstance(caught.value.__cause__, openai.NotFoundError)
    assert len(clock.sleeps) == 1


async def test_leaving_early_closes_the_resumed_stream() -> None:
    fake = FakeOpenAI().drop(TEXT, after=2)
    client = fake.async_client(middleware=[])
    stream = await client.responses.create(model="gpt-4o", input="Hi", stream=True, background=True)
    with virtual_time():
        async with aclosing(resumed(client, stream)) as events:
            async for event in events:
                if event.sequence_number == 4:
                    break
    assert fake.open_streams == 0


async def test_a_resumed_stream_that_was_never_read_is_closed() -> None:
    fake = FakeOpenAI()
    client = fake.async_client(middleware=[])
    stream = await client.responses.create(model="gpt-4o", input="Hi", stream=True, background=True)
    async with resumed(client, stream):
        assert fake.open_streams == 1
    assert fake.open_streams == 0
