"""One call by the SDK's own client and by llmkit's, side by side: what each sent, and what it raised and when."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx2
import openai
import pydantic

import llmkit
from llmkit import Context, Retry, UsageLog
from llmkit.tokens.prefix import PREFIXES

CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": '{"name":"blue"}'}}],
}
RESPONSE = {
    "id": "r",
    "object": "response",
    "created_at": 1,
    "model": "gpt-4o",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
EMBEDDING = {"object": "embedding", "index": 0, "embedding": "AACAPwAAAEA="}
EMBEDDINGS = {"object": "list", "model": "e", "data": [EMBEDDING], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
STREAM = b"data: [DONE]\n\n"
STACKS: Mapping[str, Callable[[], list[Any]]] = {
    "bare": list,
    "stack": lambda: [UsageLog(sinks=[], include_usage=False), Context(), Retry()],
}
AZURE = {"api_key": "fake", "azure_endpoint": "https://fake.azure.test", "api_version": "2025-04-01-preview"}
OPTIONS: Mapping[str, dict[str, Any]] = {
    "OpenAI": {"api_key": "sk-fake", "base_url": "https://fake.test/v1"},
    "AzureOpenAI": AZURE,
    "AzureOpenAI with a deployment": {**AZURE, "azure_deployment": "mine"},
}


class Sent(NamedTuple):
    """A request as it went out."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes


Raised = list[tuple[str, str, str]]


class Outcome(NamedTuple):
    """What became of a call; `raised` says when, what and why."""

    sent: list[Sent]
    raised: Raised


@dataclass(frozen=True)
class Made:
    """Stands for a value that is made anew for each client, such as an iterator."""

    name: str
    make: Callable[[], Any] = field(repr=False, compare=False)


def fresh(recipe: Any) -> Any:
    """The value that `recipe` stands for, in new containers."""
    kind = type(recipe)
    if kind is Made:
        return recipe.make()
    if kind is dict:
        return {key: fresh(value) for key, value in recipe.items()}
    if kind is list or kind is tuple:
        return kind(fresh(value) for value in recipe)
    return recipe


def picture(value: Any) -> Any:
    """All of `value` that an edit could change, with its types and orders."""
    with suppress(RecursionError):
        return _picture(value)
    return "without an end"


def _picture(value: Any) -> Any:
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return kind, [(key, _picture(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return kind, [_picture(item) for item in value]
    if isinstance(value, pydantic.BaseModel):
        return kind, [(name, _picture(item)) for name, item in value], sorted(value.model_fields_set)
    return kind, repr(value)


@dataclass(frozen=True)
class Call:
    """One call of a method by its path, such as `chat.completions.with_raw_response.create`."""

    method: str
    arguments: Mapping[str, Any]
    positional: tuple[Any, ...] = ()

    def of(self, client: Any) -> Callable[..., Any]:
        """The method of a client."""
        for name in self.method.split("."):
            client = getattr(client, name)
        return client  # type: ignore[no-any-return]


class Recorder:
    """A fake API that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(Sent(request.method, str(request.url), request.headers.multi_items(), request.content))
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=answer(request))

    @property
    def body(self) -> Any:
        """The last body, decoded."""
        return json.loads(self.sent[-1].body)

    def taken(self) -> list[Sent]:
        """What was sent since the last time."""
        sent, self.sent = self.sent, []
        return sent


def answer(request: httpx2.Request) -> bytes:
    """What the API says to nothing in particular."""
    if b'"stream":true' in request.content:
        return STREAM
    path = request.url.path
    if "embeddings" in path:
        return json.dumps(EMBEDDINGS | {"data": [EMBEDDING] * inputs(request)}).encode()
    return json.dumps(RESPONSE if "responses" in path else CHAT).encode()


def inputs(request: httpx2.Request) -> int:
    """How many embeddings are asked for."""
    with suppress(ValueError, TypeError):
        given = json.loads(request.content).get("input")
        return len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
    return 1


def a_client(
    recorder: Callable[[httpx2.Request], httpx2.Response],
    *,
    kind: str = "OpenAI",
    is_async: bool = False,
    of: Any = llmkit,
    **options: Any,
) -> Any:
    """A client of `kind` over `recorder`, from llmkit or `openai`."""
    transport = httpx2.MockTransport(recorder)
    http: Any = httpx2.AsyncClient(transport=transport) if is_async else httpx2.Client(transport=transport)
    made = getattr(of, ("Async" if is_async else "") + kind.partition(" ")[0])
    return made(**OPTIONS.get(kind, OPTIONS["OpenAI"]), **options, http_client=http)


class Wire:
    """Clients of every kind, each over a recorder of its own."""

    def __init__(self) -> None:
        self._clients: dict[Any, tuple[Any, Recorder]] = {}
        self._loop = asyncio.Runner()

    def close(self) -> None:
        """Close the event loop."""
        self._loop.close()

    def outcome(self, call: Call, *, kind: str = "OpenAI", is_async: bool = False, stack: str | None = None) -> Outcome:
        """Make the call with the client of this kind; `stack` is None for the SDK's own, or "wrapped" for that."""
        key = kind, is_async, stack
        if key not in self._clients:
            recorder = Recorder()
            ours = {"middleware": STACKS[stack]()} if stack in STACKS else {}
            client = a_client(recorder, kind=kind, is_async=is_async, of=llmkit if ours else openai, **ours)
            self._clients[key] = llmkit.wrap(client, middleware=[]) if stack == "wrapped" else client, recorder
        client, recorder = self._clients[key]
        arguments, positional = fresh(dict(call.arguments)), fresh(call.positional)
        before = picture(arguments)

        method = call.of(client)
        if is_async:
            raised = self._loop.run(in_task(method, positional, arguments))
        else:
            raised = at_once(method, positional, arguments)
        assert picture(arguments) == before
        return Outcome(recorder.taken(), raised)

    def same(self, call: Call, *, kind: str = "OpenAI", ways: tuple[bool, ...] = (False, True)) -> Outcome:
        """What became of the call, once that is found to be the same for the SDK and llmkit, sync and async."""
        for is_async in ways:
            expected = self.outcome(call, kind=kind, is_async=is_async)
            for stack in STACKS:
                assert self.outcome(call, kind=kind, is_async=is_async, stack=stack) == expected, (stack, is_async)
        return expected


@contextmanager
def noting(when: str, raised: Raised) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001
        raised.append((when, type(error).__name__, str(error)))


def at_once(method: Callable[..., Any], positional: Any, arguments: Any) -> Raised:
    """Call a method of a sync client and leave what it opens."""
    raised: Raised = []
    result = None
    with noting("call", raised):
        result = method(*positional, **arguments)
    with ExitStack() as stack, noting("enter", raised):
        if hasattr(result, "__enter__"):
            stack.enter_context(result)
    return raised


async def in_task(method: Callable[..., Any], positional: Any, arguments: Any) -> Raised:
    """Call a method of an async client, await it and leave what it opens."""
    raised: Raised = []
    result = None
    with noting("call", raised):
        result = method(*positional, **arguments)
    with noting("await", raised):
        if inspect.iscoroutine(result):
            result = await result
    async with AsyncExitStack() as stack:
        with noting("enter", raised):
            if hasattr(result, "__aenter__"):
                await stack.enter_async_context(result)
    return raised


@contextmanager
def nothing_remembered() -> Iterator[None]:
    """As in a process that has seen no history yet."""
    kept, PREFIXES._kept = PREFIXES._kept, []
    try:
        yield
    finally:
        PREFIXES._kept = kept
