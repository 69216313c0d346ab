"""What only the Responses API has: hosted tools, reasoning items, background mode, conversations, programs."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from tools.loop.loops import all_of, check_history, final_of, of_type, outputs

from llmkit.streaming.interrupted import StreamInterrupted
from llmkit.testing import FakeOpenAI, virtual_time
from llmkit.tools.loop.errors import NoReply
from llmkit.tools.loop.loop import ToolLoop
from llmkit.tools.loop.run import run_tools

REASONING: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "status": None,
}
SEARCH: dict[str, Any] = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "x"},
}
CALL: dict[str, Any] = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "add",
    "arguments": "{}",
    "status": None,
}
CODE: dict[str, Any] = {
    "type": "code_interpreter_call",
    "id": "ci",
    "status": "completed",
    "code": None,
    "outputs": None,
    "container_id": "c",
}


def add(a: int = 1) -> int:
    """Add one."""
    return a + 1


def message(text: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def response(*output: dict[str, Any], status: str = "completed", **fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    head: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5",
        "tools": [],
        "usage": usage,
    }
    return {**head, "status": status, "output": list(output), **fields}


def answer(body: dict[str, Any]) -> httpx2.Response:
    return httpx2.Response(200, json=body)


def loop(fake: FakeOpenAI, **arguments: Any) -> ToolLoop:
    given: dict[str, Any] = {"model": "gpt-5", "input": "Hi", "tools": [add], **arguments}
    return ToolLoop(fake.async_client(middleware=[]), **given)


def sent(fake: FakeOpenAI, number: int = -1) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = fake.requests[number].body["input"]
    return items


async def test_the_output_goes_back_in_its_order_without_what_requests_may_not_have() -> None:
    body = response(
        REASONING, SEARCH, CODE, message("Let me add."), {**CALL, "parsed_arguments": {}, "created_by": "x"}
    )
    fake = FakeOpenAI().respond(answer(body)).reply("Two.")
    final = await final_of(loop(fake, tools=[add, {"type": "web_search"}]))
    assert fake.requests[0].body["tools"][1] == {"type": "web_search"}
    assert [item.get("type", "user") for item in sent(fake)] == [
        "user",
        "reasoning",
        "web_search_call",
        "code_interpreter_call",
        "message",
        "function_call",
        "function_call_output",
    ]
    assert sent(fake)[1] == {name: value for name, value in REASONING.items() if value is not None}
    assert sent(fake)[3] == CODE
    assert sent(fake)[5] == {name: value for name, value in CALL.items() if value is not None}
    check_history(
        [item for item in final.messages if item.get("type") not in {"web_search_call", "code_interpreter_call"}]
    )


async def test_reasoning_is_told_where_the_server_shows_it() -> None:
    fake = FakeOpenAI().respond(answer(response(REASONING, message("Two."))))
    steps = await all_of(loop(fake))
    assert [step.text for step in of_type(steps, "reasoning_delta")] == ["Hm."]


async def test_reasoning_that_is_stored_nowhere_goes_back_encrypted_or_not_at_all() -> None:
    secret = {**REASONING, "id": "rs_2", "encrypted_content": "gAAA"}
    fake = FakeOpenAI().respond(answer(response(REASONING, secret, CALL))).reply("Two.")
    await final_of(loop(fake, store=False))
    assert [item["id"] for item in sent(fake) if item.get("type") == "reasoning"] == ["rs_2"]


async def test_a_hosted_tool_can_be_forced_once() -> None:
    fake = FakeOpenAI().respond(answer(response(CALL))).reply("Found.")
    await all_of(loop(fake, tools=[{"type": "web_search"}, add], tool_choice="web_search"))
    assert [request.body["tool_choice"] for request in fake.requests] == [{"type": "web_search"}, "auto"]


async def test_custom_tools_run_here_when_a_function_of_the_name_is_given() -> None:
    call = {"type": "custom_tool_call", "id": "ct", "call_id": "call_1", "name": "shout", "input": "hi"}

    def shout(input: str) -> str:
        """Shout."""
        return input.upper()

    fake = FakeOpenAI().respond(answer(response(call))).reply("HI it is.")
    steps = await all_of(loop(fake, tools=[shout]))
    [arguments] = of_type(steps, "tool_arguments")
    assert (arguments.delta, arguments.partial) == ("hi", {"input": "hi"})
    assert sent(fake)[-1] == {"type": "custom_tool_call_output", "call_id": "call_1", "output": "HI"}


async def test_a_custom_tool_as_a_dict_runs_elsewhere() -> None:
    custom = {"type": "custom", "name": "shout", "format": {"type": "text"}}
    added = {"type": "custom_tool_call", "id": "ct", "call_id": "call_1", "name": "shout", "input": ""}
    done = {**added, "input": "hi you"}
    place: dict[str, Any] = {"output_index": 0, "item_id": "ct"}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response(status="in_progress")},
        {"type": "response.output_item.added", "item": added, "output_index": 0},
        {"type": "response.custom_tool_call_input.delta", "delta": "hi", **place},
        {"type": "response.custom_tool_call_input.delta", "delta": " you", **place},
        {"type": "response.custom_tool_call_input.delta", "delta": "lost", "output_index": 7, "item_id": "other"},
        {"type": "response.output_item.done", "item": done, "output_index": 0},
        {"type": "response.completed", "response": response(done)},
    ]
    fake = FakeOpenAI().respond(sse(events)).reply("HI YOU.")
    waiting = loop(fake, tools=[custom, add], tool_choice="shout", stream=True)
    steps = await all_of(waiting)
    assert [step.partial for step in of_type(steps, "tool_arguments")] == [{"input": "hi"}, {"input": "hi you"}]
    assert fake.requests[0].body["tools"][0] == custom
    assert fake.requests[0].body["tool_choice"] == {"type": "custom", "name": "shout"}
    await waiting.submit({"call_1": "HI YOU"})
    assert outputs((await all_of(waiting))[-1].messages) == ["HI YOU"]


async def test_the_result_of_a_call_that_a_program_made_names_the_program() -> None:
    program = {"type": "program", "caller_id": "prog_1"}
    fake = FakeOpenAI().respond(answer(response({**CALL, "caller": program}))).reply("Two.")
    await final_of(loop(fake))
    assert sent(fake)[-1] == {"type": "function_call_output", "call_id": "call_1", "output": "2", "caller": program}


async def test_a_conversation_at_the_server_gets_only_what_is_new() -> None:
    fake = FakeOpenAI().respond(answer(response(message("Hm."), CALL))).reply("Two.")
    waiting = loop(fake, conversation="conv_1")
    final = await final_of(waiting)
    assert sent(fake) == [{"type": "function_call_output", "call_id": "call_1", "output": "2"}]
    assert len(final.messages) == 5


async def test_a_previous_response_is_named_each_time_with_all_that_came_after_it() -> None:
    fake = FakeOpenAI().respond(answer(response(CALL))).reply("Two.")
    await final_of(loop(fake, previous_response_id="resp_0"))
    assert fake.requests[1].body["previous_response_id"] == "resp_0"
    assert len(sent(fake)) == 3


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_response_that_failed_is_no_answer(status: str) -> None:
    error = {"code": "server_error", "message": "secret"} if status == "failed" else None
    fake = FakeOpenAI().respond(answer(response(status=status, error=error))).reply("Two.")
    failing = loop(fake)
    with pytest.raises(NoReply, match=f"'resp_1' ended with the status '{status}'"):
        await all_of(failing)
    assert (await all_of(failing))[-1].text == "Two."


@pytest.mark.parametrize(
    ("details", "reason"),
    [({"reason": "max_output_tokens"}, "length"), ({"reason": "content_filter"}, "content_filter"), (None, None)],
)
async def test_an_incomplete_response_says_why_in_the_words_of_chat(details: Any, reason: str | None) -> None:
    body = response(message("Tw"), status="incomplete", incomplete_details=details)
    final = await final_of(loop(FakeOpenAI().respond(answer(body))))
    assert (final.text, final.finish_reason) == ("Tw", reason)


# --- background mode ---


def sse(events: list[dict[str, Any]]) -> httpx2.Response:
    lines = [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"
        for number, event in enumerate(events)
    ]
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text="".join(lines))


async def test_a_response_in_the_background_is_waited_for() -> None:
    fake = FakeOpenAI().respond(answer(response(status="queued")))
    fake.respond(answer(response(status="in_progress"))).respond(answer(response(message("Two."))))
    with virtual_time() as clock:
        waiting = loop(fake, background=True, include=["reasoning.encrypted_content"], extra_headers={"x-team": "blue"})
        final = await final_of(waiting)
    assert final.text == "Two."
    assert clock.sleeps == [2.0, 2.0]
    assert [request.method for request in fake.requests] == ["POST", "GET", "GET"]
    assert "reasoning.encrypted_content" in dict(fake.requests[1].query).values()
    assert fake.requests[2].headers["x-team"] == "blue"


async def test_a_background_stream_goes_on_where_its_connection_broke() -> None:
    started = response(status="in_progress", background=True)
    place: dict[str, Any] = {"output_index": 0, "item_id": "msg_1", "content_index": 0, "logprobs": []}
    done = response(message("Two."), background=True)
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.output_text.delta", "delta": "Tw", **place},
        {"type": "response.output_text.delta", "delta": "o.", **place},
        {"type": "response.completed", "response": done},
    ]
    fake = FakeOpenAI().respond(sse(events[:2])).respond(sse(events))
    with virtual_time():
        steps = await all_of(loop(fake, background=True, stream=True))
    assert [step.text for step in of_type(steps, "text_delta")] == ["Tw", "o."]
    assert steps[-1].text == "Two."
    assert dict(fake.requests[1].query)["starting_after"] == "1"


async def test_a_stream_that_is_not_in_the_background_is_interrupted() -> None:
    events = [{"type": "response.created", "response": response(status="in_progress")}]
    with pytest.raises(StreamInterrupted):
        await all_of(loop(FakeOpenAI().respond(sse(events)), stream=True))


async def test_text_that_a_server_did_not_stream_is_told_at_the_end() -> None:
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response(status="in_progress")},
        {"type": "response.completed", "response": response(REASONING, message("Two."), CALL)},
    ]
    fake = FakeOpenAI().respond(sse(events)).reply("Done.")
    steps = await all_of(run_tools(fake.async_client(middleware=[]), model="m", input="Hi", tools=[add], stream=True))
    kinds = [step.type for step in steps[:6]]
    assert kinds == [
        "reasoning_delta",
        "text_delta",
        "tool_call_started",
        "tool_arguments",
        "tool_call_finished",
        "usage",
    ]
