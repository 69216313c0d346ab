"""Streams of a loop: closed at once, interrupted cleanly, and told right where servers are odd."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import httpx2
import openai
import pytest
from tools.loop.loops import Way, all_of, check_history, moved, of_type, outputs, results_of, streams, ways

from llmkit.streaming.interrupted import StreamInterrupted
from llmkit.testing import FakeOpenAI
from llmkit.tools.loop.errors import NoReply, UnknownUsage
from llmkit.tools.loop.loop import ToolLoop
from llmkit.tools.loop.run import run_tools


def add(a: int = 1) -> int:
    """Add one."""
    return a + 1


def long_answer() -> FakeOpenAI:
    return FakeOpenAI().reply("A long answer in many pieces.")


@streams
async def test_leaving_a_loop_closes_its_stream_at_once(way: Way) -> None:
    fake = long_answer()
    async with way.loop(fake) as loop:
        async for _ in loop:
            assert fake.open_streams == 1
            break
        assert fake.open_streams == 1
    assert fake.open_streams == 0


@streams
async def test_a_stream_that_was_left_open_is_read_on(way: Way) -> None:
    fake = long_answer()
    loop = way.loop(fake)
    first: Any = await anext(loop)
    rest = await all_of(loop)
    assert len(fake.requests) == 1
    assert "".join(step.text for step in [first, *of_type(rest, "text_delta")]) == "A long answer in many pieces."


@streams
async def test_a_call_whose_stream_was_closed_is_made_again(way: Way) -> None:
    fake = FakeOpenAI().reply("Lost, lost, lost.").reply("Found.")
    loop = way.loop(fake)
    await anext(loop)
    await loop.aclose()
    await loop.aclose()
    assert fake.open_streams == 0
    assert (await all_of(loop))[-1].text == "Found."
    assert loop.usage.calls == 1


@streams
async def test_closing_the_steps_of_run_tools_closes_the_stream_at_once(way: Way) -> None:
    fake = long_answer()
    async with aclosing(run_tools(fake.async_client(middleware=[]), **way.arguments)) as steps:
        await anext(steps)
        assert fake.open_streams == 1
    assert fake.open_streams == 0


@streams
async def test_a_break_out_of_run_tools_closes_the_stream_soon(way: Way) -> None:
    fake = long_answer()
    async for _ in way.run(fake):
        break
    for _ in range(10):
        await asyncio.sleep(0)
    assert fake.open_streams == 0


@streams
async def test_an_exception_of_the_consumer_closes_the_stream(way: Way) -> None:
    fake = long_answer()

    async def consume() -> None:
        async with way.loop(fake) as loop:
            async for _ in loop:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await consume()
    assert fake.open_streams == 0


@streams
async def test_a_cancelled_consumer_closes_the_stream(way: Way) -> None:
    fake = long_answer()
    got = asyncio.Event()

    async def consume() -> None:
        async with way.loop(fake) as loop:
            async for _ in loop:
                got.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(consume())
    await got.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fake.open_streams == 0


@streams
async def test_a_cancellation_while_the_server_is_silent_closes_the_stream(way: Way) -> None:
    """The loop itself waits for the next event when the cancellation comes, and can be iterated on afterwards."""
    fake = FakeOpenAI(delay=3600).reply("Never.")
    loop = way.loop(fake)
    task = asyncio.create_task(all_of(loop))
    while not fake.open_streams:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fake.open_streams == 0
    assert loop.usage.calls == 0


@streams
async def test_an_interrupted_stream_leaves_a_state_to_go_on_from(way: Way) -> None:
    ran: list[int] = []

    def look() -> str:
        ran.append(1)
        return "seen"

    fake = FakeOpenAI().reply(tool_calls=[("look", {})])
    fake.drop("It is all the same.", after=6 if way.api == "responses" else 4)
    fake.reply("It is 18 degrees.")
    loop = way.loop(fake, tools=[look])
    steps: list[Any] = []

    async def listen() -> None:
        async for step in loop:
            steps.append(step)

    with pytest.raises(StreamInterrupted) as caught:
        await listen()
    heard = "".join(step.text for step in of_type(steps, "text_delta"))
    assert heard
    assert caught.value.text == heard
    assert fake.open_streams == 0
    assert outputs(loop.messages) == ["seen"]
    again = ToolLoop.resume(fake.async_client(middleware=[]), json.loads(json.dumps(loop.save())), tools=[look])
    final = (await all_of(again))[-1]
    assert final.text == "It is 18 degrees."
    check_history(final.messages)
    assert ran == [1]
    assert final.usage.calls == 2  # what the broken call used, nobody knows


@streams
async def test_an_error_before_the_stream_is_the_apis_own(way: Way) -> None:
    fake = FakeOpenAI().error(400, message="odd").reply("Fine.")
    loop = way.loop(fake)
    with pytest.raises(openai.BadRequestError):
        await all_of(loop)
    assert (await all_of(loop))[-1].text == "Fine."


@ways
@pytest.mark.parametrize("moment", range(0, 100, 4))
async def test_a_loop_that_is_cancelled_at_any_moment_goes_on_elsewhere(way: Way, moment: int) -> None:
    ran: list[int] = []

    async def look(place: int) -> str:
        await asyncio.sleep(0)
        ran.append(place)
        return "seen"

    async def checkpoint(_: object) -> None:
        await asyncio.sleep(0)

    async def iterate() -> None:
        async with loop:
            await all_of(loop)

    fake = FakeOpenAI(stream_chars=4).reply("Well", tool_calls=[("look", {"place": 1}), ("look", {"place": 2})])
    fake.reply(tool_calls=[("look", {"place": 3})])
    for _ in range(3):
        fake.reply("Done.")
    loop = way.loop(fake, tools=[look], checkpoint=checkpoint)
    task = asyncio.create_task(iterate())
    for _ in range(moment):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert fake.open_streams == 0
    again = moved(loop, fake.async_client(middleware=[]), tools=[look])
    await all_of(again)
    assert again.final is not None
    check_history(again.messages)
    assert len(ran) == len(set(ran))


# --- odd servers ---


def sse(*events: dict[str, Any], done: bool = True) -> httpx2.Response:
    data = [json.dumps(event) for event in events] + ["[DONE]"] * done
    body = "".join(f"data: {line}\n\n" for line in data)
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=body)


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}


def fragment(arguments: str = "", **fields: Any) -> dict[str, Any]:
    name = {"name": fields.pop("name")} if "name" in fields else {}
    return {"index": 0, **fields, "function": {**name, "arguments": arguments}}


def chat(fake: FakeOpenAI, **arguments: Any) -> ToolLoop:
    given: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    return ToolLoop(fake.async_client(middleware=[]), **{**given, **arguments})


async def test_chunks_that_a_content_filter_sends_are_passed_over() -> None:
    about: dict[str, Any] = {"index": 0, "finish_reason": None, "content_filter_offsets": {}}
    choices: list[Any] = [[], [about], [{**about, "delta": None}], None]
    odd = [{**chunk(), "choices": one} for one in choices]
    fake = FakeOpenAI().respond(sse(odd[0], chunk(content="Hi."), *odd[1:3], chunk("stop"), odd[3]))
    steps = await all_of(chat(fake))
    assert [step.type for step in steps] == ["text_delta", "usage", "final"]
    assert steps[-1].text == "Hi."


async def test_calls_that_share_an_index_are_two_calls() -> None:
    fake = FakeOpenAI().respond(
        sse(
            chunk(tool_calls=[fragment('{"a": 1}', id="one", name="add")]),
            chunk(tool_calls=[fragment('{"a": 2}', id="two", name="add")]),
            chunk("tool_calls"),
        )
    )
    steps = await all_of(chat(fake.reply("Done."), tools=[add]))
    assert [step.text for step in results_of(steps)] == ["2", "3"]
    assert [step.call_id for step in of_type(steps, "tool_call_started")] == ["one", "two"]
    check_history(steps[-1].messages)


async def test_a_call_is_told_of_when_its_name_is_known() -> None:
    nameless = chunk(tool_calls=[fragment('{"a"', id="one")])
    fake = FakeOpenAI().respond(sse(nameless, chunk(tool_calls=[fragment(": 1}", name="add")]), chunk("tool_calls")))
    steps = await all_of(chat(fake.reply("Done."), tools=[add]))
    assert [(step.name, step.call_id) for step in of_type(steps, "tool_call_started")] == [("add", "one")]
    assert [step.delta for step in of_type(steps, "tool_arguments")] == ['{"a": 1}']


async def test_calls_without_ids_get_ids_that_all_steps_agree_on() -> None:
    fake = FakeOpenAI().respond(
        sse(
            chunk(tool_calls=[{**fragment('{"a"', name="add"), "index": 1}, fragment('{"a": 7}', name="add")]),
            chunk(tool_calls=[{**fragment(": 2}"), "index": 1}]),
            chunk("tool_calls"),
        )
    )
    steps = await all_of(chat(fake.reply("Done."), tools=[add]))
    started = {step.call_id for step in of_type(steps, "tool_call_started")}
    assert len(started) == 2
    assert {step.call_id: step.partial["a"] for step in of_type(steps, "tool_arguments") if step.partial} == {
        step.call.id: int(step.text) - 1 for step in results_of(steps)
    }
    assert started == {step.call.id for step in results_of(steps)}
    check_history(steps[-1].messages)


async def test_calls_of_a_whole_reply_without_ids_of_their_own_get_some() -> None:
    def call(call_id: str | None, a: int) -> dict[str, Any]:
        return {"id": call_id, "type": "function", "function": {"name": "add", "arguments": f'{{"a": {a}}}'}}

    calls = [call("", 1), call(None, 2), call("x", 3), call("x", 3), call("x", 4)]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    reply = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", **reply}
    fake = FakeOpenAI().respond(httpx2.Response(200, json=body)).reply("Done.")
    steps = await all_of(chat(fake, tools=[add], stream=False))
    assert [step.text for step in of_type(steps, "tool_result")] == ["2", "3", "4", "5"]
    check_history(steps[-1].messages)


async def test_a_call_in_the_old_form_is_answered_in_it() -> None:
    message = {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a": 1}'}}
    reply = {"choices": [{"index": 0, "message": message, "finish_reason": "function_call"}]}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", **reply}
    fake = FakeOpenAI().respond(httpx2.Response(200, json=body)).reply("Done.")
    steps = await all_of(chat(fake, tools=[add], stream=False))
    assert [step.text for step in of_type(steps, "tool_result")] == ["2"]
    assert fake.requests[1].body["messages"][1:] == [message, {"role": "function", "name": "add", "content": "2"}]


async def test_reasoning_that_servers_show_is_told_and_goes_back_with_the_results() -> None:
    call = {"id": "one", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [call], "other": 1}
    reply = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", **reply}
    fake = FakeOpenAI().respond(httpx2.Response(200, json=body))
    fake.respond(sse(chunk(reasoning="We"), chunk(reasoning="ll."), chunk(content="Two."), chunk("stop")))
    whole = chat(fake, tools=[add], stream=False)
    steps: list[Any] = [await anext(whole) for _ in range(6)]
    streaming = ToolLoop.resume(fake.async_client(middleware=[]), whole.save(), tools=[add], stream=True)
    steps += await all_of(streaming)
    assert [(step.text, step.step) for step in of_type(steps, "reasoning_delta")] == [("Hm.", 1), ("We", 2), ("ll.", 2)]
    sent = fake.requests[1].body["messages"][1]
    assert sent["reasoning_content"] == "Hm."
    assert "other" not in sent
    assert "reasoning" not in steps[-1].messages[-1]


@pytest.mark.parametrize("reported", [0, 1])
async def test_a_server_that_reports_no_usage_cannot_be_bounded_by_tokens(reported: int) -> None:
    calls = [chunk(tool_calls=[fragment('{"a": 1}', id="one", name="add")]), chunk("tool_calls")]
    usage: dict[str, Any] = {
        **chunk(),
        "choices": [],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    fake = FakeOpenAI()
    for number in range(3):
        fake.respond(sse(*calls, *[usage] * (number < reported)))
    with pytest.raises(UnknownUsage, match="max_tokens=1000 cannot be kept: the server reports no usage for a call of"):
        await all_of(chat(fake, tools=[add], max_tokens=1000))
    assert len(fake.requests) == reported + 1


async def test_the_callers_stream_options_are_kept() -> None:
    fake = FakeOpenAI().reply("Hi.")
    await all_of(chat(fake, stream_options={"include_obfuscation": False}))
    assert fake.requests[0].body["stream_options"] == {"include_usage": True, "include_obfuscation": False}


async def test_a_response_that_fails_on_the_way_is_no_answer() -> None:
    head: dict[str, Any] = {
        "id": "r",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "output": [],
        "tools": [],
        "status": "failed",
    }
    failed = {**head, "error": {"code": "server_error", "message": "secret"}}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**head, "status": "in_progress"}, "sequence_number": 0},
        {"type": "response.failed", "response": failed, "sequence_number": 1},
    ]
    fake = FakeOpenAI().respond(sse(*events, done=False)).reply("Fine.")
    loop = ToolLoop(fake.async_client(middleware=[]), model="m", input="Hi", stream=True)
    with pytest.raises(NoReply, match=r"'r' ended with the status 'failed' \(error code: 'server_error'\)") as caught:
        await all_of(loop)
    assert "secret" not in str(caught.value)
    assert (await all_of(loop))[-1].text == "Fine."
