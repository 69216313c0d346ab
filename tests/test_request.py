from __future__ import annotations

import asyncio
import dataclasses
import functools
from typing import Any

import httpx2
import openai
import pytest
from surfaces import CHAT

import llmkit
from llmkit import CallNext, InvalidMiddleware, MiddlewareError, Request
from llmkit.testing import FakeOpenAI


async def passes(request: Request, call_next: CallNext) -> Any:
    return await call_next(request)


async def test_the_first_middleware_is_the_outermost() -> None:
    order: list[str] = []

    def layer(name: str) -> Any:
        async def run(request: Request, call_next: CallNext) -> Any:
            order.append(f"{name} in")
            answer = await call_next(request)
            order.append(f"{name} out")
            return answer

        return run

    client = FakeOpenAI().async_client(middleware=[layer("a"), layer("b")])
    await client.chat.completions.create(**CHAT)
    assert order == ["a in", "b in", "b out", "a out"]


async def test_a_middleware_changes_model_and_body_and_the_callers_messages_stay_as_they_were() -> None:
    fake = FakeOpenAI()
    messages = [{"role": "user", "content": "hi"}]

    async def change(request: Request, call_next: CallNext) -> Any:
        body = {**request.body, "messages": [*request.body["messages"], {"role": "user", "content": "more"}]}
        return await call_next(request.replace(model="gpt-4o", body=body))

    client = fake.async_client(middleware=[change])
    await client.chat.completions.create(model="gpt-4o-mini", messages=messages, extra_body={"seed": 7})
    body = fake.requests[0].body
    assert body["model"] == "gpt-4o"
    assert body["seed"] == 7
    assert [m["content"] for m in body["messages"]] == ["hi", "more"]
    assert messages == [{"role": "user", "content": "hi"}]


async def test_extra_body_wins_in_what_a_middleware_sees_as_it_does_on_the_wire() -> None:
    fake, seen = FakeOpenAI(), list[Request]()

    async def look(request: Request, call_next: CallNext) -> Any:
        seen.append(request)
        return await call_next(request)

    client = fake.async_client(middleware=[look])
    await client.chat.completions.create(**CHAT, temperature=0.1, extra_body={"temperature": 0.9})
    assert seen[0].body["temperature"] == fake.requests[0].body["temperature"] == 0.9
    assert seen[0].model == CHAT["model"]


async def test_a_middleware_may_answer_without_calling_on() -> None:
    fake = FakeOpenAI()

    async def answers(request: Request, call_next: CallNext) -> Any:
        return "instead"

    client = fake.async_client(middleware=[answers])
    assert await client.chat.completions.create(**CHAT) == "instead"
    assert fake.requests == []


async def test_a_request_never_shows_its_body() -> None:
    shown: list[str] = []

    async def look(request: Request, call_next: CallNext) -> Any:
        shown.append(repr(request))
        return await call_next(request)

    client = FakeOpenAI().async_client(middleware=[look])
    await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "PRIVATE"}])
    assert "PRIVATE" not in shown[0]
    assert "chat.completions" in shown[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("retry", "not a list"),
        ({"retry": 1}, "middleware is a dict, not a list"),
        (3, "not a list"),
        (passes, r"pass middleware=\[passes\]"),
        (llmkit.Retry, r"pass middleware=\[Retry\(...\)\]"),
        (llmkit.Retry(), r"pass middleware=\[Retry\(...\)\]"),
        ([llmkit.Retry], r"pass an instance: Retry\(\)"),
        ([3], "cannot be called"),
        ([lambda request: None], r"must take \(request, call_next\)"),
    ],
)
def test_what_cannot_be_middleware_is_refused_by_name(given: Any, message: str) -> None:
    with pytest.raises(InvalidMiddleware, match=message):
        llmkit.AsyncOpenAI(api_key="sk-fake", middleware=given)


def test_a_refused_middleware_is_a_type_error_and_an_openai_error() -> None:
    assert issubclass(InvalidMiddleware, TypeError)
    assert issubclass(InvalidMiddleware, openai.OpenAIError)


async def test_a_builtin_without_a_signature_is_taken_until_it_fails() -> None:
    client = FakeOpenAI().async_client(middleware=[max])
    with pytest.raises(TypeError, match="not supported between"):
        await client.chat.completions.create(**CHAT)


async def test_partials_methods_and_plain_functions_returning_an_awaitable_are_middleware() -> None:
    class Layer:
        async def method(self, request: Request, call_next: CallNext) -> Any:
            return await call_next(request)

    def plain(request: Request, call_next: CallNext) -> Any:
        return call_next(request)

    async def labelled(label: str, request: Request, call_next: CallNext) -> Any:
        return await call_next(request)

    client = FakeOpenAI().async_client(middleware=[Layer().method, plain, functools.partial(labelled, "x")])
    assert (await client.chat.completions.create(**CHAT)).choices


async def test_a_middleware_that_forgets_to_return_is_named_and_its_connection_is_given_back() -> None:
    fake = FakeOpenAI()

    async def forgets(request: Request, call_next: CallNext) -> None:
        await call_next(request)

    client = fake.async_client(middleware=[forgets])
    with pytest.raises(MiddlewareError, match=r"forgets returned nothing; end it with `return await"):
        await client.chat.completions.create(**CHAT, stream=True)
    assert fake.open_streams == 0


async def test_a_middleware_that_forgets_to_await_is_named() -> None:
    async def forgets(request: Request, call_next: CallNext) -> Any:
        return call_next(request)

    client = FakeOpenAI().async_client(middleware=[forgets])
    with pytest.raises(MiddlewareError, match="forgets returned a coroutine; write `return await"):
        await client.chat.completions.create(**CHAT)


async def test_a_middleware_that_neither_awaits_nor_returns_is_named_and_leaves_no_coroutine() -> None:
    async def forgets(request: Request, call_next: CallNext) -> None:
        call_next(request)

    client = FakeOpenAI().async_client(middleware=[forgets])
    with pytest.raises(MiddlewareError, match="forgets returned nothing"):
        await client.chat.completions.create(**CHAT)


async def test_a_plain_function_that_returns_a_value_is_named() -> None:
    def not_async(request: Request, call_next: CallNext) -> Any:
        return "value"

    client = FakeOpenAI().async_client(middleware=[not_async])
    with pytest.raises(MiddlewareError, match="not_async returned str, not an awaitable"):
        await client.chat.completions.create(**CHAT)


async def test_a_request_is_frozen_and_says_so() -> None:
    seen: list[Request] = []

    async def look(request: Request, call_next: CallNext) -> Any:
        seen.append(request)
        return await call_next(request)

    await FakeOpenAI().async_client(middleware=[look]).chat.completions.create(**CHAT)
    with pytest.raises(dataclasses.FrozenInstanceError, match="model"):
        seen[0].model = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        seen[0].body["model"] = "x"  # type: ignore[index]
    assert seen[0].replace().body is seen[0].body


async def test_a_new_model_goes_only_where_there_is_one() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "application/json"}
        return httpx2.Response(200, content=request.content or b"{}", headers=headers)

    async def other_model(request: Request, call_next: CallNext) -> Any:
        return await call_next(request.replace(model="gpt-4o"))

    async def other_body(request: Request, call_next: CallNext) -> Any:
        return await call_next(request.replace(body={"x": 1}))

    http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(handle))
    client = llmkit.AsyncOpenAI(api_key="sk-fake", http_client=http_client, middleware=[other_model])
    assert await client.post("/x", body=[1, 2], cast_to=object) == [1, 2]
    assert await client.post("/x", content=b"raw", cast_to=str) == "raw"
    assert await client.post("/x", cast_to=str) == "{}"
    changing = llmkit.wrap(client, middleware=[other_body])
    assert await changing.post("/x", cast_to=object) == {"x": 1}
    for options in ({"body": [1, 2]}, {"content": b"raw"}):
        with pytest.raises(MiddlewareError, match="changed the body of x, which is no JSON object"):
            await changing.post("/x", cast_to=object, **options)  # type: ignore[arg-type]


async def test_a_changed_body_keeps_what_came_by_extra_body_apart() -> None:
    async def warmer(request: Request, call_next: CallNext) -> Any:
        assert "seed" not in request.body
        return await call_next(request.replace(body={**request.body, "temperature": 1}))

    fake = FakeOpenAI()
    client = llmkit.AsyncAzureOpenAI(
        api_key="azure-fake",
        azure_endpoint="https://fake.azure.test",
        api_version="1",
        http_client=fake.async_http_client(),
        middleware=[warmer],
    )
    extra = {"model": "router", "seed": openai.omit}
    await client.chat.completions.create(**CHAT, seed=7, extra_body=extra)
    (request,) = fake.requests
    assert "/deployments/gpt-4o-mini/" in request.path
    assert request.body["model"] == "router"
    assert request.body["temperature"] == 1
    assert "seed" not in request.body


async def test_a_call_inside_a_call_by_a_bare_client_leaves_the_outer_one_alone() -> None:
    inner = FakeOpenAI().client(middleware=[])
    fake, records = FakeOpenAI(), list[llmkit.CallRecord]()

    def key() -> str:
        inner.chat.completions.create(**CHAT)
        return "sk-fake"

    client = fake.client(middleware=[llmkit.UsageLog(sinks=[records.append])], api_key=key)
    client.chat.completions.create(**CHAT)
    assert records[0].attempts == 1


async def test_a_middleware_that_answers_by_itself_fills_the_record() -> None:
    stored = await FakeOpenAI().async_client(middleware=[]).chat.completions.create(**CHAT)

    async def answers(request: Request, call_next: CallNext) -> Any:
        return stored

    records: list[llmkit.CallRecord] = []
    client = FakeOpenAI().async_client(middleware=[llmkit.UsageLog(sinks=[records.append]), answers])
    assert await client.chat.completions.create(**CHAT) is stored
    assert (records[0].attempts, records[0].complete) == (0, True)
    assert records[0].total_tokens


async def test_none_from_the_api_passes_through_the_stack() -> None:
    fake = FakeOpenAI()
    client = fake.async_client(middleware=[passes])
    assert await client.post("/chat/completions", body=CHAT, cast_to=type(None)) is None


async def test_an_exception_of_a_middleware_comes_out_as_it_is_with_a_note_that_names_it() -> None:
    class Breaks:
        async def __call__(self, request: Request, call_next: CallNext) -> Any:
            await call_next(request)
            raise KeyError("mine")

    fake = FakeOpenAI()
    client = fake.async_client(middleware=[passes, Breaks(), passes])
    with pytest.raises(KeyError) as caught:
        await client.chat.completions.create(**CHAT, stream=True)
    assert len(caught.value.__notes__) == 1
    assert "Breaks" in caught.value.__notes__[0]
    assert fake.open_streams == 0


async def test_an_error_from_below_is_not_said_to_be_of_a_layer_that_raises_it_later() -> None:
    failed = iter([KeyError("first"), KeyError("second")])

    async def insists(request: Request, call_next: CallNext) -> Any:
        errors = list[KeyError]()
        for _ in range(2):
            try:
                await call_next(request)
            except KeyError as error:
                errors.append(error)
        raise errors[0]

    async def fails(request: Request, call_next: CallNext) -> Any:
        raise next(failed)

    client = FakeOpenAI().async_client(middleware=[insists, fails])
    with pytest.raises(KeyError, match="first") as caught:
        await client.chat.completions.create(**CHAT)
    assert [note for note in caught.value.__notes__ if "insists" in note] == []


async def test_errors_of_the_api_are_not_said_to_be_the_middlewares() -> None:
    client = FakeOpenAI().error(404).async_client(middleware=[passes])
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(**CHAT)
    assert not [note for note in caught.value.__notes__ if "middleware" in note]


async def test_a_cancelled_middleware_gives_the_connection_back() -> None:
    fake, opened = FakeOpenAI(), asyncio.Event()

    async def hangs(request: Request, call_next: CallNext) -> Any:
        await call_next(request)
        opened.set()
        await asyncio.Event().wait()

    client = fake.async_client(middleware=[hangs])
    task = asyncio.create_task(client.chat.completions.create(**CHAT, stream=True))
    await opened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fake.open_streams == 0


async def test_interleaved_calls_through_one_stack_do_not_mix() -> None:
    fake = FakeOpenAI()
    gate = asyncio.Barrier(20)

    async def waits(request: Request, call_next: CallNext) -> Any:
        await gate.wait()
        return await call_next(request)

    records: list[llmkit.CallRecord] = []
    client = fake.async_client(middleware=[llmkit.UsageLog(sinks=[records.append]), waits])

    async def call(number: int) -> str | None:
        with llmkit.tags(number=number):
            messages: Any = [{"role": "user", "content": f"call {number}"}]
            reply = await client.chat.completions.create(model="gpt-4o", messages=messages)
        return reply.choices[0].message.content

    answers = await asyncio.gather(*map(call, range(20)))
    assert all(f"call {number}" in (text or "") for number, text in enumerate(answers))
    assert sorted(record.tags["number"] for record in records) == list(range(20))
