"""Conversations over FakeOpenAI: history, tools, streams, memory."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openai
import pytest

from llmkit import ToolContext, runtime, tool
from llmkit.context import ContextLengthExceeded
from llmkit.conversation.conversation import Conversation
from llmkit.conversation.errors import (
    ConversationBusy,
    ConversationConflict,
    ConversationNotFound,
    NoAnswer,
    TooManySteps,
)
from llmkit.conversation.records import ConversationTurn
from llmkit.conversation.store import JSONStore, SQLiteStore
from llmkit.testing import FakeOpenAI, VirtualClock
from llmkit.tokens import count_tokens
from llmkit.tokens.memory import MEMORIES
from llmkit.tokens.prefix import PREFIXES
from llmkit.tools.registry import ToolRegistry
from llmkit.usage.totals import Usage

PARIS = [("get_weather", {"city": "Paris"})]


async def get_weather(city: str) -> str:
    """Current weather for a city."""
    return f"sunny in {city}"


WEATHER = ToolRegistry([get_weather])


@pytest.fixture
def fake() -> FakeOpenAI:
    return FakeOpenAI()


def talk(fake: FakeOpenAI, **options: Any) -> Conversation:
    return Conversation(fake.async_client(middleware=[]), **{"model": "gpt-4o", **options})


def said(turns: Sequence[ConversationTurn]) -> list[tuple[str, Any]]:
    return [(message["role"], message["content"]) for turn in turns for message in turn.messages]


def sent(fake: FakeOpenAI, number: int = -1) -> list[dict[str, Any]]:
    return list(fake.requests[number].body["messages"])


def text(reply: Any) -> str:
    return str(reply.choices[0].message.content)


# --- sending


async def test_each_prompt_has_the_instructions_the_examples_and_what_was_said(fake: FakeOpenAI) -> None:
    conversation = talk(fake, system="Be brief.", few_shot=[("2+2?", "4")], temperature=0)
    fake.reply("Hi.").reply("Bye.")
    assert text(await conversation.send("Hello")) == "Hi."
    assert text(await conversation.send([{"type": "text", "text": "So long"}])) == "Bye."
    assert fake.requests[1].body["temperature"] == 0
    assert [(message["role"], message["content"]) for message in sent(fake)] == [
        ("system", "Be brief."),
        ("user", "2+2?"),
        ("assistant", "4"),
        ("user", "Hello"),
        ("assistant", "Hi."),
        ("user", [{"type": "text", "text": "So long"}]),
    ]
    assert "tools" not in fake.requests[0].body


async def test_content_parts_are_copied_and_must_be_json(fake: FakeOpenAI) -> None:
    conversation = talk(fake)
    parts = [{"type": "text", "text": "one"}]
    await conversation.send(parts)
    parts[0]["text"] = "two"
    assert conversation.recent[0].messages[0]["content"] == [{"type": "text", "text": "one"}]
    with pytest.raises(TypeError, match="JSON"):
        await conversation.send([{"type": "text", "text": object()}])


async def test_refusals_and_empty_answers_are_kept_in_a_form_the_api_takes_back(fake: FakeOpenAI) -> None:
    conversation = talk(fake)
    fake.reply(refusal="I cannot.").respond(completion({"role": "assistant", "content": None}))
    await conversation.send("a")
    await conversation.send("b")
    answers = [turn.messages[-1] for turn in conversation.recent]
    assert answers == [
        {"role": "assistant", "content": None, "refusal": "I cannot."},
        {"role": "assistant", "content": ""},
    ]


async def test_usage_adds_up_over_calls_and_fills_in_for_servers_that_report_none(fake: FakeOpenAI) -> None:
    conversation = talk(fake)
    fake.reply("x", usage={"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}})
    fake.respond(completion({"role": "assistant", "content": "y"}))
    fake.respond(
        completion(
            {"role": "assistant", "content": "z"}, usage=dict.fromkeys(USAGE, 1) | {"prompt_tokens_details": None}
        )
    )
    for content in "abc":
        await conversation.send(content)
    assert conversation.usage == Usage(
        calls=3, input_tokens=11, output_tokens=3, total_tokens=13, cached_tokens=8, cost=None
    )
    assert [turn.usage.calls for turn in conversation.recent] == [1, 2, 3]


async def test_cost_adds_up_while_every_price_is_known(fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = talk(fake, model="gpt-4o")
    assert conversation.usage.cost == 0
    for _ in range(2):
        fake.reply("x", usage={"prompt_tokens": 1_000_000, "completion_tokens": 0})
        await conversation.send("a")
    assert conversation.usage.cost == 5  # at 2.50 USD a million
    assert Usage.from_json(conversation.usage.to_json()) == conversation.usage
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.setattr("llmkit.usage.prices._remembered", {})
    await conversation.send("b")
    assert conversation.usage.cost is None
    assert Usage.from_json(conversation.usage.to_json()) == conversation.usage


USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")


def completion(message: dict[str, Any] | None, *, usage: Any = None) -> httpx2.Response:
    choices = [] if message is None else [{"index": 0, "finish_reason": "stop", "message": message}]
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}
    return httpx2.Response(200, json=body)


async def test_a_failed_send_leaves_the_history_as_it_was_and_counts_what_it_used(fake: FakeOpenAI) -> None:
    conversation = talk(fake, tools=[get_weather])
    await conversation.send("before")
    fake.reply(tool_calls=PARIS).error(400, message="no").respond(completion(None))
    with pytest.raises(openai.BadRequestError):
        await conversation.send("fails")
    with pytest.raises(NoAnswer):
        await conversation.send("fails, too")
    assert said(conversation.recent) == [("user", "before"), ("assistant", "You said: before")]
    assert conversation.usage.calls == 3
    await conversation.send("after")
    assert [message["content"] for message in sent(fake)] == ["before", "You said: before", "after"]


async def test_a_cancelled_send_leaves_the_history_as_it_was(fake: FakeOpenAI) -> None:
    reached = asyncio.Event()

    async def get_weather(city: str) -> str:
        reached.set()
        await asyncio.sleep(3600)
        return "never"

    conversation = talk(fake, tools=[get_weather])
    fake.reply(tool_calls=PARIS)
    task = asyncio.create_task(conversation.send("weather?"))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert conversation.recent == ()
    assert text(await conversation.send("still works")) == "You said: still works"


async def test_concurrent_sends_take_turns(fake: FakeOpenAI) -> None:
    conversation = talk(fake)
    await asyncio.gather(*(conversation.send(f"message {number}") for number in range(5)))
    assert [len(turn.messages) for turn in conversation.recent] == [2] * 5
    assert [len(request.body["messages"]) for request in fake.requests] == [1, 3, 5, 7, 9]


async def test_one_conversation_in_two_event_loops(fake: FakeOpenAI, tmp_path: Path) -> None:
    def run() -> Conversation:
        conversation = talk(fake, store=JSONStore(tmp_path / "chat.jsonl"))
        for content in ("one", "two"):
            asyncio.run(conversation.send(content))
        return conversation

    assert len((await anyio.to_thread.run_sync(run)).recent) == 2


def test_arguments_that_cannot_be_are_named(fake: FakeOpenAI) -> None:
    with pytest.raises(TypeError, match="takes an AsyncOpenAI, not a OpenAI"):
        Conversation(fake.client(), model="m")  # type: ignore[arg-type]
    for options, words in (
        ({"stream": True}, "stream= is the conversation's own"),
        ({"n": 2}, "n= is the conversation's own"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"max_tokens": 100, "max_completion_tokens": 100}, "leaves no room"),
        ({"max_tokens": 0}, "max_tokens=0"),
    ):
        with pytest.raises(ValueError, match=words):
            talk(fake, **options)


# --- tools


async def test_tools_run_until_the_model_answers(fake: FakeOpenAI) -> None:
    conversation = talk(fake, tools=[get_weather])
    fake.reply(tool_calls=[*PARIS, ("get_weather", {"city": "Rome"})]).reply(tool_calls=PARIS).reply("Sunny.")
    assert text(await conversation.send("weather?")) == "Sunny."
    messages = conversation.recent[0].messages
    assert " ".join(message["role"] for message in messages) == "user assistant tool tool assistant tool assistant"
    assert [message["content"] for message in messages if message["role"] == "tool"] == [
        "sunny in Paris",
        "sunny in Rome",
        "sunny in Paris",
    ]
    assert [call["id"] for call in messages[1]["tool_calls"]] == [messages[i]["tool_call_id"] for i in (2, 3)]
    assert fake.requests[0].body["tools"] == WEATHER.params


async def test_every_call_gets_one_result_whatever_its_tool_does(
    fake: FakeOpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    def raises() -> None:
        raise RuntimeError("the password is hunter2")

    conversation = talk(fake, tools=WEATHER | ToolRegistry([raises]))
    fake.reply(tool_calls=[("raises", {}), ("unknown", {}), *PARIS, ("get_weather", '{"city')]).reply("done")
    await conversation.send("go")
    results = [message["content"] for message in conversation.recent[0].messages[2:-1]]
    assert len(results) == 4
    assert [result.startswith("Error") for result in results[:2]] == [True, True]
    assert results[2] == "sunny in Paris"
    assert "JSON" in results[3]
    assert "hunter2" not in caplog.text + "".join(results)


async def test_tools_get_dependencies_and_approval(fake: FakeOpenAI) -> None:
    @tool(needs_approval=True)
    async def pay(amount: int, context: ToolContext[list[int]]) -> str:
        context.dependencies.append(amount)
        return "paid"

    paid: list[int] = []
    conversation = talk(fake, tools=[pay], dependencies=paid, approve=lambda call: '"amount":1}' in call.arguments)
    fake.reply(tool_calls=[("pay", {"amount": 1}), ("pay", {"amount": 2})]).reply("done")
    await conversation.send("pay")
    assert paid == [1]
    assert conversation.recent[0].messages[2]["content"] == "paid"


async def test_custom_tools_get_their_text_and_unasked_calls_an_error(fake: FakeOpenAI) -> None:
    call = {"id": "1", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    seen: list[str] = []

    def shell(input: str) -> str:
        seen.append(input)
        return "ok"

    conversation = talk(fake, tools=[shell])
    fake.respond(completion(message)).reply("done")
    await conversation.send("go")
    assert seen == ["ls"]
    assert conversation.recent[0].messages[1]["tool_calls"] == [call]
    no_tools = talk(fake)
    fake.respond(completion(message)).reply("done")
    await no_tools.send("go")
    assert "there are no tools" in no_tools.recent[0].messages[2]["content"]


async def test_a_model_that_never_answers_is_stopped(fake: FakeOpenAI) -> None:
    conversation = talk(fake, tools=[get_weather], max_steps=2)
    for _ in range(4):
        fake.reply(tool_calls=PARIS)
    with pytest.raises(TooManySteps, match="2 times"):
        await conversation.send("go")
    with pytest.raises(TooManySteps, match="2 times"):
        async for _ in conversation.stream("go"):
            pass
    assert conversation.recent == ()


async def test_a_tool_that_talks_to_its_own_conversation_is_refused(fake: FakeOpenAI) -> None:
    async def get_weather(city: str) -> str:
        with pytest.raises(ConversationBusy, match="A tool cannot"):
            await conversation.send("again")
        return text(await talk(fake).send("another conversation"))

    conversation = talk(fake, tools=[get_weather])
    fake.reply(tool_calls=PARIS).reply("from the other").reply("done")
    await conversation.send("go")
    assert conversation.recent[0].messages[2]["content"] == "from the other"


# --- streams


async def test_a_filters_chunks_without_delta_or_choices_are_passed_over(fake: FakeOpenAI) -> None:
    text_chunk = {"choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": "stop"}]}
    chunks = [{"choices": None}, {"choices": [{"index": 0, "content_filter_results": {}}]}, text_chunk]
    common = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    body = "".join(f"data: {json.dumps({**common, **chunk})}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    fake.respond(httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body))
    conversation = talk(fake)
    assert "".join([piece async for piece in conversation.stream("Hello")]) == "Hi."
    assert said(conversation.recent)[-1] == ("assistant", "Hi.")


async def test_a_stream_yields_text_runs_tools_and_becomes_history(fake: FakeOpenAI) -> None:
    conversation = talk(fake, tools=[get_weather])
    fake.reply("Let me see. ", tool_calls=PARIS).reply("Sunny.")
    stream = conversation.stream("weather?")
    assert stream.reply is None
    assert "".join([piece async for piece in stream]) == "Let me see. Sunny."
    assert stream.reply is not None
    assert text(stream.reply) == "Sunny."
    (turn,) = conversation.recent
    assert [message["role"] for message in turn.messages] == ["user", "assistant", "tool", "assistant"]
    assert turn.messages[1]["tool_calls"] == [
        {
            "id": "call_fake_1_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
        }
    ]
    assert turn.complete
    assert (conversation.usage.calls, conversation.usage.output_tokens > 0) == (2, True)
    assert fake.requests[0].body["stream_options"] == {"include_usage": True}


class Yielding(VirtualClock):
    """Lets other tasks, and cancellations, in at every wait."""

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(0)


@pytest.fixture
async def yielding_time() -> AsyncIterator[None]:
    token = runtime.replacement.set(Yielding())
    yield
    runtime.replacement.reset(token)


@pytest.mark.parametrize("way", ["async with", "drop", "cancel scope", "cancel task"])
@pytest.mark.usefixtures("yielding_time")
async def test_an_answer_left_early_is_kept_and_marked(way: str) -> None:
    fake = FakeOpenAI(delay=1)
    conversation = talk(fake)
    fake.reply("Once upon a time")
    if way == "async with":
        async with conversation.stream("a story") as stream:
            async for _ in stream:
                break
    elif way == "drop":
        async for _ in conversation.stream("a story"):
            break
    elif way == "cancel scope":
        with anyio.CancelScope() as scope:
            async for _ in conversation.stream("a story"):
                scope.cancel()
    else:

        async def read() -> None:
            async for _ in conversation.stream("a story"):
                task.cancel()

        task = asyncio.create_task(read())
        await asyncio.wait([task])
        assert task.cancelled()
    await conversation.send("next")
    first, second = conversation.recent
    assert (first.complete, second.complete) == (False, True)
    assert said([first]) == [("user", "a story"), ("assistant", "Once")]
    assert fake.open_streams == 0


async def test_a_stream_left_before_its_first_piece_is_not_kept_unless_tools_have_run(fake: FakeOpenAI) -> None:
    async def get_weather(city: str) -> str:
        if city == "Rome":
            scope.cancel()
            await anyio.sleep(1)
        return "sunny"

    conversation = talk(fake, tools=[get_weather])
    rome = [("get_weather", {"city": "Rome"})]
    fake.reply(tool_calls=rome).reply(tool_calls=PARIS).reply(tool_calls=rome)
    for _ in range(2):
        with anyio.CancelScope() as scope:
            async for _ in conversation.stream("weather?"):
                pass
    (turn,) = conversation.recent
    assert not turn.complete
    assert [message["role"] for message in turn.messages] == ["user", "assistant", "tool"]
    unread = conversation.stream("never asked")
    await unread.aclose()
    del unread
    gc.collect()
    await conversation.send("next")


async def test_a_stream_that_fails_leaves_the_history_as_it_was(fake: FakeOpenAI) -> None:
    conversation = talk(fake)
    fake.drop("Once upon", after=3)
    with pytest.raises(openai.APIConnectionError):
        async for _ in conversation.stream("a story"):
            pass
    fake.respond(httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=b"data: [DONE]\n\n"))
    with pytest.raises(NoAnswer):
        async for _ in conversation.stream("a story"):
            pass
    assert conversation.recent == ()


async def test_a_stream_that_ends_without_a_finish_reason_is_marked(fake: FakeOpenAI) -> None:
    chunk = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[%s]}'
    choice = '{"index":0,"delta":{"role":"assistant","content":"Once"},"finish_reason":null}'
    content = f"data: {chunk % choice}\n\ndata: [DONE]\n\n".encode()
    fake.respond(httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=content))
    conversation = talk(fake)
    assert [piece async for piece in conversation.stream("a story")] == ["Once"]
    assert not conversation.recent[0].complete


async def test_a_turn_inside_an_open_stream_is_refused_and_one_of_another_task_waits(fake: FakeOpenAI) -> None:
    conversation = talk(fake)
    fake.reply("one two three")
    async with conversation.stream("count") as stream:
        async for _ in stream:
            other = asyncio.create_task(conversation.send("other"))
            with pytest.raises(ConversationBusy, match="close it first"):
                await conversation.send("me")
            break
    await other
    assert [turn.messages[0]["content"] for turn in conversation.recent] == ["count", "other"]


# --- the window


async def test_whole_old_turns_are_left_out_and_the_examples_stay(fake: FakeOpenAI) -> None:
    few_shot = [("Q?", "A.")]
    conversation = talk(fake, system="S", few_shot=few_shot, max_tokens=220, max_completion_tokens=100)
    for number in range(8):
        await conversation.send(f"Question {number}: " + "why? " * 5)
        assert count_tokens(sent(fake), model="gpt-4o").total <= 120
    messages = sent(fake)
    assert [message["content"] for message in messages[:3]] == ["S", "Q?", "A."]
    assert [message["role"] for message in messages[3:]] == ["user", "assistant", "user"]
    assert messages[-1]["content"].startswith("Question 7")
    assert len(conversation.recent) < 8
    assert await conversation.history() == conversation.recent


async def test_the_examples_go_when_the_current_turn_needs_the_room(fake: FakeOpenAI) -> None:
    conversation = talk(fake, few_shot=[("Q? " * 10, "A. " * 10)], max_tokens=60)
    await conversation.send("short")
    assert len(sent(fake)) == 3
    await conversation.send("long " * 40)
    assert [message["role"] for message in sent(fake)] == ["user"]
    with pytest.raises(ContextLengthExceeded):
        await conversation.send("too long " * 60)
    assert len(conversation.recent) == 1


async def test_without_a_window_memory_holds_what_the_model_can_take(
    fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = talk(fake, model="gpt-4")  # 8,192 tokens
    for _ in range(6):
        await conversation.send("word " * 1_500)
    assert len(conversation.recent) == 3
    assert len(sent(fake)) == 7


async def test_300_turns_with_tools_in_a_window_of_4k_are_never_rejected_and_memory_stays_flat(tmp_path: Path) -> None:
    window, answer = 4_096, 512
    fake = FakeOpenAI(max_prompt_tokens=window - answer, stream_chars=60)
    store = SQLiteStore(tmp_path / "chat.db")

    async def get_weather(city: str) -> dict[str, str]:
        return {"city": city, "forecast": "mild, some rain, wind from the west; " * 40}

    tools = ToolRegistry([get_weather])
    conversation = talk(
        fake,
        system="You are a forecaster.",
        tools=tools,
        max_tokens=window,
        max_completion_tokens=answer,
        store=store,
    )
    sizes, grown = list[int](), dict[int, int]()
    for number in range(300):
        if number == 80:
            tracemalloc.start()
        fake.reply(tool_calls=[("get_weather", {"city": f"City {number}"})]).reply(f"Mild in city {number}. " * 4)
        question = f"What about city {number}? " + "I would like to know. " * (number % 7)
        if number % 2:
            await conversation.send(question)
        else:
            assert [piece async for piece in conversation.stream(question)]
        sizes += [
            count_tokens(sent(fake, i), model="gpt-4o", tools=tools.params).total for i in range(len(fake.requests))
        ]
        fake.requests.clear()
        if number in (99, 299):
            for memory in MEMORIES.values():
                memory.young.clear()  # the counts remembered are bounded by themselves
            PREFIXES._kept.clear()  # as are the beginnings
            gc.collect()
            grown[number] = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(sizes) == 600
    assert max(sizes) <= window - answer
    assert min(sizes[100:]) > 0.85 * (window - answer)  # the window is used, too
    assert len(conversation.recent) < 12
    assert grown[299] - grown[99] < 200_000  # whole turns: 400,000; pydantic keeps short strings
    turns = await conversation.history()
    assert [turn.number for turn in turns] == list(range(1, 301))
    assert conversation.usage.calls == 600
    again = await Conversation.load(fake.async_client(), store=store, id=conversation.id)
    assert (again.recent, again.usage) == (conversation.recent, conversation.usage)


# --- saved and loaded


@pytest.mark.parametrize("kind", [JSONStore, SQLiteStore])
async def test_a_conversation_goes_on_after_loading(fake: FakeOpenAI, tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "chats"
    options = {"tools": [get_weather]}
    first = talk(
        fake, system="S", few_shot=[("Q", "A")], max_tokens=4000, store=kind(path), id="alice", seed=1, **options
    )
    assert await first.history() == ()
    fake.reply(tool_calls=PARIS).reply("Sunny ☀ \ud83d")
    await first.send("weather?")
    second = await Conversation.load(fake.async_client(middleware=[]), store=kind(path), id="alice", **options)
    assert (second.recent, second.usage) == (first.recent, first.usage)
    await second.send("thanks")
    body = fake.requests[-1].body
    assert [message["content"] for message in body["messages"]][:4] == ["S", "Q", "A", "weather?"]
    assert body["model"] == "gpt-4o"
    assert "seed" not in body
    third = await Conversation.load(fake.async_client(middleware=[]), store=kind(path), id="alice", model="gpt-4.1")
    await third.send("bye")
    fourth = await Conversation.load(fake.async_client(middleware=[]), store=kind(path), id="alice", few_shot=())
    await fourth.send("hello")
    assert fake.requests[-1].body["model"] == "gpt-4.1"
    assert sent(fake)[1]["content"] == "weather?"
    assert [turn.number for turn in await fourth.history()] == [1, 2, 3, 4]


async def test_loading_reads_on_until_the_window_is_full(fake: FakeOpenAI, tmp_path: Path) -> None:
    class Counting(SQLiteStore):
        asked: list[int | None] = []  # noqa: RUF012

        async def load(self, conversation_id: str, *, last: int | None = None) -> Any:
            self.asked.append(last)
            return await super().load(conversation_id, last=last)

    store = Counting(tmp_path / "chats.db")
    conversation = talk(fake, store=store, max_tokens=1_500)
    for number in range(150):
        await conversation.send(f"{number}")
    again = await Conversation.load(fake.async_client(), store=store, id=conversation.id)
    assert store.asked == [64, 128]
    assert 64 < len(again.recent) < 128
    assert again.recent == conversation.recent


async def test_an_unknown_or_taken_id_is_an_error(fake: FakeOpenAI, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chats.db")
    with pytest.raises(ConversationNotFound, match="'bob'"):
        await Conversation.load(fake.async_client(), store=store, id="bob")
    await talk(fake, store=store, id="bob").send("hi")
    late = talk(fake, store=store, id="bob")
    with pytest.raises(ConversationConflict, match="turn 1 of the conversation 'bob'"):
        await late.send("hi")
    assert late.recent == ()


async def test_a_cancel_while_a_turn_is_stored_waits_for_the_store(fake: FakeOpenAI, tmp_path: Path) -> None:
    writing, go_on = asyncio.Event(), asyncio.Event()

    class Slow(JSONStore):
        async def append(self, conversation_id: str, turn: ConversationTurn, *, settings: Any) -> None:
            writing.set()
            await go_on.wait()
            await super().append(conversation_id, turn, settings=settings)

    conversation = talk(fake, store=Slow(tmp_path / "chat.jsonl"))
    task = asyncio.create_task(conversation.send("hi"))
    await writing.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(conversation.recent) == 1
    assert await conversation.history() == conversation.recent


async def test_no_key_and_no_request_option_is_stored(fake: FakeOpenAI, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    conversation = talk(fake, store=JSONStore(path), extra_headers={"Authorization": "Bearer sk-canary"})
    await conversation.send("hi")
    assert b"canary" not in path.read_bytes()
    assert "sk-fake" not in path.read_text()


async def test_the_vocabulary_is_loaded_off_the_event_loop(fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("llmkit.conversation.conversation.is_loaded", lambda model: False)
    monkeypatch.setattr("llmkit.conversation.conversation.load", loaded.append)
    await talk(fake).send("hi")
    assert loaded == ["gpt-4o"]
