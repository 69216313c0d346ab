"""Chat completions: bodies, streams, parsing, usage."""

from __future__ import annotations

import json
from itertools import islice

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from llmkit.testing import FakeOpenAI
from llmkit.tokens import count_request

HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = [("get_weather", {"city": "Paris"}), ("get_time", '{"zone": ')]


class Person(BaseModel):
    name: str
    age: int


def stream(client: openai.OpenAI, **options: object) -> list[ChatCompletionChunk]:
    return list(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, **options))


def test_a_reply_has_text_and_stops(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("Hi.")
    choice = sdk.chat.completions.create(model="gpt-4o", messages=HELLO).choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "Hi.", "stop")
    assert choice.message.tool_calls is None


def test_a_reply_takes_a_finish_reason(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("No.", finish_reason="length").reply("No.", finish_reason="length")
    assert sdk.chat.completions.create(model="gpt-4o", messages=HELLO).choices[0].finish_reason == "length"
    assert stream(sdk)[-1].choices[0].finish_reason == "length"


def test_tool_calls_take_a_mapping_or_raw_text(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply(tool_calls=WEATHER)
    choice = sdk.chat.completions.create(model="gpt-4o", messages=HELLO).choices[0]
    calls = choice.message.tool_calls
    assert choice.message.content is None
    assert choice.finish_reason == "tool_calls"
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("call_fake_1_1", "get_weather", '{"city":"Paris"}'),
        ("call_fake_1_2", "get_time", '{"zone": '),
    ]


def test_tool_call_ids_differ_between_choices(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply(tool_calls=WEATHER)
    choices = sdk.chat.completions.create(model="gpt-4o", messages=HELLO, n=2).choices
    assert len({call.id for choice in choices for call in choice.message.tool_calls}) == 4


def test_text_streams_in_fragments_between_a_role_and_a_finish_chunk(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("Hello you")
    deltas = [chunk.choices[0].delta for chunk in stream(sdk)]
    assert deltas[0].role == "assistant"
    assert [delta.content for delta in deltas] == ["", "Hell", "o yo", "u", None]


def test_streamed_tool_calls_open_with_id_and_name_and_then_send_arguments(
    fake: FakeOpenAI, sdk: openai.OpenAI
) -> None:
    fake.reply("Look:", tool_calls=WEATHER)
    chunks = stream(sdk)
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    opening = [call for call in calls if call.id]
    assert [(call.index, call.function.name, call.function.arguments) for call in opening] == [
        (0, "get_weather", ""),
        (1, "get_time", ""),
    ]
    joined = ["".join(call.function.arguments for call in calls if call.index == index) for index in (0, 1)]
    assert joined == ['{"city":"Paris"}', '{"zone": ']
    assert all(call.function.name is None for call in calls if not call.id)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_refusals_come_whole_and_streamed(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply(refusal="I cannot.").reply(refusal="I cannot.")
    message = sdk.chat.completions.create(model="gpt-4o", messages=HELLO).choices[0].message
    assert (message.refusal, message.content) == ("I cannot.", None)
    assert "".join(chunk.choices[0].delta.refusal or "" for chunk in stream(sdk)) == "I cannot."


def test_choices_stream_interleaved(sdk: openai.OpenAI) -> None:
    chunks = stream(sdk, n=2)
    assert [chunk.choices[0].index for chunk in chunks[:4]] == [0, 1, 0, 1]
    for index in (0, 1):
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == index]
        assert "".join(choice.delta.content or "" for choice in mine) == "You said: Hello"


def test_usage_is_streamed_in_a_last_chunk_only_when_asked_for(fake: FakeOpenAI) -> None:
    body = {"model": "m", "messages": HELLO, "stream": True}
    key = {"authorization": "Bearer k"}
    with fake.http_client() as client:
        plain = client.post(f"{fake.base_url}/chat/completions", json=body, headers=key).text
        body["stream_options"] = {"include_usage": True}
        asked = client.post(f"{fake.base_url}/chat/completions", json=body, headers=key).text
    assert "usage" not in plain
    events = [line.removeprefix("data: ") for line in asked.split("\n\n") if line]
    *chunks, last = [json.loads(event) for event in events[:-1]]
    assert events[-1] == "[DONE]"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 12)


def test_usage_is_what_the_api_would_bill(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("ää")
    usage = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "12345"}], n=3).usage
    # one message: 4 and its text, 3 of priming
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (4 + 2 + 3, 3, 9 + 3)
    assert usage.prompt_tokens_details.cached_tokens == 0
    assert usage.completion_tokens_details.reasoning_tokens == 0


def test_the_prompt_counts_tools_as_llmkit_counts_them(sdk: openai.OpenAI) -> None:
    tools = [{"type": "function", "function": {"name": "t" * 40}}]
    plain = sdk.chat.completions.create(model="m", messages=HELLO).usage.prompt_tokens
    with_tools = sdk.chat.completions.create(model="m", messages=HELLO, tools=tools).usage.prompt_tokens
    expected = {"model": "m", "messages": HELLO, "tools": tools}
    assert with_tools == count_request(expected, operation="chat.completions").total > plain


def test_content_that_cannot_be_counted_is_estimated(sdk: openai.OpenAI) -> None:
    odd = [{"role": "user", "content": [{"type": "text", "text": 3}]}]
    assert sdk.chat.completions.create(model="m", messages=odd).usage.prompt_tokens > 0


def test_a_reply_overrides_single_figures_of_the_usage(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("four", usage={"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 64}})
    usage = sdk.chat.completions.create(model="m", messages=HELLO).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 1, 101)
    assert (usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens_details.audio_tokens) == (64, 0)


def test_an_empty_reply_costs_no_output(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("")
    reply = sdk.chat.completions.create(model="m", messages=HELLO)
    assert (reply.choices[0].message.content, reply.usage.completion_tokens) == ("", 0)


def test_a_given_total_wins(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("x", usage={"total_tokens": 7})
    assert sdk.chat.completions.create(model="m", messages=HELLO).usage.total_tokens == 7


def test_parse_works_without_queueing(sdk: openai.OpenAI) -> None:
    reply = sdk.chat.completions.parse(model="m", messages=HELLO, response_format=Person)
    assert reply.choices[0].message.parsed == Person(name="", age=0)


def test_parse_reads_a_queued_reply(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply('{"name": "Ada", "age": 36}')
    reply = sdk.chat.completions.parse(model="m", messages=HELLO, response_format=Person)
    assert reply.choices[0].message.parsed == Person(name="Ada", age=36)


def test_json_mode_answers_a_json_object(sdk: openai.OpenAI) -> None:
    reply = sdk.chat.completions.create(model="m", messages=HELLO, response_format={"type": "json_object"})
    assert json.loads(reply.choices[0].message.content) == {"answer": "You said: Hello"}


def test_the_default_answers_the_last_user_message_or_nobody(sdk: openai.OpenAI) -> None:
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert sdk.chat.completions.create(model="m", messages=history).choices[0].message.content == "You said: a"
    lonely = [{"role": "system", "content": "s"}]
    assert sdk.chat.completions.create(model="m", messages=lonely).choices[0].message.content == "You said: "


def test_half_a_surrogate_pair_survives_the_wire(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("a\ud83d")
    with sdk.chat.completions.with_streaming_response.create(model="m", messages=HELLO) as response:
        assert b"a\\ud83d" in response.read()


async def test_the_stream_helper_assembles_text_tool_calls_and_usage(fake: FakeOpenAI) -> None:
    fake.reply("Look:", tool_calls=[("get_weather", {"city": "Paris"})])
    async with openai.AsyncOpenAI(api_key="k", base_url=fake.base_url, http_client=fake.async_http_client()) as client:
        async with client.chat.completions.stream(
            model="m", messages=HELLO, stream_options={"include_usage": True}
        ) as helper:
            kinds = {event.type async for event in helper}
        final = await helper.get_final_completion()
    assert {"chunk", "content.delta", "content.done", "tool_calls.function.arguments.done"} <= kinds
    assert final.choices[0].message.content == "Look:"
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city":"Paris"}'
    assert final.usage.completion_tokens > 0


def test_a_dropped_stream_breaks_after_that_many_events(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.drop("Hello you", after=3)
    chunks = sdk.chat.completions.create(model="m", messages=HELLO, stream=True)
    assert [chunk.choices[0].delta.content for chunk in islice(chunks, 3)] == ["", "Hell", "o yo"]
    with pytest.raises(openai.APIConnectionError) as caught:
        next(chunks)
    assert isinstance(caught.value.__cause__, httpx2.ReadError)
    assert fake.open_streams == 0


@pytest.mark.parametrize("after", [5, 6, 99])
def test_a_stream_with_fewer_events_still_breaks_before_its_last(
    fake: FakeOpenAI, sdk: openai.OpenAI, after: int
) -> None:
    fake.drop("Hello", after=after)  # role, "Hell", "o", the finish reason, [DONE]
    chunks = sdk.chat.completions.create(model="m", messages=HELLO, stream=True)
    assert [chunk.choices[0].finish_reason for chunk in islice(chunks, 4)][-1] == "stop"
    with pytest.raises(openai.APIConnectionError):
        next(chunks)


async def test_a_dropped_async_stream_raises_the_error_given(fake: FakeOpenAI) -> None:
    fake.drop(after=0, tool_calls=WEATHER, error=httpx2.RemoteProtocolError("incomplete"))
    async with openai.AsyncOpenAI(api_key="k", base_url=fake.base_url, http_client=fake.async_http_client()) as client:
        chunks = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
        with pytest.raises(openai.APIConnectionError) as caught:
            await anext(aiter(chunks))
    assert isinstance(caught.value.__cause__, httpx2.RemoteProtocolError)
    assert fake.open_streams == 0


def test_a_dropped_body_that_is_not_streamed_breaks_halfway(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.drop(after=1)
    with pytest.raises(openai.APIConnectionError):
        sdk.chat.completions.create(model="m", messages=HELLO)
    assert fake.open_streams == 0
