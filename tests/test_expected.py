from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from llmkit import CallNext, Request, tokens
from llmkit.expected import Expected, expected_tokens
from llmkit.testing import FakeOpenAI, virtual_time
from llmkit.tokens import count_request, vocabulary

TEXT = "Name a colour, and say why it is the one you like best of all."
MESSAGES: Any = [{"role": "user", "content": TEXT}]
CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}


async def expected(path: str, body: dict[str, Any], *, predicted: int | None = None) -> Expected:
    """What is expected of a POST with this body, when the record has `predicted` tokens."""
    seen: list[Expected] = []

    async def look(request: Request, call_next: CallNext) -> Any:
        request.record.predicted_tokens = predicted
        seen.append(await expected_tokens(request, output_tokens=500))
        return {"done": True}

    client = FakeOpenAI().async_client(middleware=[look])
    await client.post(path, body=body, cast_to=object)
    return seen[0]


@pytest.fixture
def not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vocabularies of this process are not there, and loading them has begun."""
    monkeypatch.setattr(vocabulary, "_loaded", {})
    monkeypatch.setattr(vocabulary._loading, "begun", {"o200k_base", "cl100k_base"})


async def test_what_context_has_counted_is_taken() -> None:
    assert await expected("/chat/completions", CHAT, predicted=7) == (7, 500)


async def test_the_input_is_counted_as_it_is_billed() -> None:
    body = CHAT | {"tools": [{"type": "function", "function": {"name": "paint", "parameters": {}}}]}
    counted = count_request(body, operation="chat.completions").total
    assert await expected("/chat/completions", body) == (counted, 500)
    embedded: Any = {"model": "text-embedding-3-small", "input": [[1, 2, 3], [4]]}
    assert await expected("/embeddings", embedded) == (4, 0)


async def test_without_a_vocabulary_it_is_a_quarter_of_the_bytes(not_loaded: None) -> None:
    assert await expected("/chat/completions", CHAT) == (1 + 16, 500)  # the role, and 63 characters
    assert await expected("/embeddings", {"model": "text-embedding-3-small", "input": [[1, 2, 3], [4]]}) == (4, 0)
    assert await expected("/embeddings", {"model": "text-embedding-3-small", "input": [1, 2, 3]}) == (3, 0)


async def test_what_cannot_be_counted_is_estimated() -> None:
    assert await expected("/images/generations", {"model": "gpt-image-1", "prompt": TEXT}) == (16, 500)
    assert await expected("/chat/completions", CHAT | {"messages": [{"role": "user", "content": 5.5}]}) == (1, 500)


async def test_without_a_model_or_with_nonsense_for_one_it_is_estimated() -> None:
    assert await expected("/responses", {"prompt": {"id": "pmpt_1"}, "input": TEXT}) == (16 + 2, 500)
    assert await expected("/chat/completions", CHAT | {"model": 5}) == (17, 500)


async def test_a_request_without_texts_has_no_input() -> None:
    assert await expected("/files", {}) == (0, 500)
    assert await expected("/audio/speech", {"model": "tts-1"}) == (0, 500)


async def test_an_inline_image_is_not_estimated_by_its_base64(not_loaded: None) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    body = CHAT | {"messages": [{"role": "user", "content": [image]}]}
    assert (await expected("/chat/completions", body)).input_tokens == 1 + 3


async def test_what_is_nested_beyond_measure_is_left_to_the_sdk() -> None:
    nested: Any = "deep"
    for _ in range(2_000):
        nested = [nested]
    request = await request_of(CHAT)
    assert await expected_tokens(request.replace(body={**CHAT, "tools": nested}), output_tokens=1) == (0, 1)


@pytest.mark.parametrize(("words", "in_a_thread"), [(100, False), (60_000, True)])
async def test_long_texts_are_counted_off_the_event_loop(
    words: int, in_a_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    body = CHAT | {"messages": [{"role": "user", "content": "blue " * words}]}

    def count(body: Any, *, operation: str) -> Any:
        threads.append(threading.get_ident())
        return count_request(body, operation=operation)

    monkeypatch.setattr("llmkit.expected.count_request", count)
    assert (await expected("/chat/completions", body)).input_tokens > words
    assert (threads[0] != threading.get_ident()) is in_a_thread


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ({}, 500),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 7, "max_tokens": 9}, 7),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"n": 3}, 1_500),
        ({"n": 0}, 500),
        ({"n": True}, 500),
        ({"max_tokens": None}, 500),
        ({"max_tokens": -1}, 500),
        ({"max_tokens": "7"}, 500),
    ],
)
async def test_the_output_is_what_the_request_allows(given: dict[str, Any], output: int) -> None:
    assert (await expected("/chat/completions", CHAT | given)).output_tokens == output


async def test_embeddings_and_moderations_have_no_output() -> None:
    assert (await expected("/moderations", {"model": "omni-moderation-latest", "input": TEXT})).output_tokens == 0


def test_a_sync_client_counts_the_same_in_its_own_thread() -> None:
    seen: list[Expected] = []

    async def look(request: Request, call_next: CallNext) -> Any:
        seen.append(await expected_tokens(request, output_tokens=500))
        return await call_next(request)

    FakeOpenAI().client(middleware=[look]).chat.completions.create(**CHAT)
    assert seen == [(tokens.count_request(CHAT, operation="chat.completions").total, 500)]


async def test_interleaved_calls_do_not_mix() -> None:
    bodies = [CHAT | {"max_tokens": number, "messages": MESSAGES * number} for number in range(1, 9)]
    found = await asyncio.gather(*(expected("/chat/completions", body) for body in bodies))
    assert found == [(count_request(body, operation="chat.completions").total, body["max_tokens"]) for body in bodies]


async def request_of(body: Any) -> Request:
    seen: list[Request] = []

    async def look(request: Request, call_next: CallNext) -> Any:
        seen.append(request)
        return await call_next(request)

    with virtual_time():
        await FakeOpenAI().async_client(middleware=[look]).chat.completions.create(**body)
    return seen[0]
