from __future__ import annotations

import httpx2

from llmkit import count_on_server
from llmkit.testing import FakeOpenAI


async def test_the_server_counts_what_shapes_the_input_and_nothing_else_is_sent() -> None:
    fake = FakeOpenAI().respond(httpx2.Response(200, json={"object": "response.input_tokens", "input_tokens": 42}))
    body = {"model": "gpt-5", "input": "hi", "previous_response_id": "resp_1", "temperature": 1, "stream": True}
    count = await count_on_server(fake.async_client(middleware=[]), body)
    assert (int(count), count.exact) == (42, True)
    (request,) = fake.requests
    assert request.path.endswith("/responses/input_tokens")
    assert request.body == {"model": "gpt-5", "input": "hi", "previous_response_id": "resp_1"}
