from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from llmkit.streaming.gather import ChatGatherer, ResponseGatherer, collect
from llmkit.streaming.interrupted import StreamInterrupted
from llmkit.testing import FakeOpenAI

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
MESSAGES: Any = [{"role": "user", "content": "Hello there"}]


def chunk(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return {**head, "choices": list(choices), **fields}


def delta(index: int = 0, *, finish: str | None = None, logprobs: Any = None, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "finish_reason": finish, "logprobs": logprobs}


def gathered(*chunks: dict[str, Any], objects: bool = False) -> dict[str, Any]:
    gatherer = ChatGatherer()
    for each in chunks:
        gatherer.add(ChatCompletionChunk.construct(None, **each) if objects else each)
    return gatherer.completion.to_dict()


def message(*deltas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = gathered(*(chunk(delta(**fields)) for fields in deltas))
    return cast("dict[str, Any]", found["choices"][0]["message"])


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []}


def pruned(value: Any) -> Any:
    """Without what only the SDK's helper adds, and without the fields that are None."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: pruned(item) for key, item in items if key not in ("parsed_arguments", "parsed", "index") and item}
    return [pruned(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


# ---- Chat


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize(
    "reply",
    [
        {"text": "Hello, how are you?"},
        {"text": ""},
        {"refusal": "I cannot do that."},
        {"text": "Let me see.", "tool_calls": [("get_weather", {"city": "Paris"}), ("get_time", "{}")]},
        {"tool_calls": [("get_weather", '{"city')], "finish_reason": "length"},
    ],
)
async def test_a_completion_equals_the_sdks_and_the_one_without_stream(
    reply: dict[str, Any], usage: bool, n: int
) -> None:
    fake = FakeOpenAI().reply(**reply).reply(**reply).reply(**reply)
    client = fake.async_client(middleware=[])
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    ours, theirs = ChatGatherer(), ChatCompletionStreamState[None]()
    async for each in await client.chat.completions.create(model="m", messages=MESSAGES, n=n, stream=True, **options):
        ours.add(each)
        theirs.handle_chunk(each)
    assert ours.finished
    assert pruned(ours.completion.to_dict()) == pruned(theirs.current_completion_snapshot.to_dict())
    whole = await client.chat.completions.create(model="m", messages=MESSAGES, n=n)
    again = await collect(
        await client.chat.completions.create(model="m", messages=MESSAGES, n=n, stream=True, **options)
    )
    assert [choice.message.content for choice in again.choices] == [choice.message.content for choice in whole.choices]
    assert (again.usage == whole.usage) is usage


@pytest.mark.parametrize("objects", [False, True])
def test_everything_a_chunk_can_say_is_added_up(objects: bool) -> None:
    found = gathered(
        chunk(delta(role="assistant", content=""), service_tier="default", system_fingerprint="fp"),
        chunk(delta(content="Hel", logprobs={"content": [token("Hel")], "refusal": None})),
        chunk(delta(content="lo", logprobs={"content": [token("lo")], "refusal": None}), obfuscation="xyz"),
        chunk(delta(refusal="No", logprobs={"content": None, "refusal": [token("No")]})),
        chunk(delta(refusal=".", logprobs={"content": [], "refusal": [token(".")]})),
        chunk(delta(audio={"id": "a1", "transcript": "Hi", "data": "AA"})),
        chunk(delta(audio={"id": "a1", "transcript": " you", "data": "BB", "expires_at": 9})),
        chunk(delta(annotations=[{"type": "url_citation", "url_citation": {"url": "u1"}}])),
        chunk(delta(annotations=[{"type": "url_citation", "url_citation": {"url": "u2"}}])),
        chunk(delta(finish="stop")),
        chunk(usage=USAGE, service_tier=None),
        chunk(),
        objects=objects,
    )
    assert found == {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "service_tier": "default",
        "system_fingerprint": "fp",
        "usage": USAGE,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": {"content": [token("Hel"), token("lo")], "refusal": [token("No"), token(".")]},
                "message": {
                    "role": "assistant",
                    "content": "Hello",
                    "refusal": "No.",
                    "audio": {"id": "a1", "transcript": "Hi you", "data": "AABB", "expires_at": 9},
                    "annotations": [
                        {"type": "url_citation", "url_citation": {"url": "u1"}},
                        {"type": "url_citation", "url_citation": {"url": "u2"}},
                    ],
                },
            }
        ],
    }


def test_a_snapshot_does_not_change_with_later_chunks() -> None:
    gatherer = ChatGatherer()
    gatherer.add(chunk(delta(content="a", notes=[{"t": "x"}], logprobs={"content": [token("a")]})))
    before = gatherer.completion
    text = before.to_json()
    gatherer.add(chunk(delta(content="b", notes=[{"t": "y"}], logprobs={"content": [token("b")]}, finish="stop")))
    assert before.to_json() == text
    assert (before.choices[0].finish_reason, before.choices[0].message.content) == (None, "a")


def test_choices_come_in_any_order_and_end_on_their_own() -> None:
    gatherer = ChatGatherer()
    gatherer.add(chunk(delta(2, content="c"), delta(0, content="a")))
    gatherer.add(chunk(delta(1, content="b", finish="length"), delta(2, content="c", finish="stop")))
    assert not gatherer.finished
    gatherer.add(chunk(delta(0, finish="tool_calls")))
    assert gatherer.finished
    choices = gatherer.completion.choices
    assert [choice.message.content for choice in choices] == ["a", "b", "cc"]
    assert [choice.finish_reason for choice in choices] == ["tool_calls", "length", "stop"]


def test_a_first_chunk_without_choices_names_nothing() -> None:
    filtered = {"id": "", "model": "", "created": 0, "prompt_filter_results": [{"prompt_index": 0}]}
    found = gathered(chunk(**filtered), chunk(delta(content="Hi", finish="stop")))
    assert (found["id"], found["model"], found["created"]) == ("c1", "gpt-4o", 1)
    assert found["prompt_filter_results"] == [{"prompt_index": 0}]


def test_the_last_filter_result_of_a_choice_counts() -> None:
    results = [{"content_filter_results": {"hate": {"filtered": filtered}}} for filtered in (False, True)]
    found = gathered(*(chunk({**delta(content="x"), **result}) for result in results))
    assert found["choices"][0]["content_filter_results"] == {"hate": {"filtered": True}}


def test_a_role_in_each_chunk_is_one_role() -> None:
    assert message({"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}) == {
        "role": "assistant",
        "content": "ab",
        "refusal": None,
    }


def test_the_reasoning_of_other_providers_is_text() -> None:
    details = [{"type": "reasoning.text", "text": part, "format": "f", "index": 0} for part in ("I ", "see")]
    found = message(
        {"reasoning_content": "Let ", "reasoning": None, "reasoning_details": details[:1], "tokens": 1, "tags": ["a"]},
        {"reasoning_content": "me", "reasoning": "ok", "reasoning_details": details[1:], "tokens": 2, "tags": ["a"]},
        {"reasoning_content": None},
    )
    assert (found["reasoning_content"], found["reasoning"], found["tokens"]) == ("Let me", "ok", 2)
    assert found["reasoning_details"] == [{"type": "reasoning.text", "text": "I see", "format": "f", "index": 0}]
    assert found["tags"] == ["a", "a"]


def test_a_field_that_changes_its_type_keeps_its_last_value() -> None:
    assert message({"odd": "a"}, {"odd": {"b": None}}, {"odd": {"b": 1, "c": None}}, {"odd": {"b": None}})["odd"] == {
        "b": 1,
        "c": None,
    }
    assert message({"odd": {"b": 1}}, {"odd": ["c"]})["odd"] == ["c"]
    assert message({"odd": ["c"]}, {"odd": "d"})["odd"] == "d"


def test_a_legacy_function_call_is_kept_where_it_belongs() -> None:
    found = message({"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}})
    assert found["function_call"] == {"name": "f", "arguments": "{}"}


def test_a_call_without_an_id_gets_one_that_lasts() -> None:
    gatherer = ChatGatherer()
    calls = [{"index": n, "function": {"name": "f", "arguments": "{}"}} for n in range(2)]
    gatherer.add(chunk(delta(tool_calls=calls), id="chatcmpl-" + "0123456789" * 4))
    found = gatherer.completion.to_dict()["choices"]
    ids = [call["id"] for call in cast("Any", found)[0]["message"]["tool_calls"]]
    assert ids == ["call_678901234567890123456789_0_0", "call_678901234567890123456789_0_1"]
    assert [call.id for call in gatherer.calls()] == [None, None]
    assert gatherer.calls(choice=1) == []


def test_custom_calls_and_what_providers_add_are_kept() -> None:
    custom = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": "SELECT"}}
    signed = {"index": 1, "id": "b", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"s": 1}}
    assert message({"tool_calls": [custom, signed]})["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "SELECT"}},
        {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"s": 1}},
    ]


def test_a_character_that_was_cut_in_two_is_whole_again() -> None:
    found = message({"content": "\ud83d", "reasoning": "\ud83d"}, {"content": "\ude00\ud83d", "reasoning": "\ude00"})
    assert (found["content"], found["reasoning"]) == ("😀\ud83d", "😀")


def test_nothing_gathered_is_an_empty_completion() -> None:
    gatherer = ChatGatherer()
    assert not gatherer.finished
    assert gatherer.completion.choices == []


@pytest.mark.parametrize("odd", [{}, {"choices": None}, {"choices": [{}]}, {"choices": [{"index": 0, "delta": None}]}])
def test_odd_chunks_are_survived(odd: dict[str, Any]) -> None:
    gatherer = ChatGatherer()
    gatherer.add(odd)
    assert gatherer.completion.id == ""


# ---- Responses


async def events_of(reply: FakeOpenAI) -> list[ResponseStreamEvent]:
    client = reply.async_client(middleware=[])
    return [event async for event in await client.responses.create(model="gpt-4o", input="Hi", stream=True)]


def built(*events: Any) -> dict[str, Any]:
    gatherer = ResponseGatherer()
    for event in events:
        gatherer.add(event)
    return gatherer.response.to_dict()


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": 0, "item_id": "i1", **fields}


CREATED = event("created", response={"id": "r1", "status": "in_progress", "output": [], "background": False})


@pytest.mark.parametrize("as_dicts", [False, True])
@pytest.mark.parametrize(
    "reply",
    [
        {"text": "Hello, how are you?"},
        {"refusal": "I cannot do that."},
        {"text": "Let me see.", "tool_calls": [("get_weather", {"city": "Paris"}), ("get_time", "{}")]},
        {"text": "Hello, ho", "finish_reason": "length"},
    ],
)
async def test_the_events_add_up_to_the_final_response(reply: dict[str, Any], as_dicts: bool) -> None:
    events = await events_of(FakeOpenAI().reply(**reply))
    *before, last = [each.to_dict() for each in events] if as_dicts else cast("list[Any]", events)
    final: Any = last["response"] if as_dicts else last.response.to_dict()
    gatherer = ResponseGatherer()
    for each in before:
        gatherer.add(each)
    assert not gatherer.finished
    assert gatherer.response.to_dict()["output"] == final["output"]
    assert gatherer.sequence_number == len(before) - 1
    gatherer.add(last)
    assert gatherer.finished
    assert gatherer.response.to_dict() == final
    assert gatherer.response_id == "resp_fake_1"


async def test_the_last_response_is_the_very_object_of_the_event() -> None:
    events = await events_of(FakeOpenAI())
    gatherer = ResponseGatherer()
    for each in events:
        gatherer.add(each)
    assert gatherer.response is cast("Any", events[-1]).response


async def test_a_prefix_of_the_events_gives_a_prefix_of_the_text() -> None:
    events = await events_of(FakeOpenAI(stream_chars=1).reply("Hello you", tool_calls=[("f", {"x": 1})]))
    for end in range(1, len(events)):
        response = Response.construct(None, **built(*events[:end]))
        assert "Hello you".startswith(response.output_text)
        assert all('{"x":1}'.startswith(item.arguments) for item in response.output if item.type == "function_call")


KINDS = {
    "output_text": ("content_index", {"type": "message", "content": [{"type": "output_text", "text": "ab"}]}, "text"),
    "refusal": ("content_index", {"type": "message", "content": [{"type": "refusal", "refusal": "ab"}]}, "refusal"),
    "reasoning_text": ("content_index", {"type": "reasoning", "content": [{"text": "ab"}]}, "text"),
    "reasoning_summary_text": ("summary_index", {"type": "reasoning", "summary": [{"text": "ab"}]}, "text"),
    "function_call_arguments": ("", {"type": "function_call", "arguments": "ab"}, "arguments"),
    "mcp_call_arguments": ("", {"type": "mcp_call", "arguments": "ab"}, "arguments"),
    "custom_tool_call_input": ("", {"type": "custom_tool_call", "input": "ab"}, "input"),
    "code_interpreter_call_code": ("", {"type": "code_interpreter_call", "code": "ab"}, "code"),
}


def contains(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return all(contains(found[key], value) for key, value in cast("dict[str, Any]", wanted).items())
    if isinstance(wanted, list):
        return all(contains(*pair) for pair in zip(found, cast("list[Any]", wanted), strict=True))
    return bool(found == wanted)


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("ending", ["delta", "done", "odd"])
@pytest.mark.parametrize("kind", KINDS)
def test_text_of_every_kind_is_gathered_announced_or_not(kind: str, ending: str, announced: bool) -> None:
    index, item, field = KINDS[kind]
    place = {index: 0} if index else {}
    begun = {"id": "i1", "type": item["type"]}
    events = [CREATED, event("output_item.added", item=begun)] if announced else [CREATED]
    if announced and index:
        part = {"type": kind.replace("reasoning_summary", "summary"), field: ""}
        name = "reasoning_summary_part" if index == "summary_index" else "content_part"
        events.append(event(f"{name}.added", part=part, **place))
    events += [event(f"{kind}.delta", delta="a", **place), event(f"{kind}.delta", delta="b", **place)]
    events += {
        "done": [event(f"{kind}.done", **{field: "ab"}, **place)],
        "odd": [event(f"{kind}.delta", delta={})],
    }.get(ending, [])
    (found,) = built(*events)["output"]
    assert contains(found, {"id": "i1", **item})


def test_done_items_replace_what_was_gathered() -> None:
    done = {"id": "i1", "type": "message", "role": "assistant", "status": "completed", "content": []}
    events = [CREATED, event("output_text.delta", delta="a", content_index=0), event("output_item.done", item=done)]
    assert built(*events)["output"] == [done]
    assert built(*events, event("output_item.done", item=None))["output"] == [done]


def test_annotations_join_their_text() -> None:
    citation = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    events = [
        event("output_text.delta", delta="a", content_index=1),
        event("output_text.annotation.added", annotation=citation, content_index=1, annotation_index=0),
    ]
    for _ in range(2):  # the second answer has nothing of the first
        (item,) = built(CREATED, *events)["output"]
    assert item["content"] == [{"type": "output_text", "text": "a", "annotations": [citation]}]


def test_a_last_event_without_output_is_filled_from_the_events() -> None:
    events = [CREATED, event("output_text.delta", delta="Hi", content_index=0)]
    for output in ([], None):
        ended = event("completed", response={"id": "r1", "status": "completed", "output": output})
        found = Response.construct(None, **built(*events, ended))
        assert (found.status, found.output_text) == ("completed", "Hi")


def test_items_keep_the_order_of_their_indexes_and_odd_contents_survive() -> None:
    late = event("output_item.added", item={"id": "i2", "type": "odd", "content": "text"}) | {"output_index": 1}
    events = [CREATED, late, event("function_call_arguments.delta", delta="{}")]
    gatherer = ResponseGatherer()
    for each in events:
        gatherer.add(each)
    assert [item.type for item in gatherer.response.output] == ["function_call", "odd"]
    assert cast("Any", gatherer.response.output[1]).content == "text"


@pytest.mark.parametrize(
    "said", [{"code": "rate_limit_exceeded", "message": "Slow."}, {"error": {"code": "server_error", "message": "No."}}]
)
def test_an_error_event_ends_the_answer_as_failed(said: dict[str, Any]) -> None:
    gatherer = ResponseGatherer()
    for each in (CREATED, {"type": "error", **said}):
        gatherer.add(each)
    assert gatherer.finished
    error = gatherer.response.error
    assert error is not None
    assert {"code": error.code, "message": error.message} == said.get("error", said)


@pytest.mark.parametrize("odd", [{}, {"type": "keepalive"}, {"type": "response.future.thing"}, "text", None])
def test_unknown_events_are_passed_over(odd: Any) -> None:
    assert built(CREATED, odd)["output"] == []


def test_only_background_responses_are_said_to_be_so() -> None:
    gatherer = ResponseGatherer()
    assert (gatherer.background, gatherer.response_id, gatherer.sequence_number) == (False, None, None)
    gatherer.add(event("queued", response={"id": "r1", "background": True}, sequence_number=3))
    assert (gatherer.background, gatherer.response_id, gatherer.sequence_number) == (True, "r1", 3)


# ---- collect


@pytest.mark.parametrize("client_class", ["llmkit", "openai"])
async def test_it_collects_what_every_way_of_streaming_gives(client_class: str) -> None:
    fake = FakeOpenAI(stream_chars=1)
    client: Any = fake.async_client()
    if client_class == "openai":
        client = openai.AsyncOpenAI(api_key="k", base_url=fake.base_url, http_client=fake.async_http_client())
    chat = await collect(await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
    assert chat.choices[0].message.content == "You said: Hello there"
    response = await collect(await client.responses.create(model="gpt-4o", input="Hi", stream=True))
    assert response.output_text == "You said: Hi"
    async with client.chat.completions.stream(model="gpt-4o", messages=MESSAGES) as stream:
        assert (await collect(stream)).choices[0].message.content == "You said: Hello there"
    async with client.responses.stream(model="gpt-4o", input="Hi") as stream:
        assert (await collect(stream)).output_text == "You said: Hi"
    assert fake.open_streams == 0


async def test_it_collects_any_async_iterable_of_events() -> None:
    async def chunks() -> AsyncIterator[ChatCompletionChunk]:
        yield ChatCompletionChunk.construct(None, **chunk(delta(content="Hi")))
        yield ChatCompletionChunk.construct(None, **chunk(delta(finish="stop")))

    assert (await collect(chunks())).choices[0].message.content == "Hi"


async def test_a_dropped_stream_raises_with_what_had_arrived() -> None:
    fake = FakeOpenAI().drop("Hello there", after=2)
    client = fake.async_client(middleware=[])
    with pytest.raises(StreamInterrupted) as caught:
        await collect(await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
    assert caught.value.text == "Hell"
    assert fake.open_streams == 0


async def test_other_streams_are_refused_by_name() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="Chat or a Responses stream, not one of int"):
        await collect(cast("Any", numbers()))


def test_a_long_answer_is_gathered_in_one_go() -> None:
    gatherer = ChatGatherer()
    pieces = [f"{n} " for n in range(20_000)]
    for piece in pieces:
        gatherer.add(chunk(delta(content=piece, tool_calls=[{"index": 0, "function": {"arguments": piece}}])))
    assert gatherer.completion.choices[0].message.content == "".join(pieces)
    assert gatherer.calls()[0].arguments == "".join(pieces)
    assert len(json.dumps(gatherer.completion.to_dict())) > 200_000
