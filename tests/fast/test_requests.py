"""What llmkit sends is what the SDK sends: HYPOTHESIS_EXAMPLES=5000 runs the long version."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import os
import pickle
from collections.abc import Awaitable, Callable, Iterator
from types import MappingProxyType
from typing import Any
from unittest import mock

import httpx2
import openai
import pytest
from fast import generated
from fast.generated import Aliased, Colour, Role, objects
from fast.wire import OPTIONS, Call, Made, Recorder, Wire, a_client, answer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import NOT_GIVEN, omit
from openai._utils import _transform
from openai.resources.chat import AsyncChat, AsyncCompletions, Completions
from openai.types.responses import ResponseConfigurationUpdateItem

import llmkit
from llmkit import CallNext, Request, Retry
from llmkit.fast import requests, shapes

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "100"))
often = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="HYPOTHESIS_EXAMPLES" not in os.environ,  # CI fails for a change, not for a throw of dice
    suppress_health_check=list(HealthCheck),
)
warns_as_the_sdk_does = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")

USER: Any = {"role": "user", "content": "Hi"}
CHAT: Any = {"model": "gpt-4o", "messages": [USER]}
PARAMETERS: Any = {"type": "object", "properties": {}}
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}
CREATE = "chat.completions.create"


# --- the same bytes, headers and errors


@warns_as_the_sdk_does
@often
@given(generated.chat_creates, generated.kinds, st.booleans())
def test_chat_completions_create(wire: Wire, call: Call, kind: str, is_async: bool) -> None:
    wire.same(call, kind=kind, ways=(is_async,))


@warns_as_the_sdk_does
@often
@given(generated.chat_parses, generated.kinds, st.booleans())
def test_chat_completions_parse_and_stream(wire: Wire, call: Call, kind: str, is_async: bool) -> None:
    wire.same(call, kind=kind, ways=(is_async,))


@warns_as_the_sdk_does
@often
@given(generated.responses_creates, generated.kinds, st.booleans())
def test_responses_create(wire: Wire, call: Call, kind: str, is_async: bool) -> None:
    wire.same(call, kind=kind, ways=(is_async,))


@warns_as_the_sdk_does
@often
@given(generated.responses_parses, generated.kinds, st.booleans())
def test_responses_parse_and_stream(wire: Wire, call: Call, kind: str, is_async: bool) -> None:
    wire.same(call, kind=kind, ways=(is_async,))


@warns_as_the_sdk_does
@often
@given(generated.beta_responses_creates, generated.kinds, st.booleans())
def test_beta_responses_create(wire: Wire, call: Call, kind: str, is_async: bool) -> None:
    wire.same(call, kind=kind, ways=(is_async,))


@warns_as_the_sdk_does
@often
@given(generated.embeddings_creates, generated.kinds, st.booleans())
def test_embeddings_create(wire: Wire, call: Call, kind: str, is_async: bool) -> None:
    wire.same(call, kind=kind, ways=(is_async,))


def chat(**changes: Any) -> Call:
    return Call(CREATE, {**CHAT, **changes})


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def round_and_round() -> list[Any]:
    message = {**USER}
    message["extra"] = message
    return [message]


UPDATE: Any = {"type": "configuration_update", "text": {"format": {"type": "text"}}}
EDGES: dict[str, Call] = {
    "not given in extra_body is no value": chat(extra_body={"messages": NOT_GIVEN, "model": NOT_GIVEN}),
    "omitted in extra_body": chat(extra_body={"messages": omit}),
    "the model omitted in extra_body": chat(extra_body={"model": omit}),
    "the model in extra_body, too": chat(extra_body={"model": "other"}),
    "the model in extra_body only": chat(model=omit, extra_body={"model": "other"}),
    "messages in extra_body, too": chat(extra_body={"top_k": 1, "messages": [{**USER, "name": "n"}], "a": 2}),
    "no messages in extra_body": chat(extra_body={"messages": []}),
    "no model in responses": Call("responses.create", {"input": [USER], "prompt": {"id": "p"}}),
    "a model of responses in extra_body": Call("responses.create", {"input": [USER], "extra_body": {"model": "m"}}),
    "empty tools and tools in extra_body": Call(
        "responses.create", {"input": "x", "tools": [], "extra_body": {"model": "m", "tools": [{"type": "t"}]}}
    ),
    "empty stop and stop in extra_body": chat(stop=[], extra_body={"stop": ["a"]}),
    "an extra_body that is a list": chat(extra_body=[1]),
    "an extra_body that is text": chat(extra_body="text"),
    "an extra_body that is read-only": chat(extra_body=MappingProxyType({"messages": [USER], "top_k": 1})),
    "a model where a list is expected": chat(messages=[{"role": "assistant", "tool_calls": Colour(name="x")}]),
    "a model where a dict is expected": chat(messages=[{"role": "assistant", "audio": Colour(name="x")}]),
    "a model with aliases in a list": chat(messages=[{"role": "user", "content": [Aliased(Role="x")]}]),
    "a model with aliases as a message": chat(messages=[Aliased(Role="user", content=[Colour(name="x")])]),
    "a model as messages": chat(messages=Colour(name="x")),
    "a number as the model": chat(model=3),
    "an enum as the model": chat(model=Role.USER),
    "a lone surrogate": chat(messages=[{"role": "user", "content": "\ud83d"}]),
    "not a number": chat(messages=[{"role": "user", "content": float("nan")}]),
    "an iterator as content": chat(messages=[{"role": "user", "content": Made("it", lambda: iter([{"type": "x"}]))}]),
    "a generator as messages": chat(messages=Made("them", lambda: (message for message in [USER, USER]))),
    "left out of a message": chat(messages=[{**USER, "name": omit, "extra": NOT_GIVEN}]),
    "a key that is no text": chat(messages=[{**USER, ("a",): 1}]),
    "too deep": chat(messages=[{"role": "user", "content": Made("deep", lambda: nested(900))}]),
    "round and round": chat(messages=Made("round", round_and_round)),
    "a form": chat(messages=[USER] * 40, extra_headers={"content-type": "multipart/form-data; boundary=x"}),
    "a field that is no JSON": chat(messages=[USER] * 40, user=object()),
    "an empty key": Call("embeddings.create", {"model": "e", "input": ["a"], "extra_body": {"": ""}}),
    "an update given as a dict": Call("responses.parse", {"model": "m", "input": [USER, UPDATE], "parse_as": Colour}),
    "an update given as a model": Call(
        "responses.parse",
        {"model": "m", "input": [USER, ResponseConfigurationUpdateItem.construct(**UPDATE)], "parse_as": Colour},
    ),
    "no model": Call(CREATE, {"messages": [USER]}),
    "no messages": Call(CREATE, {"model": "gpt-4o"}),
    "an unknown argument": chat(temprature=1),
    "a positional argument": Call(CREATE, CHAT, positional=("gpt-4o",)),
    "no model to parse": Call("chat.completions.parse", {"messages": [USER]}),
    "no model to embed": Call("embeddings.create", {"input": ["a"]}),
    "an unknown argument of responses": Call("responses.create", {"input": [USER], "temprature": 1}),
}


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("name", EDGES)
def test_requests_that_are_nearly_plain_are_sent_as_the_sdk_sends_them(wire: Wire, name: str, kind: str) -> None:
    outcome = wire.same(EDGES[name], kind=kind)
    assert outcome.sent or outcome.raised


@warns_as_the_sdk_does
@pytest.mark.parametrize("method", ["create", "parse", "with_raw_response.create", "with_streaming_response.create"])
def test_answers_of_the_sdk_go_back_without_what_it_keeps_to_itself(wire: Wire, method: str) -> None:
    messages = [USER, *objects()["messages"], {"role": "assistant", "tool_calls": objects()["tool_calls"]}]
    assert wire.same(Call(f"chat.completions.{method}", {"model": "gpt-4o", "messages": messages})).sent
    items = [USER, *objects()["input"], {"role": "assistant", "content": objects()["parts"]}]
    method = "create" if method == "parse" else method
    (sent,) = wire.same(Call(f"responses.{method}", {"model": "gpt-4o", "input": items})).sent
    assert b'"parsed"' not in sent.body


WALKED: dict[str, Callable[[Any, int], Any]] = {
    "create": lambda client, size: client.chat.completions.create(model="m", messages=[USER] * size),
    "tools": lambda client, size: client.chat.completions.create(**CHAT, tools=[TOOL] * size),
    "parse": lambda client, size: client.chat.completions.parse(model="m", messages=[USER] * size),
    "raw": lambda client, size: client.chat.completions.with_raw_response.create(model="m", messages=[USER] * size),
    "beta": lambda client, size: client.beta.chat.completions.create(model="m", messages=[USER] * size),
    "responses": lambda client, size: client.responses.create(model="m", input=[USER] * size),
    "responses parse": lambda client, size: client.responses.parse(model="m", input=[USER] * size),
    "beta responses": lambda client, size: client.beta.responses.create(model="m", input=[USER] * size),
    "embeddings": lambda client, size: client.embeddings.create(model="m", input=["a"] * size),
}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("way", WALKED)
async def test_the_sdk_walks_no_further_for_more_data(
    way: str, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [0]

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **options: Any) -> Any:
            steps[0] += 1
            return original(*args, **options)

        return count

    for name in ("_transform_recursive", "_async_transform_recursive"):
        monkeypatch.setattr(_transform, name, counted(getattr(_transform, name)))
    client = a_client(Recorder(), is_async=is_async, middleware=[])
    taken: list[int] = []
    for size in (1, 50):
        steps[0] = 0
        result = WALKED[way](client, size)
        if inspect.isawaitable(result):
            await result
        taken.append(steps[0])
    assert taken[0] == taken[1] > 0


async def test_the_model_and_the_messages_come_to_middleware_as_plain_data() -> None:
    seen: list[Request] = []

    async def look(request: Request, call_next: CallNext) -> Any:
        seen.append(request)
        return await call_next(request)

    client = a_client(Recorder(), is_async=True, middleware=[look])
    await client.chat.completions.create(**CHAT, tools=(TOOL,), extra_body={"top_k": 1})
    assert [*seen[0].body] == ["model", "messages", "tools", "top_k"]
    assert (type(seen[0].model), type(seen[0].body["messages"])) == (str, list)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", [*OPTIONS, "BedrockOpenAI"])
def test_wrapped_clients_send_what_they_sent_before(kind: str, is_async: bool) -> None:
    wire = Wire()
    for call in (chat(), chat(messages=[USER] * 40), EDGES["the model in extra_body, too"]):
        for method in ("chat.completions.create", "chat.completions.with_raw_response.create"):
            before, after = (
                wire.outcome(Call(method, call.arguments), kind=kind, is_async=is_async, stack=stack)
                for stack in (None, "wrapped")
            )
            assert before == after
            assert len(after.sent) == 1
    wire.close()


@pytest.mark.parametrize("is_async", [False, True])
async def test_another_base_url_is_noticed(is_async: bool) -> None:
    recorder = Recorder()
    client = a_client(recorder, is_async=is_async)
    for host in ("a", "b", "b", "a"):
        client.base_url = f"https://{host}.test/v1"
        for each in (client, client.with_options(base_url=f"https://{host}.test/v2")):
            result = each.chat.completions.create(**CHAT)
            if inspect.isawaitable(result):
                await result
    assert [sent.url[8:17] for sent in recorder.sent] == [f"{host}.test/v{n}" for host in "abba" for n in (1, 2)]


# --- the caller's data


async def spoil(request: Request, call_next: CallNext) -> Any:
    """A middleware that forgets that the body is read-only."""
    for field in {"messages", "input", "tools"} & {*request.body}:
        for item in request.body[field]:
            item["content"] = "spoilt"
            item.get("function", {}).get("parameters", {}).clear()
        request.body[field].append({"role": "user", "content": "spoilt"})
    return await call_next(request)


@pytest.mark.parametrize("size", [1, 40])
async def test_what_a_middleware_changes_in_place_never_reaches_the_caller_or_a_later_call(size: int) -> None:
    recorder, counts = Recorder(), list[Any]()
    client = a_client(recorder, is_async=True, middleware=[llmkit.UsageLog(sinks=[counts.append]), llmkit.Context()])
    spoiling = a_client(Recorder(), is_async=True, middleware=[llmkit.Context(), spoil])
    messages = [{"role": "user", "content": [{"type": "text", "text": f"word {n}"}]} for n in range(size)]
    arguments: Any = {"model": "gpt-4o", "messages": messages, "tools": [copy.deepcopy(TOOL)]}
    before = copy.deepcopy(arguments)
    for each in (client, spoiling, client):
        await each.chat.completions.create(**arguments)
        await each.responses.create(model="gpt-4o", input=messages, tools=arguments["tools"])
        assert arguments == before
    assert recorder.sent[0].body == recorder.sent[2].body
    assert recorder.sent[1].body == recorder.sent[3].body
    assert counts[0].predicted_tokens == counts[2].predicted_tokens
    assert counts[1].predicted_tokens == counts[3].predicted_tokens


@pytest.mark.parametrize("size", [1, 40])
@pytest.mark.parametrize("of", [openai, llmkit])
async def test_messages_are_read_when_the_call_is_awaited(of: Any, size: int) -> None:
    recorder = Recorder()
    client = a_client(recorder, is_async=True, of=of)
    for call in (client.chat.completions.create, client.chat.completions.parse):
        messages = [{"role": "user", "content": f"{n}"} for n in range(size)]
        waiting = call(model="gpt-4o", messages=messages)
        messages[0]["content"] = "changed"
        messages.append({"role": "user", "content": "added"})
        await waiting
        assert recorder.body["messages"] == messages


@pytest.mark.parametrize("size", [1, 40])
async def test_messages_changed_while_a_call_waits_are_sent_as_they_were(size: int) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": f"{n}"}]} for n in range(size)]
    before = copy.deepcopy(messages)

    async def wait(request: Request, call_next: CallNext) -> Any:
        messages[0]["content"][0]["text"] = "changed"
        messages.append({"role": "user", "content": "added"})
        return await call_next(request)

    recorder = Recorder()
    await a_client(recorder, is_async=True, middleware=[wait]).chat.completions.create(model="m", messages=messages)
    assert recorder.body["messages"] == before


@pytest.mark.parametrize("size", [1, 40])
@pytest.mark.parametrize("middleware", [[], [Retry()]])
async def test_messages_changed_between_attempts_are_sent_as_they_were(size: int, middleware: list[Any]) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": f"{n}"}]} for n in range(size)]
    bodies: list[bytes] = []

    def fail_first(request: httpx2.Request) -> httpx2.Response:
        bodies.append(request.content)
        messages[0]["content"][0]["text"] = "changed"
        messages.append({"role": "user", "content": "added"})
        if len(bodies) == 1:
            return httpx2.Response(500, headers={"retry-after-ms": "1"})
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=answer(request))

    client = a_client(fail_first, is_async=True, middleware=middleware)
    await client.chat.completions.create(model="m", messages=messages)
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]


async def test_a_call_that_is_cancelled_before_it_begins_leaves_nothing_behind() -> None:
    recorder = Recorder()
    task = asyncio.ensure_future(a_client(recorder, is_async=True).chat.completions.create(**CHAT))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.sent == []


# --- an SDK of another shape, and methods that others have replaced


@pytest.fixture
def asked_anew(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The SDK's shape is asked for again."""
    shapes.walk_changes_nothing.cache_clear()
    yield caplog
    shapes.walk_changes_nothing.cache_clear()


def merged_at_the_end(first: Any, second: Any) -> Any:
    return {**{key: value for key, value in first.items() if key not in second}, **second}


@pytest.mark.parametrize("is_async", [False, True])
def test_an_sdk_that_merges_otherwise_is_left_to_itself_and_that_is_said_once(
    is_async: bool, asked_anew: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client._merge_mappings", merged_at_the_end)
    wire = Wire()
    for _ in range(3):
        wire.same(chat(extra_body={"top_k": 1}), ways=(is_async,))
        wire.same(chat(), ways=(is_async,))
    wire.close()
    (record,) = asked_anew.records
    assert record.getMessage() == (
        f"openai {openai.__version__} merges extra_body otherwise: messages of "
        "chat.completion_create_params.CompletionCreateParamsNonStreaming goes the SDK's slower way"
    )


def a_class_of_the_users(client: Any) -> None:
    class Mine(AsyncCompletions):
        async def create(self, **arguments: Any) -> Any:  # type: ignore[override]
            seen.append(arguments)
            return await super().create(**arguments)

    class MyChat(AsyncChat):
        @property
        def completions(self) -> Mine:  # type: ignore[override]
            return Mine(self._client)

    seen: list[Any] = []
    client.chat = MyChat(client)
    client.seen = seen


def wrapped(original: Any, seen: list[Any]) -> Any:
    @functools.wraps(original)
    async def traced(self: Any, *args: Any, **arguments: Any) -> Any:
        seen.append(arguments)
        return await original(self, *args, **arguments)

    return traced


class Proxy:
    """Looks like what it wraps in everything, as wrapt's proxies do."""

    def __init__(self, inner: Any, seen: list[Any]) -> None:
        self.inner, self.seen = inner, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return type(self.inner)

    def __get__(self, instance: Any, owner: Any) -> Any:
        return Proxy(self.inner.__get__(instance, owner), self.seen)

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        self.seen.append(arguments)
        return self.inner(*args, **arguments)


def mocked(original: Any, seen: list[Any]) -> Any:
    async def note(**arguments: Any) -> None:
        seen.append(arguments)

    return mock.MagicMock(side_effect=note)


@pytest.mark.parametrize("when", ["before the first call", "after it"])
@pytest.mark.parametrize("instrument", [wrapped, Proxy, mocked])
async def test_whoever_replaces_a_method_of_the_sdk_sees_what_the_user_gave(
    instrument: Callable[[Any, list[Any]], Any], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, seen = Recorder(), list[Any]()
    client = a_client(recorder, is_async=True)
    requests._hastened.cache_clear()
    if when == "after it":
        await client.chat.completions.create(**CHAT)
    monkeypatch.setattr(AsyncCompletions, "create", instrument(AsyncCompletions.create, seen))
    await client.chat.completions.create(**CHAT)
    assert seen == [CHAT]
    assert seen[0]["messages"] is CHAT["messages"]
    assert instrument is mocked or recorder.body == CHAT
    requests._hastened.cache_clear()


async def test_a_resource_class_of_the_users_is_left_alone() -> None:
    recorder = Recorder()
    client = a_client(recorder, is_async=True)
    a_class_of_the_users(client)
    await client.chat.completions.create(**CHAT)
    assert client.seen == [CHAT]
    assert recorder.body == CHAT
    assert requests.hasten(client.chat) is client.chat
    assert type(client.chat).__name__ == "MyChat"


class Noting:
    """What a user's own client class may do with a request on its way."""

    def noted(self, body: Any) -> None:
        self.__dict__.setdefault("seen", []).append(body)


class Posting(Noting):
    def post(self, path: str, *, body: Any = None, **options: Any) -> Any:
        self.noted(body)
        return super().post(path, body=body, **options)  # type: ignore[misc]


class Requesting(Noting):
    def request(self, cast_to: Any, options: Any, **how: Any) -> Any:
        self.noted(options.json_data)
        return super().request(cast_to, options, **how)  # type: ignore[misc]


@pytest.mark.parametrize("mixin", [Posting, Requesting])
@pytest.mark.parametrize("way", ["subclass", "wrap", "patched"])
def test_a_client_class_of_the_users_sees_what_was_asked(mixin: Any, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    http_client = httpx2.Client(transport=httpx2.MockTransport(recorder))
    base = llmkit.OpenAI if way == "subclass" else openai.OpenAI

    class Mine(mixin, base):  # type: ignore[misc, valid-type]
        pass

    client: Any = Mine(**OPTIONS["OpenAI"], http_client=http_client)
    if way == "wrap":
        client = llmkit.wrap(client)
    if way == "patched":
        client = llmkit.OpenAI(**OPTIONS["OpenAI"], http_client=http_client)
        for name in {"post", "request"} & {*vars(mixin)}:
            monkeypatch.setattr(client, name, functools.partial(vars(Patched)[name], client, getattr(client, name)))
    client.chat.completions.create(**CHAT)
    client.responses.create(model="m", input=[USER])
    assert [body["model"] for body in client.__dict__["seen"]] == ["gpt-4o", "m"]
    assert client.__dict__["seen"][0]["messages"] == client.__dict__["seen"][1]["input"] == [USER]
    assert [sent.url for sent in recorder.sent] == [
        "https://fake.test/v1/chat/completions",
        "https://fake.test/v1/responses",
    ]


class Patched:
    def post(self, original: Any, path: str, *, body: Any = None, **options: Any) -> Any:
        Noting.noted(self, body)  # type: ignore[arg-type]
        return original(path, body=body, **options)

    def request(self, original: Any, cast_to: Any, options: Any, **how: Any) -> Any:
        Noting.noted(self, options.json_data)  # type: ignore[arg-type]
        return original(cast_to, options, **how)


@pytest.mark.parametrize("is_async", [False, True])
def test_the_environment_turns_it_off(wire: Wire, is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMKIT_FAST", "0")
    slow = Wire()
    slow.same(chat(), ways=(is_async,))
    slow.close()
    assert type(a_client(Recorder(), is_async=is_async).chat.completions) in (Completions, AsyncCompletions)
    monkeypatch.setenv("LLMKIT_FAST", "1")
    assert type(a_client(Recorder(), is_async=is_async).chat.completions) not in (Completions, AsyncCompletions)


# --- the methods look like the SDK's

METHODS = [
    "chat.completions.create", "chat.completions.parse", "chat.completions.stream", "responses.create",
    "responses.parse", "responses.stream", "embeddings.create", "beta.chat.completions.create",
    "beta.responses.create", "chat.completions.with_raw_response.create", "responses.with_streaming_response.create",
]  # fmt: skip


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("path", METHODS)
def test_the_methods_are_the_sdks_to_whoever_inspects_them(path: str, is_async: bool) -> None:
    ours, theirs = (Call(path, {}).of(a_client(Recorder(), is_async=is_async, of=of)) for of in (llmkit, openai))
    for look in (
        inspect.signature, inspect.iscoroutinefunction, asyncio.iscoroutinefunction, inspect.ismethod,
        inspect.isroutine, inspect.getdoc, inspect.getsource,
    ):  # fmt: skip
        assert look(ours) == look(theirs)
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(ours, name, None) == getattr(theirs, name, None)


@pytest.mark.parametrize("path", ["chat", "chat.completions", "responses", "embeddings", "beta", "beta.responses"])
def test_the_resources_are_the_sdks_to_whoever_looks_at_them(path: str) -> None:
    ours, theirs = (Call(path, {}).of(a_client(Recorder(), of=of)) for of in (llmkit, openai))
    assert isinstance(ours, type(theirs))
    assert repr(ours).partition(" at ")[0] == repr(theirs).partition(" at ")[0]
    assert type(ours).__doc__ == type(theirs).__doc__
    assert type(copy.copy(ours)) is type(ours)
    for resource in (ours, theirs):
        with pytest.raises((TypeError, pickle.PicklingError)):
            pickle.dumps(resource)


def test_the_method_of_the_class_can_be_called_too() -> None:
    recorder = Recorder()
    completions = a_client(recorder).chat.completions
    assert type(completions).create(completions, **CHAT).choices
    assert recorder.body == CHAT


def test_a_task_is_named_as_the_sdks() -> None:
    names: list[list[str]] = []
    for of in (llmkit, openai):
        waiting: Awaitable[Any] = a_client(Recorder(), is_async=True, of=of).chat.completions.create(**CHAT)
        names.append([waiting.__name__, waiting.__qualname__])  # type: ignore[attr-defined]
        waiting.close()  # type: ignore[attr-defined]
    assert names[0] == names[1]
