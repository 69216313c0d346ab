"""The Responses API: bodies, events, parsing, usage."""

from __future__ import annotations

from itertools import islice

import openai
import pytest
from pydantic import BaseModel

from llmkit.testing import FakeOpenAI


class Person(BaseModel):
    name: str
    age: int


def test_it_answers_a_string_or_the_last_user_item(sdk: openai.OpenAI) -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "r"},
    ]
    assert sdk.responses.create(model="m", input="Hello").output_text == "You said: Hello"
    assert sdk.responses.create(model="m", input=items).output_text == "You said: Hello"
    assert sdk.responses.create(model="m", input=[], instructions="Be brief.").output_text == "You said: "


def test_a_response_is_complete_and_repeats_the_request(sdk: openai.OpenAI) -> None:
    response = sdk.responses.create(model="m", input="x", instructions="Be brief.", metadata={"a": "b"})
    assert (response.id, response.status, response.error) == ("resp_fake_1", "completed", None)
    assert (response.instructions, response.metadata, response.tool_choice) == ("Be brief.", {"a": "b"}, "auto")


def test_tool_calls_are_output_items(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply(tool_calls=[("get_weather", {"city": "Paris"}), ("get_time", "{}")])
    first, second = sdk.responses.create(model="m", input="x").output
    assert (first.type, first.call_id, first.name) == ("function_call", "call_fake_1_1", "get_weather")
    assert (first.arguments, second.id) == ('{"city":"Paris"}', "fc_fake_1_2")


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_cut_reply_is_incomplete(fake: FakeOpenAI, sdk: openai.OpenAI, finish_reason: str, reason: str) -> None:
    fake.reply("No.", finish_reason=finish_reason).reply("No.", finish_reason=finish_reason)
    response = sdk.responses.create(model="m", input="x")
    assert (response.status, response.incomplete_details.reason) == ("incomplete", reason)
    assert response.output[0].status == "incomplete"
    *_, last = sdk.responses.create(model="m", input="x", stream=True)
    assert (last.type, last.response.status) == ("response.incomplete", "incomplete")


def test_a_refusal_is_a_content_part_whole_and_streamed(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply(refusal="I cannot.").reply(refusal="I cannot.")
    assert sdk.responses.create(model="m", input="x").output[0].content[0].refusal == "I cannot."
    events = list(sdk.responses.create(model="m", input="x", stream=True))
    deltas = [event.delta for event in events if event.type == "response.refusal.delta"]
    assert deltas == ["I ca", "nnot", "."]
    assert [event.refusal for event in events if event.type == "response.refusal.done"] == ["I cannot."]


def test_a_stream_has_the_full_sequence_of_numbered_events(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("Hello", tool_calls=[("f", {})])
    events = list(sdk.responses.create(model="m", input="x", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert events[0].response.usage is None
    assert events[2].item.content == []
    assert events[-1].response.output_text == "Hello"
    assert events[-1].response.usage.total_tokens > 0


async def test_the_stream_helper_assembles_the_response(fake: FakeOpenAI) -> None:
    fake.reply("Look:", tool_calls=[("get_weather", {"city": "Paris"})])
    async with (
        openai.AsyncOpenAI(api_key="k", base_url=fake.base_url, http_client=fake.async_http_client()) as client,
        client.responses.stream(model="m", input="x") as helper,
    ):
        text = "".join([event.delta async for event in helper if event.type == "response.output_text.delta"])
        final = await helper.get_final_response()
    assert (text, final.output_text, final.output[1].arguments) == ("Look:", "Look:", '{"city":"Paris"}')


def test_parse_works_without_queueing(sdk: openai.OpenAI) -> None:
    assert sdk.responses.parse(model="m", input="x", text_format=Person).output_parsed == Person(name="", age=0)


def test_usage_counts_instructions_and_takes_overrides(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("12345", usage={"input_tokens_details": {"cached_tokens": 1}})
    usage = sdk.responses.create(model="m", input="1234", instructions="12345678").usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (16, 2, 18)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (1, 0)


def test_a_dropped_stream_raises_a_connection_error(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.drop(after=2)
    events = sdk.responses.create(model="m", input="x", stream=True)
    assert [event.type for event in islice(events, 2)] == ["response.created", "response.in_progress"]
    with pytest.raises(openai.APIConnectionError):
        next(events)


def test_a_late_drop_keeps_the_response_from_completing(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.drop("Hello", after=99)
    events = sdk.responses.create(model="m", input="x", stream=True)
    assert list(iter(lambda: next(events).type, "response.output_item.done"))[-1] == "response.content_part.done"
    with pytest.raises(openai.APIConnectionError):
        next(events)
