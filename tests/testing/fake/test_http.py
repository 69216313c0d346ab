"""Network chunks, waits before them, and bodies that are left open."""

from __future__ import annotations

from itertools import islice

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.testing import FakeOpenAI, virtual_time

HELLO = [{"role": "user", "content": "Hello"}]
KEY = {"authorization": "Bearer k"}
STREAMED = {"model": "m", "messages": HELLO, "stream": True}


def raw_chunks(fake: FakeOpenAI) -> list[bytes]:
    with (
        fake.http_client() as client,
        client.stream("POST", f"{fake.base_url}/chat/completions", json=STREAMED, headers=KEY) as response,
    ):
        return list(response.iter_raw())


def test_each_event_is_a_chunk_of_its_own_unless_cut() -> None:
    chunks = raw_chunks(FakeOpenAI())
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in chunks)
    assert chunks[-1] == b"data: [DONE]\n\n"


def test_cut_sets_the_bytes_of_every_chunk() -> None:
    assert {len(chunk) for chunk in raw_chunks(FakeOpenAI(cut=7))[:-1]} == {7}


def test_cut_sizes_take_turns() -> None:
    assert [len(chunk) for chunk in raw_chunks(FakeOpenAI(cut=(1, 5)))[:4]] == [1, 5, 1, 5]


@given(cut=st.lists(st.integers(1, 40), min_size=1), text=st.text(st.characters(codec="utf-8"), min_size=1))
def test_however_it_is_cut_the_text_arrives(cut: list[int], text: str) -> None:
    fake = FakeOpenAI(cut=cut, stream_chars=3).reply(text)
    with openai.OpenAI(api_key="k", base_url=fake.base_url, http_client=fake.http_client()) as client:
        chunks = client.chat.completions.create(model="m", messages=HELLO, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text


async def test_the_delay_passes_before_each_chunk_on_the_caller_s_clock() -> None:
    fake = FakeOpenAI(delay=0.5)
    async with openai.AsyncOpenAI(api_key="k", base_url=fake.base_url, http_client=fake.async_http_client()) as client:
        with virtual_time() as clock:
            await client.chat.completions.create(model="m", messages=HELLO)
            assert clock.sleeps == [0.5]
            chunks = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
            first = await anext(aiter(chunks))
            assert clock.sleeps == [0.5, 0.5]
            await chunks.close()
    assert first.choices[0].delta.role == "assistant"


def test_a_sync_client_waits_on_the_same_clock() -> None:
    fake = FakeOpenAI(delay=2)
    with virtual_time() as clock:
        count = len(raw_chunks(fake))
    assert clock.sleeps == [2] * count


def test_open_streams_counts_what_was_not_closed() -> None:
    fake = FakeOpenAI()
    with openai.OpenAI(api_key="k", base_url=fake.base_url, http_client=fake.http_client()) as client:
        one = client.chat.completions.create(model="m", messages=HELLO, stream=True)
        two = client.chat.completions.create(model="m", messages=HELLO, stream=True)
        assert fake.open_streams == 2
        next(one)
        one.close()
        one.close()
        assert fake.open_streams == 1
        list(two)
    assert fake.open_streams == 0


async def test_open_streams_counts_async_bodies_too() -> None:
    fake = FakeOpenAI()
    async with fake.async_http_client() as http:
        client = openai.AsyncOpenAI(api_key="k", base_url=fake.base_url, http_client=http)
        async with client.chat.completions.with_streaming_response.create(model="m", messages=HELLO):
            assert fake.open_streams == 1
    assert fake.open_streams == 0


@pytest.mark.parametrize("cut", [None, 5])
def test_a_dropped_stream_loses_nothing_that_came_before(cut: int | None) -> None:
    fake = FakeOpenAI(cut=cut).drop("Hello you", after=2)
    with openai.OpenAI(api_key="k", base_url=fake.base_url, http_client=fake.http_client()) as client:
        chunks = client.chat.completions.create(model="m", messages=HELLO, stream=True)
        assert [chunk.choices[0].delta.content for chunk in islice(chunks, 2)] == ["", "Hell"]
        with pytest.raises(openai.APIConnectionError):
            next(chunks)
