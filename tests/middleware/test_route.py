from __future__ import annotations

import asyncio
import logging
from typing import Any

import openai
import pytest
from surfaces import ASYNC, SYNC

import llmkit
from llmkit import CallNext, CallRecord, Context, Request, UsageLog
from llmkit.middleware.fallback import Fallback
from llmkit.middleware.route import Route, Rule
from llmkit.testing import FakeOpenAI
from llmkit.tokens import count_request

HELLO: Any = [{"role": "user", "content": "Hello"}]
CHAT: Any = {"model": "gpt-4o", "messages": HELLO}
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
LENGTH = count_request(CHAT, operation="chat.completions").total


async def routed(*rules: Any, tags: Any = None, **asked: Any) -> tuple[str, CallRecord]:
    """The model that a chat request went to, and its record."""
    fake, records = FakeOpenAI(), list[CallRecord]()
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append]), Route(*rules)])
    with llmkit.tags(**(tags or {})):
        await client.chat.completions.create(**(CHAT | asked))
    return fake.requests[0].body["model"], records[0]


async def test_the_record_says_which_model_was_asked_instead() -> None:
    model, record = await routed(Rule("gpt-4o-mini"))
    assert model == "gpt-4o-mini"
    assert (record.model, record.sent_model, record.response_model) == ("gpt-4o", "gpt-4o-mini", "gpt-4o-mini")


@pytest.mark.parametrize(
    ("rule", "asked", "matches"),
    [
        ({"max_input_tokens": LENGTH}, {}, True),
        ({"max_input_tokens": LENGTH - 1}, {}, False),
        ({"tools": False}, {}, True),
        ({"tools": False}, {"tools": [TOOL]}, False),
        ({"tools": True}, {"tools": [TOOL]}, True),
        ({"tools": True}, {"extra_body": {"functions": [{"name": "f"}]}}, True),
        ({"tools": True}, {"tools": []}, False),
        ({"tags": {"feature": "chat"}}, {"tags": {"feature": "chat", "user": "alice"}}, True),
        ({"tags": {"feature": "chat", "user": "bob"}}, {"tags": {"feature": "chat", "user": "alice"}}, False),
        ({"tags": {"feature": "chat"}}, {}, False),
        ({"models": ("gpt-4o", "o3")}, {}, True),
        ({"models": ("o3",)}, {}, False),
        ({"operation": "chat.completions"}, {}, True),
        ({"operation": "responses"}, {}, False),
        ({"max_input_tokens": 500, "tools": False, "tags": {"feature": "chat"}}, {"tags": {"feature": "chat"}}, True),
        ({"max_input_tokens": 500, "tools": True, "tags": {"feature": "chat"}}, {"tags": {"feature": "chat"}}, False),
    ],
)
async def test_a_rule_describes_requests(rule: Any, asked: Any, matches: bool) -> None:
    model, record = await routed(Rule("gpt-4o-mini", **rule), **asked)
    assert model == ("gpt-4o-mini" if matches else "gpt-4o")
    assert record.sent_model == ("gpt-4o-mini" if matches else None)


async def test_the_first_rule_that_has_a_model_wins_and_rules_mix_with_functions() -> None:
    rules = (Rule("a", tools=True), lambda request: None, lambda request: f"{request.model}-b", Rule("c"))
    assert (await routed(*rules))[0] == "gpt-4o-b"
    assert (await routed(*rules, tools=[TOOL]))[0] == "a"
    assert (await routed(rules[1], rules[3]))[0] == "c"
    assert (await routed(rules[1]))[0] == "gpt-4o"


async def test_the_model_that_was_asked_for_anyway_is_no_route() -> None:
    model, record = await routed(Rule("gpt-4o"), Rule("gpt-4o-mini"))
    assert (model, record.sent_model) == ("gpt-4o", None)


async def test_the_count_of_a_context_above_is_used() -> None:
    fake, seen = FakeOpenAI(), list[int | None]()

    async def overstate(request: Request, call_next: CallNext) -> Any:
        seen.append(request.record.predicted_tokens)
        request.record.predicted_tokens = 501
        return await call_next(request)

    client = fake.async_client(middleware=[Context(), overstate, Route(Rule("gpt-4o-mini", max_input_tokens=500))])
    await client.chat.completions.create(**CHAT)
    assert (seen, fake.requests[0].body["model"]) == ([LENGTH], "gpt-4o")


async def test_a_dry_run_logs_what_it_would_do_and_leaves_the_call_alone(caplog: pytest.LogCaptureFixture) -> None:
    fake, records = FakeOpenAI(), list[CallRecord]()
    route = Route(Rule("x", tools=True), Rule("gpt-4o-mini", models=("gpt-4o",)), dry_run=True)
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append]), route])
    with caplog.at_level(logging.INFO, logger="llmkit"):
        await client.chat.completions.create(**CHAT)
        await client.chat.completions.create(**CHAT | {"model": "gpt-4o-mini"})
    logged = [(entry.levelname, entry.getMessage()) for entry in caplog.records if entry.name == "llmkit"]
    assert logged == [("INFO", "Route would send gpt-4o to gpt-4o-mini, by rule 1")]
    assert [request.body["model"] for request in fake.requests] == ["gpt-4o", "gpt-4o-mini"]
    assert [(record.sent_model, record.hint) for record in records] == [(None, None)] * 2


async def test_a_rule_that_raises_leaves_the_call_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: Request) -> str:
        raise KeyError(f"SECRET {request.body}")

    with caplog.at_level(logging.INFO, logger="llmkit"):
        assert (await routed(Rule("x", tools=True), broken, Rule("gpt-4o-mini")))[0] == "gpt-4o"
        assert (await routed(lambda request: 7))[0] == "gpt-4o"
    assert [(entry.levelname, entry.getMessage()) for entry in caplog.records if entry.name == "llmkit"] == [
        ("WARNING", "Route left a call as it was: rule 1 raised KeyError"),
        ("WARNING", "Route left a call as it was: rule 0 raised TypeError"),
    ]
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("surface", ["create", "create_stream", "stream_helper", "parse", "raw", "streaming_response",
                                     "responses_create", "responses_stream", "responses_helper"])  # fmt: skip
async def test_every_way_to_ask_is_routed(surface: str) -> None:
    fake, records = FakeOpenAI(), list[CallRecord]()
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append]), Route(Rule("gpt-4.1", tools=False))])
    await ASYNC[surface](client)
    assert [request.body["model"] for request in fake.requests] == ["gpt-4.1"]
    assert [(record.sent_model, record.complete) for record in records] == [("gpt-4.1", True)]


@pytest.mark.parametrize("surface", ["sync_create", "sync_create_stream", "sync_responses_create"])
def test_sync_clients_are_routed(surface: str) -> None:
    fake = FakeOpenAI()
    SYNC[surface](fake.client(middleware=[Route(Rule("gpt-4.1", max_input_tokens=500))]))
    assert fake.requests[0].body["model"] == "gpt-4.1"


async def test_other_operations_are_left_alone() -> None:
    fake = FakeOpenAI()
    client = fake.async_client(middleware=[Route(Rule("gpt-4o-mini"))])
    await client.embeddings.create(model="text-embedding-3-small", input="blue")
    await client.models.list()
    await client.completions.create(model="gpt-3.5-turbo-instruct", prompt="A colour:")
    with pytest.raises(openai.BadRequestError):  # the fake has no stored prompts, which name their model themselves
        await client.responses.create(input="Hello", prompt={"id": "pmpt_1"})
    assert [request.body.get("model") for request in fake.requests] == [
        "text-embedding-3-small",
        None,
        "gpt-3.5-turbo-instruct",
        None,
    ]


async def test_a_routed_call_falls_back_from_the_model_it_went_to() -> None:
    fake, records = FakeOpenAI().error(500), list[CallRecord]()
    layers = [UsageLog(sinks=[records.append]), Route(Rule("gpt-4o-mini")), Fallback("gpt-4.1-mini")]
    await fake.async_client(middleware=layers, max_retries=0).chat.completions.create(**CHAT)
    assert [request.body["model"] for request in fake.requests] == ["gpt-4o-mini", "gpt-4.1-mini"]
    assert records[0].sent_model == "gpt-4.1-mini"


async def test_calls_at_the_same_time_are_routed_each_on_its_own() -> None:
    gate, waiting = asyncio.Event(), list[None]()

    async def together(request: Request, call_next: CallNext) -> Any:
        waiting.append(None)
        if len(waiting) == 4:
            gate.set()
        await gate.wait()
        return await call_next(request)

    client = FakeOpenAI().async_client(middleware=[Route(Rule("gpt-4o-mini", tags={"kind": "small"})), together])

    async def call(kind: str) -> str:
        with llmkit.tags(kind=kind):
            return (await client.chat.completions.create(**CHAT)).model

    answers = await asyncio.gather(*map(call, ["small", "large", "small", "large"]))
    assert answers == ["gpt-4o-mini", "gpt-4o"] * 2


class AsyncRule:
    async def __call__(self, request: Request) -> str:
        return "never"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Route(), ValueError, "Route\\(\\) has no rule"),
        (lambda: Route("gpt-4o-mini"), TypeError, "Route got a str; a rule is"),  # type: ignore[arg-type]
        (lambda: Route(Rule), TypeError, "Route got a type"),
        (lambda: Route(AsyncRule()), TypeError, "an async function"),  # type: ignore[arg-type]
        (lambda: Route(AsyncRule().__call__), TypeError, "an async function"),  # type: ignore[arg-type]
        (lambda: Rule(""), ValueError, "model='' names no model"),
        (lambda: Rule("m", max_input_tokens=0), ValueError, "max_input_tokens=0 lets no request pass"),
        (lambda: Rule("m", models="gpt-4o"), TypeError, "use models=\\('gpt-4o',\\)"),
        (lambda: Rule("m", operation="embeddings"), ValueError, "operation='embeddings' is not routed"),  # type: ignore[arg-type]
    ],
)
def test_impossible_rules_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
