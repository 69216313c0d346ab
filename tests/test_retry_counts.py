"""How many HTTP requests each failure costs, on a real server, whoever says how often to retry."""

from __future__ import annotations

import itertools
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from surfaces import CHAT
from wire_servers import accepting, has_request

import llmkit
from llmkit import Retry, UsageLog
from llmkit.errors import InvalidResponse
from llmkit.testing import virtual_time


class Failing:
    """A server that fails in the way of `self.failure`, and notes when it was asked."""

    def __init__(self) -> None:
        self.failure = ""
        self.asked_at: list[float] = []

    def serve(self, connection: socket.socket) -> None:
        while has_request(connection):
            self.asked_at.append(time.monotonic())
            if self.failure == "dropped":
                return
            if self.failure == "silent":
                connection.recv(1)  # until the client gives up
                return
            connection.sendall(answer(self.failure))


def answer(failure: str) -> bytes:
    status, _, rest = failure.partition(" ")
    header = "".join(f"{line}\r\n" for line in re.findall(r"\[(.*?)\]", rest))
    code = re.sub(r"\[.*?\]", "", rest).strip() or None
    body = b'{"choices": [' if failure == "200 garbage" else json.dumps({"error": {"code": code}}).encode()
    return (
        f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{header}\r\n"
    ).encode() + body


@pytest.fixture(scope="module")
def failing() -> Iterator[Failing]:
    server = Failing()
    with accepting(server.serve) as port:
        server.url = f"http://127.0.0.1:{port}/v1"  # type: ignore[attr-defined]
        yield server


# What the SDK retries by itself, and what a Retry does.
PASSING = {"408", "409", "429", "500", "503", "dropped", "silent", "400 [x-should-retry: true]"}
FAILURES = {
    **dict.fromkeys(PASSING, (True, True)),
    "429 insufficient_quota": (True, False),
    "429 [retry-after: 121]": (False, False),
    "429 [x-should-retry: false]": (False, False),
    "500 [x-should-retry: false]": (False, False),
    "200 garbage": (False, True),
    **dict.fromkeys(("400", "401", "403", "404", "413", "422"), (False, False)),
}
POLICIES: dict[str, int | None] = {"none": None, "the default": 2, "0": 0, "1": 1, "5": 5}
CEILINGS: dict[str, tuple[dict[str, int], dict[str, int], int | None]] = {
    "nobody": ({}, {}, None),
    "the constructor": ({"max_retries": 1}, {}, 1),
    "the constructor, as the default is": ({"max_retries": 2}, {}, 2),
    "with_options": ({}, {"max_retries": 3}, 3),
    "with_options over the constructor": ({"max_retries": 4}, {"max_retries": 0}, 0),
    "openai-agents, which retries by itself": ({"max_retries": 2}, {"max_retries": 0}, 0),
}


def expected_requests(failure: str, policy: str, ceiling: int | None) -> int:
    by_sdk, by_retry = FAILURES[failure]
    if policy == "none":
        return 1 + (2 if ceiling is None else ceiling) * by_sdk
    own = POLICIES[policy]
    assert own is not None
    limits = [limit for limit in (None if policy == "the default" else own, ceiling) if limit is not None]
    return 1 + min(limits, default=2) * by_retry


def layers(policy: str) -> list[Any]:
    if policy == "none":
        return [UsageLog(sinks=[])]
    return [UsageLog(sinks=[]), Retry() if policy == "the default" else Retry(max_retries=POLICIES[policy])]


@pytest.fixture
def no_waiting_in_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0)


@pytest.mark.usefixtures("no_waiting_in_the_sdk")
@pytest.mark.block_network(allowed_hosts=["127\\.0\\.0\\.1"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_every_failure_costs_exactly_the_requests_that_are_allowed(failing: Any, failure: str) -> None:
    failing.failure = failure
    timeout = 0.05 if failure == "silent" else 30
    for policy, (who, (made, changed, ceiling)) in itertools.product(POLICIES, CEILINGS.items()):
        del failing.asked_at[:]
        async with llmkit.AsyncOpenAI(
            api_key="sk-fake", base_url=failing.url, timeout=timeout, middleware=layers(policy), **made
        ) as client:
            asking = client.with_options(**changed) if changed else client
            with virtual_time(), pytest.raises((openai.OpenAIError, ValueError)):
                await asking.chat.completions.create(**CHAT)
        assert len(failing.asked_at) == expected_requests(failure, policy, ceiling), (failure, policy, who)


@pytest.mark.usefixtures("no_waiting_in_the_sdk")
@pytest.mark.block_network(allowed_hosts=["127\\.0\\.0\\.1"])
@pytest.mark.parametrize("ceiling", [0, 1, 4])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_ceiling_of_the_call_itself_counts_too_and_in_sync_clients(failing: Any, policy: str, ceiling: int) -> None:
    failing.failure = "500"
    del failing.asked_at[:]
    with (
        llmkit.OpenAI(api_key="sk-fake", base_url=failing.url, max_retries=3, middleware=layers(policy)) as client,
        virtual_time(),
        pytest.raises(openai.InternalServerError),
    ):
        client.post("/chat/completions", body=CHAT, cast_to=object, options={"max_retries": ceiling})
    assert len(failing.asked_at) == expected_requests("500", policy, ceiling)


@pytest.mark.block_network(allowed_hosts=["127\\.0\\.0\\.1"])
@pytest.mark.parametrize("header", ["retry-after: 0.2", "retry-after-ms: 200", "x-ratelimit-reset-tokens: 200ms"])
async def test_the_wait_that_a_server_asks_for_is_never_shortened(failing: Any, header: str) -> None:
    used_up = "[x-ratelimit-remaining-tokens: 0]" if "reset" in header else ""
    failing.failure = f"429 [{header}]{used_up}"
    del failing.asked_at[:]
    async with llmkit.AsyncOpenAI(api_key="sk-fake", base_url=failing.url, middleware=[Retry(max_retries=3)]) as client:
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(**CHAT)
    waited = [later - earlier for earlier, later in itertools.pairwise(failing.asked_at)]
    assert len(waited) == 3
    assert min(waited) >= 0.2


@pytest.mark.block_network(allowed_hosts=["127\\.0\\.0\\.1"])
async def test_an_answer_without_sense_is_an_error_that_names_what_is_wrong_with_it(failing: Any) -> None:
    failing.failure = "200 garbage"
    async with llmkit.AsyncOpenAI(api_key="sk-fake", base_url=failing.url) as client:
        with virtual_time(), pytest.raises(InvalidResponse, match="JSON"):
            await client.chat.completions.create(**CHAT)
