from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.responses import Response

from llmkit.batches import run_batch
from llmkit.testing import FakeOpenAI, virtual_time

HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_sync_client_returns_when_all_is_done(tmp_path: Path) -> None:
    fake = FakeOpenAI().batch(polls=2).reply("Hi")
    with virtual_time() as clock:
        (answer,) = run_batch(fake.client(), [HELLO], state=tmp_path / "job.json")
    assert answer.choices[0].message.content == "Hi"
    assert clock.sleeps == [5, 7.5]


async def test_a_client_of_the_bare_sdk_will_do(tmp_path: Path) -> None:
    fake = FakeOpenAI().batch(polls=0)
    client = openai.AsyncOpenAI(api_key="k", base_url=fake.base_url, http_client=fake.async_http_client())
    (answer,) = await run_batch(client, [HELLO], state=str(tmp_path / "job.json"), progress=False)
    assert answer.choices[0].message.content == "You said: Hello"


async def test_responses_and_embeddings_have_answers_of_their_own(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    client = fake.async_client()
    with virtual_time():
        (response,) = await run_batch(
            client, [{"model": "gpt-4o", "input": "Hello"}], endpoint="/v1/responses", state=tmp_path / "r.json"
        )
        (vectors,) = await run_batch(
            client, [{"model": "m", "input": ["a", "b"]}], endpoint="/v1/embeddings", state=tmp_path / "e.json"
        )
    assert type(response) is Response
    assert response.output_text == "You said: Hello"
    assert type(vectors) is CreateEmbeddingResponse
    assert [item.index for item in vectors.data] == [0, 1]


async def test_no_requests_are_no_job(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    assert await run_batch(fake.async_client(), [], state=tmp_path / "job.json") == []
    assert fake.requests == list(tmp_path.iterdir()) == []


async def test_metadata_goes_with_the_batch(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    with virtual_time():
        await run_batch(fake.async_client(), iter([HELLO]), state=tmp_path / "job.json", metadata={"team": "search"})
    assert fake.requests[1].body["metadata"].keys() == {"team", "llmkit_batch"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoint": "/v1/images"}, "endpoint='/v1/images' is unknown; use one of /v1/chat/completions, "),
        ({"first_wait": 0}, "first_wait=0 must be above 0 and at most max_wait=60.0"),
        ({"first_wait": 61}, "at most max_wait=60.0"),
        ({"metadata": {str(n): "x" for n in range(16)}}, "metadata has 16 entries; a batch takes 15"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run_batch(FakeOpenAI().async_client(), [HELLO], **{"state": tmp_path / "job.json"} | options)


def test_only_clients_are_clients(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="takes a client of llmkit or the openai SDK, not a str"):
        run_batch("sk-key", [HELLO], state=tmp_path / "job.json")  # type: ignore[call-overload]
