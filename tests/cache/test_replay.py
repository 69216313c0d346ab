"""Answers and streams made from each other, as the SDK reads them."""

from __future__ import annotations

import json
from typing import Any, cast

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from llmkit.cache.answers import whole as verdict_on
from llmkit.cache.replay import answer_of, events_of, replayed
from llmkit.streaming import collect
from llmkit.testing import FakeOpenAI

CHAT: Any = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
RESPONSE: Any = {"model": "m", "input": "x"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from('\n\r\u2028\x85"\\'), max_size=20)


class Person(BaseModel):
    name: str
    age: int


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []}


def choice(index: int = 0, finish: str = "stop", logprobs: Any = None, **message: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "refusal": None, **message}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def chat(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "usage": USAGE}
    return {**head, "choices": list(choices), **fields}


def call(number: int, arguments: str = '{"city": "Köln"}', **extra: Any) -> dict[str, Any]:
    return {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": arguments}, **extra}


def response(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "error": None}
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    return {**head, "incomplete_details": None, "output": list(items), "usage": usage, **fields}


def message(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    return {**head, "content": list(parts), **fields}


def text(said: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {"type": "output_text", "text": said, "annotations": list(annotations), "logprobs": []}


CITED = {"type": "url_citation", "url": "https://a.test", "title": "A", "start_index": 0, "end_index": 2}
LOGPROBS = {"content": [token("Hel"), token("lo")], "refusal": None}
CHATS = {
    "text": chat(choice(content="Hello"), service_tier="default", system_fingerprint="fp"),
    "choices": chat(choice(content="Hello"), choice(1, content="Hi"), choice(2, content="Ho")),
    "tool call": chat(choice(finish="tool_calls", tool_calls=[call(1)])),
    "text and tool calls": chat(choice(finish="tool_calls", content="Wait", tool_calls=[call(1), call(2, "{}")])),
    "empty text and tool calls": chat(
        choice(finish="tool_calls", content="", tool_calls=[call(1, extra_content={"s": "x"})])
    ),
    "custom tool": chat(
        choice(finish="tool_calls", tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "f", "input": "1"}}])
    ),
    "function call": chat(choice(finish="function_call", function_call={"name": "f", "arguments": "{}"})),
    "logprobs": chat(choice(content="Hello", logprobs=LOGPROBS), choice(1, content="Hello", logprobs=LOGPROBS)),
    "logprobs of a tool call": chat(choice(tool_calls=[call(1)], logprobs={"content": [token("{")], "refusal": None})),
    "refusal": chat(choice(refusal="No.", logprobs={"content": None, "refusal": [token("No.")]})),
    "json": chat(choice(content='{"name": "Ann", "age": 3}')),
    "extras": chat(
        choice(content="Hi", reasoning_content="Hm…", annotations=[], reasoning_details=[{"type": "t", "index": 0}]),
        citations=["https://a.test"],
        provider="P",
    ),
    "annotations": chat(choice(content="Hi", annotations=[{"type": "url_citation", "url_citation": CITED}])),
    "audio": chat(choice(audio={"id": "a", "data": "AA", "transcript": "Hi", "expires_at": 9})),
    "emoji": chat(choice(content="👩‍👩‍👧 né\u2028\x85\r\n\n", refusal=None)),
    "half a pair": chat(choice(content="a\ud83d b")),
    "empty": chat(choice(content="")),
    "no usage": {name: value for name, value in chat(choice(content="Hi")).items() if name != "usage"},
}
RESPONSES = {
    "text": response(message(text("Hello"))),
    "parts": response(message(text("Hello 👋", CITED, CITED), text(""), {"type": "refusal", "refusal": "No"})),
    "logprobs": response(message({**text("Hi"), "logprobs": [{**token("Hi"), "bytes": []}]})),
    "reasoning": response(
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "A"}, {"type": "summary_text", "text": "B"}],
            "content": [{"type": "reasoning_text", "text": "C"}],
            "encrypted_content": "gAAA",
            "status": None,
        },
        message(text("Hello"), phase="final_answer"),
        completed_at=2,
    ),
    "function calls": response(
        {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"},
        {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "", "status": "completed"},
    ),
    "custom tool": response({"id": "ct", "type": "custom_tool_call", "call_id": "c", "name": "f", "input": "1 + 1"}),
    "hosted tools": response(
        {"id": "ws", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"id": "mcp", "type": "mcp_call", "name": "f", "arguments": "{}", "server_label": "s", "output": "6"},
        {"id": "ci", "type": "code_interpreter_call", "status": "completed", "code": None, "container_id": "c"},
        message(text("6")),
    ),
    "background": response(message(text("Hello")), background=True),
    "half a pair": response(message(text("a\ud83d b"))),
}


def as_bytes(answer: Any) -> bytes:
    return json.dumps(answer).encode()


def transport(body: bytes) -> httpx2.MockTransport:
    kind = "application/json" if body.startswith(b"{") else "text/event-stream"
    return httpx2.MockTransport(lambda _: httpx2.Response(200, content=body, headers={"content-type": kind}))


def client(body: bytes) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=transport(body)))


def async_client(body: bytes) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=transport(body)))


def helper_events(operation: str, events: bytes) -> list[dict[str, Any]]:
    sdk = client(events)
    made = sdk.responses.stream(**RESPONSE) if operation == "responses" else sdk.chat.completions.stream(**CHAT)
    with made as stream:
        return [cast("dict[str, Any]", event.to_dict(warnings=False)) for event in stream]


def pruned(value: Any) -> Any:
    """Without what only the SDK's helper adds, and without fields that are empty."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: pruned(item) for key, item in items if key not in ("parsed_arguments", "parsed", "index") and item}
    return [pruned(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def payloads(events: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in events.split(b"\n") if line.startswith(b"data: {")]


# ---- An answer as a stream


@pytest.mark.parametrize("answer", CHATS.values(), ids=CHATS)
def test_a_chat_answer_comes_back_from_its_stream(answer: dict[str, Any]) -> None:
    body = answer_of("chat.completions", events_of("chat.completions", as_bytes(answer)))
    assert body is not None
    assert json.loads(body) == answer


@pytest.mark.parametrize("answer", RESPONSES.values(), ids=RESPONSES)
def test_a_response_comes_back_from_its_stream(answer: dict[str, Any]) -> None:
    body = answer_of("responses", events_of("responses", as_bytes(answer)))
    assert body is not None
    assert json.loads(body) == answer


@pytest.mark.parametrize("answer", CHATS.values(), ids=CHATS)
async def test_the_sdk_makes_the_same_completion_of_the_answer_and_of_its_stream(answer: dict[str, Any]) -> None:
    events = events_of("chat.completions", as_bytes(answer))
    async with async_client(as_bytes(answer)) as sdk, async_client(events) as streaming:
        whole = await sdk.chat.completions.create(**CHAT)
        gathered = await collect(await streaming.chat.completions.create(**CHAT, stream=True))
        assert gathered.to_dict() == whole.to_dict()
        if answer is CHATS["custom tool"]:
            return  # which the SDK's helper cannot read, whoever sends it
        async with streaming.chat.completions.stream(**CHAT) as stream:
            final = await stream.get_final_completion()
    assert pruned(final.to_dict()) == pruned(whole.to_dict())


@pytest.mark.parametrize("answer", RESPONSES.values(), ids=RESPONSES)
async def test_the_sdk_makes_the_same_response_of_the_answer_and_of_its_stream(answer: dict[str, Any]) -> None:
    events = events_of("responses", as_bytes(answer))
    async with async_client(as_bytes(answer)) as sdk, async_client(events) as streaming:
        whole = await sdk.responses.create(**RESPONSE)
        gathered = await collect(await streaming.responses.create(**RESPONSE, stream=True))
        assert gathered.to_dict() == whole.to_dict()
        async with streaming.responses.stream(**RESPONSE) as stream:
            final = await stream.get_final_response()
    assert pruned(final.to_dict()) == pruned(whole.to_dict())
    assert final.output_text == whole.output_text


def test_what_is_parsed_is_the_same_from_the_answer_and_from_its_stream() -> None:
    answer = as_bytes(CHATS["json"])
    whole = client(answer).chat.completions.parse(**CHAT, response_format=Person)
    with client(events_of("chat.completions", answer)).chat.completions.stream(**CHAT, response_format=Person) as made:
        final = made.get_final_completion()
    assert final.choices[0].message.parsed == whole.choices[0].message.parsed == Person(name="Ann", age=3)
    answer = as_bytes(response(message(text('{"name": "Ann", "age": 3}'))))
    with client(events_of("responses", answer)).responses.stream(**RESPONSE, text_format=Person) as stream:
        assert stream.get_final_response().output_parsed == Person(name="Ann", age=3)


def test_a_chat_answer_takes_few_chunks_each_of_which_a_simple_reader_understands() -> None:
    said = {"content": "Hi", "reasoning_content": "Hm", "annotations": []}
    answer = chat(
        {**choice(finish="tool_calls", logprobs=LOGPROBS, tool_calls=[call(1), call(2)], **said), "stop_reason": 7},
        system_fingerprint="fp",
        citations=["u"],
    )
    events = events_of("chat.completions", as_bytes(answer))
    assert events.endswith(b"\n\ndata: [DONE]\n\n")
    first, *chunks, last = payloads(events)
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    head["system_fingerprint"] = "fp"
    begin = {"role": "assistant", "content": "", "refusal": None, "annotations": []}
    silent = {"index": 0, "logprobs": None, "finish_reason": None}
    assert first == {**head, "citations": ["u"], "choices": [{**silent, "delta": begin}]}
    assert [chunk["choices"] for chunk in chunks] == [
        [{**silent, "delta": {"reasoning_content": "Hm"}}],
        [{**silent, "delta": {"content": "Hi"}, "logprobs": LOGPROBS}],
        [{**silent, "delta": {"tool_calls": [{"index": 0, **call(1)}]}}],
        [{**silent, "delta": {"tool_calls": [{"index": 1, **call(2)}]}}],
        [{**silent, "delta": {}, "finish_reason": "tool_calls", "stop_reason": 7}],
    ]
    assert all({**chunk, "choices": []} == {**head, "choices": []} for chunk in chunks)
    assert last == {**head, "choices": [], "usage": USAGE}


def test_what_providers_leave_out_or_mix_up_does_not_break_the_stream() -> None:
    answer: dict[str, Any] = {
        "id": "1",
        "choices": [
            {"index": 1, "message": {"content": "B"}, "finish_reason": "stop"},
            {"index": 0, "message": {"content": "A", "tool_calls": None}, "finish_reason": "stop"},
        ],
        "usage": None,
    }
    events = events_of("chat.completions", as_bytes(answer))
    with client(events).chat.completions.stream(**CHAT) as stream:
        final = stream.get_final_completion()
    assert [found.message.content for found in final.choices] == ["A", "B"]
    del answer["choices"][1]["index"], answer["choices"][0]
    body = answer_of("chat.completions", events_of("chat.completions", as_bytes(answer)))
    assert json.loads(body or b"") == {
        "id": "1",
        "created": 0,
        "model": "",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }


@given(
    st.lists(
        st.tuples(st.none() | TEXTS, st.none() | TEXTS.filter(bool), st.lists(TEXTS, max_size=3), st.none() | TEXTS),
        min_size=1,
        max_size=3,
    )
)
def test_any_chat_answer_comes_back(said: list[tuple[str | None, str | None, list[str], str | None]]) -> None:
    choices: list[dict[str, Any]] = []
    for index, (content, refusal, arguments, reasoning) in enumerate(said):
        calls = [call(number, text) for number, text in enumerate(arguments)]
        extra = {"tool_calls": calls} if calls else {}
        choices.append(choice(index, content=content, refusal=refusal, reasoning_content=reasoning, **extra))
    body = as_bytes(chat(*choices))
    again = answer_of("chat.completions", events_of("chat.completions", body))
    assert json.loads(again or b"") == json.loads(body)


@given(st.lists(st.lists(TEXTS, max_size=3), max_size=3), st.lists(TEXTS, max_size=2))
def test_any_response_comes_back_and_is_told_in_deltas(said: list[list[str]], arguments: list[str]) -> None:
    items = [message(*(text(part) for part in parts), id=f"msg_{index}") for index, parts in enumerate(said)]
    calls = [{"type": "function_call", "call_id": f"c{index}", "arguments": it} for index, it in enumerate(arguments)]
    body = as_bytes(response(*items, *calls))
    events = events_of("responses", body)
    assert json.loads(answer_of("responses", events) or b"") == json.loads(body)
    told = payloads(events)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    deltas = [event["delta"] for event in told if event["type"].endswith(".delta")]
    assert "".join(deltas) == "".join(part for parts in said for part in parts) + "".join(arguments)


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Each container in an answer with a key of it."""
    items: list[tuple[Any, Any]] = list(value.items() if isinstance(value, dict) else enumerate(value))
    inner = [place for _, item in items if isinstance(item, dict | list) for place in places_in(item)]
    return [(value, key) for key, _ in items] + inner


@given(st.data(), st.sampled_from([None, 0, -1, 1.5, True, "", "x", [], [None], ["x"], {}, {"index": 0}, [{}]]))
def test_an_answer_with_something_odd_in_it_breaks_nothing(data: st.DataObject, odd: Any) -> None:
    operation, known = data.draw(st.sampled_from([("chat.completions", CHATS), ("responses", RESPONSES)]))
    answer = json.loads(as_bytes(data.draw(st.sampled_from(list(known.values())))))
    container, key = data.draw(st.sampled_from(places_in(answer)))
    container[key] = odd
    verdict_on(operation, as_bytes(answer))
    events = events_of(operation, as_bytes(answer))
    assert replayed(operation, events) == events
    answer_of(operation, events)


# ---- A stream as an answer


REPLIES: list[dict[str, Any]] = [
    {"text": "Hello, how are you?"},
    {"refusal": "I cannot."},
    {"text": "Wait", "tool_calls": [("f", {"city": "Köln"}), ("g", {})]},
    {"text": "🙂👍🏽"},
]


def streamed(reply: dict[str, Any], **options: Any) -> bytes:
    with FakeOpenAI().reply(**reply).client(middleware=[]) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(**CHAT, stream=True, **options)
        return raw.http_response.read()


def streamed_response(reply: dict[str, Any], **options: Any) -> bytes:
    with FakeOpenAI().reply(**reply).client(middleware=[]) as sdk:
        return sdk.responses.with_raw_response.create(**RESPONSE, stream=True, **options).http_response.read()


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("reply", REPLIES)
def test_a_chat_stream_amounts_to_the_answer_without_stream(reply: dict[str, Any], n: int) -> None:
    with FakeOpenAI().reply(**reply).client(middleware=[]) as sdk:
        whole = json.loads(sdk.chat.completions.with_raw_response.create(**CHAT, n=n).content)
    body = answer_of("chat.completions", streamed(reply, n=n, stream_options={"include_usage": True}))
    for found in whole["choices"]:
        del found["message"]["annotations"]  # streams have none when there are none
    assert json.loads(body or b"") == whole
    body = answer_of("chat.completions", streamed(reply, n=n))
    assert json.loads(body or b"") == {name: value for name, value in whole.items() if name != "usage"}


@pytest.mark.parametrize("reply", REPLIES)
def test_a_responses_stream_amounts_to_the_answer_without_stream(reply: dict[str, Any]) -> None:
    with FakeOpenAI().reply(**reply).client(middleware=[]) as sdk:
        whole = json.loads(sdk.responses.with_raw_response.create(**RESPONSE).content)
    assert json.loads(answer_of("responses", streamed_response(reply)) or b"") == whole


def test_fields_that_only_chunks_have_are_left_out() -> None:
    events = streamed({"text": "Hello"}).replace(b'{"id"', b'{"obfuscation":"x7","id"')
    assert b"obfuscation" in events
    assert answer_of("chat.completions", events) == answer_of("chat.completions", streamed({"text": "Hello"}))


def test_a_chat_stream_that_is_cut_anywhere_is_no_answer() -> None:
    events = streamed({"text": "Hello, you"}, stream_options={"include_usage": True})
    whole, enough = answer_of("chat.completions", events), events.index(b"data: [DONE]")
    assert whole is not None
    for cut in range(len(events)):
        found = answer_of("chat.completions", events[:cut])
        assert found is None if cut < enough else found in (None, whole)
    assert whole == answer_of("chat.completions", events[:enough]) == answer_of("chat.completions", events.rstrip())


def test_a_responses_stream_that_is_cut_anywhere_is_no_answer() -> None:
    events = streamed_response({"text": "Hello"})
    assert [cut for cut in range(len(events)) if answer_of("responses", events[:cut])] == []


def test_a_choice_without_its_end_makes_the_answer_none() -> None:
    events = streamed({"text": "Hello"}, n=2).replace(b'"finish_reason":"stop"', b'"finish_reason":null', 1)
    assert answer_of("chat.completions", events) is None
    usage = streamed({"text": "Hello"}, stream_options={"include_usage": True}).replace(b"stop", b"", 1)
    assert answer_of("chat.completions", usage) is None


def test_usage_on_the_last_chunk_is_an_end_as_well() -> None:
    chunk = {"id": "1", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}], "usage": USAGE}
    events = b"data: %b\n\n" % as_bytes(chunk)
    assert json.loads(answer_of("chat.completions", events) or b"")["usage"] == USAGE
    assert answer_of("chat.completions", events.rstrip()) is None  # the SDK does not read it without its blank line


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
def test_a_response_that_is_incomplete_is_no_answer(finish_reason: str) -> None:
    assert answer_of("responses", streamed_response({"text": "Hi", "finish_reason": finish_reason})) is None


def test_a_response_that_its_last_event_leaves_out_is_put_together() -> None:
    *events, last = payloads(events_of("responses", as_bytes(RESPONSES["parts"])))
    del last["response"]["output"]
    body = answer_of("responses", b"".join(b"data: %b\n\n" % as_bytes(event) for event in [*events, last]))
    assert json.loads(body or b"") == RESPONSES["parts"]


@pytest.mark.parametrize("operation", ["chat.completions", "responses", "completions"])
@pytest.mark.parametrize(
    "said",
    [
        b'data: {"error": {"message": "Overloaded"}}\n\n',
        b'event: error\ndata: {"type": "error", "message": "Overloaded"}\n\n',
        b'data: {"choices": [\n\n',
        b"data: 5\n\n",
        b'data: "\xff"\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
    ids=range(6),
)
def test_errors_and_what_cannot_be_read_make_the_answer_none(operation: str, said: bytes) -> None:
    good = {
        "chat.completions": streamed({"text": "Hello"}),
        "responses": streamed_response({"text": "Hello"}),
        "completions": events_of("completions", as_bytes(COMPLETION)),
    }[operation]
    assert answer_of(operation, good) is not None
    assert answer_of(operation, said + good) is None


@pytest.mark.parametrize("operation", ["chat.completions", "responses"])
def test_events_of_other_shapes_make_the_answer_none(operation: str) -> None:
    good = {"chat.completions": streamed({"text": "Hello"}), "responses": streamed_response({"text": "Hello"})}
    assert answer_of(operation, b'data: {"choices": 5, "type": 5}\n\n' + good[operation]) is None


@pytest.mark.parametrize("operation", ["chat.completions", "responses", "completions", "embeddings"])
@pytest.mark.parametrize("events", [b"", b"\n\n", b": hello\n\n", b"data: [DONE]\n\n", b'{"id": "1"}', b"<html>"])
def test_nothing_is_no_answer(operation: str, events: bytes) -> None:
    assert answer_of(operation, events) is None


# ---- A stream once more


@pytest.mark.parametrize("reply", REPLIES)
def test_a_clean_stream_is_replayed_as_it_is(reply: dict[str, Any]) -> None:
    events = streamed(reply, n=2, stream_options={"include_usage": True})
    assert replayed("chat.completions", events) == events
    events = streamed_response(reply)
    assert replayed("responses", events) == events


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("reply", REPLIES)
def test_the_sdks_helpers_fire_the_same_events_without_the_comments(reply: dict[str, Any], end: bytes) -> None:
    for operation, clean in (("chat.completions", streamed(reply)), ("responses", streamed_response(reply))):
        blank = end + end
        events = b": hi" + blank + clean.replace(b"\n", end).replace(blank, blank + b": ping" + blank) + b"junk"
        again = replayed(operation, events)
        assert again == clean.replace(b"\n", end)
        assert helper_events(operation, again) == helper_events(operation, events)


def test_a_chat_stream_gets_the_end_it_lacks() -> None:
    events = streamed({"text": "Hello"}, stream_options={"include_usage": True})
    done = b"data: [DONE]\n\n"
    for ended in (events.removesuffix(done), events.rstrip(), events + b"data: more\n\n", events + b"\n\n\n"):
        assert replayed("chat.completions", ended) == events
    assert replayed("chat.completions", b"") == done
    assert replayed("responses", b"") == b""


def test_events_of_providers_are_replayed_whatever_they_are_called() -> None:
    events = b'event: keepalive\ndata: {"type":"keepalive","sequence_number":2}\n\nid: 7\ndata: [DONE]\n\n'
    assert replayed("responses", events) == replayed("completions", events) == events


# ---- Legacy completions

LEGACY_LOGPROBS = {"tokens": ["Hi"], "token_logprobs": [None], "top_logprobs": [{"Hi": -0.5}], "text_offset": [0]}
COMPLETION: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "text": "Hi", "logprobs": LEGACY_LOGPROBS, "finish_reason": "stop"},
        {"index": 1, "text": "Ho 👋", "logprobs": None, "finish_reason": "length"},
    ],
    "usage": USAGE,
}


def test_a_legacy_completion_comes_back_from_its_stream() -> None:
    events = events_of("completions", as_bytes(COMPLETION))
    assert json.loads(answer_of("completions", events) or b"") == COMPLETION
    chunks = list(client(events).completions.create(model="m", prompt="x", stream=True))
    assert [[(found.index, found.text) for found in chunk.choices] for chunk in chunks] == [
        [(0, "Hi")],
        [(1, "Ho 👋")],
        [],
    ]
    assert chunks[-1].usage is not None


def test_a_legacy_stream_amounts_to_the_answer_without_stream() -> None:
    with FakeOpenAI().reply("Hello, you").reply("Hello, you").client(middleware=[]) as sdk:
        create: Any = sdk.completions.with_raw_response.create
        whole = json.loads(create(model="m", prompt="x", n=2).content)
        options: Any = {"stream": True, "stream_options": {"include_usage": True}}
        events: bytes = create(model="m", prompt="x", n=2, **options).http_response.read()
    whole["id"] = "cmpl-fake-2"
    assert json.loads(answer_of("completions", events) or b"") == whole
    assert answer_of("completions", events.replace(b'"finish_reason":"stop"', b'"finish_reason":null', 1)) is None


def test_the_logprobs_of_a_legacy_stream_are_joined() -> None:
    chunks = [{**COMPLETION, "usage": None, "choices": [{**COMPLETION["choices"][0], "finish_reason": None}]}] * 2
    end = {**COMPLETION, "choices": [{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}]}
    events = b"".join(b"data: %b\n\n" % as_bytes(chunk) for chunk in [*chunks, end])
    (found,) = json.loads(answer_of("completions", events) or b"")["choices"]
    assert (found["text"], found["finish_reason"]) == ("HiHi", "stop")
    assert found["logprobs"] == {name: value * 2 for name, value in LEGACY_LOGPROBS.items()}
