"""Answers that are not what the SDK's types promise."""

from __future__ import annotations

import json
import pickle
import re
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel
from surfaces import CHAT, RESPONSES

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.errors import InvalidResponse
from llmkit.streaming.hints import EMPTY
from llmkit.structure import is_checked, missing_in, unreadable
from llmkit.testing import FakeOpenAI, virtual_time

SECRET = "the patient Rosalind"
EMBED: Any = {"model": "text-embedding-3-small", "input": ["a", "b"]}


def answering(*answers: httpx2.Response) -> FakeOpenAI:
    fake = FakeOpenAI()
    for answer in answers:
        answer.headers["x-request-id"] = "req_7"
        fake.respond(answer)
    return fake


def raw(content: bytes | str, content_type: str = "application/json") -> httpx2.Response:
    return httpx2.Response(200, content=content, headers={"content-type": content_type})


def client_for(fake: FakeOpenAI, **options: Any) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    options = {"middleware": [UsageLog(sinks=[records.append])]} | options
    return fake.async_client(**options), records


async def chat(client: Any) -> Any:
    return await client.chat.completions.create(**CHAT)


class Colour(BaseModel):
    name: str


async def parse(client: Any) -> Any:
    return await client.chat.completions.parse(**CHAT, response_format=Colour)


async def respond(client: Any) -> Any:
    return await client.responses.create(**RESPONSES)


async def respond_parsed(client: Any) -> Any:
    return await client.responses.parse(**RESPONSES, text_format=Colour)


async def embed(client: Any) -> Any:
    return await client.embeddings.create(**EMBED)


VECTOR = {"object": "embedding", "index": 0, "embedding": [0.1]}

MALFORMED: list[tuple[Any, bytes, str]] = [
    (chat, b"{}", "choices"),
    (chat, b'{"choices": null}', "choices"),
    (chat, b'{"choices": {"message": {"content": "x"}}}', "choices"),
    (chat, b'{"choices": [{"index": 0}]}', "choices[0].message"),
    (chat, b'{"choices": [{"index": 0, "message": "the patient Rosalind"}]}', "choices[0].message"),
    (chat, b"[]", "a JSON object"),
    (chat, b"null", "a JSON object"),
    (chat, b"17", "a JSON object"),
    (chat, b'"text"', "a JSON object"),
    (chat, b"", "JSON"),
    (chat, b'{"choices": [oops', "JSON at byte 13"),
    (chat, '{"é": oops'.encode(), "JSON at byte 7"),
    (chat, b'{"choices": "\xff"}', "JSON at byte 13"),
    (parse, b"{}", "choices"),
    (parse, b'{"choices": [{"index": 0}]}', "choices[0].message"),
    (parse, b"oops", "JSON at byte 0"),
    (respond, b"{}", "output"),
    (respond, b'{"output": "the patient Rosalind"}', "output"),
    (respond_parsed, b"{}", "output"),
    (embed, b"{}", "data"),
    (embed, json.dumps({"data": [VECTOR]}).encode(), "data (1 of 2 embeddings)"),
    (embed, b'{"data": []}', "data (0 of 2 embeddings)"),
    (embed, json.dumps({"data": [VECTOR, {"index": 1}]}).encode(), "data[1].embedding"),
]


@pytest.mark.parametrize("fast", ["1", "0"])
@pytest.mark.parametrize(("call", "body", "missing"), MALFORMED, ids=[f"{c.__name__} {m}" for c, _, m in MALFORMED])
async def test_what_is_missing_is_named(
    call: Any, body: bytes, missing: str, fast: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_FAST", fast)
    client, records = client_for(answering(raw(body)))
    with pytest.raises(InvalidResponse) as caught:
        await call(client)
    error = caught.value
    assert error.missing == missing
    assert (error.status_code, error.content_type, error.request_id) == (200, "application/json", "req_7")
    assert f"{missing} is missing or wrong (HTTP 200; content-type application/json; request id req_7)" in str(error)
    assert "Rosalind" not in str(error)
    (record,) = records
    assert (record.error, record.request_id, record.complete) == ("InvalidResponse", "req_7", False)
    assert [failed.error for failed in record.failures] == ["InvalidResponse"]


def test_a_sync_client_checks_too() -> None:
    client = answering(raw(b"{}"), raw(b"oops")).client(max_retries=0)
    for missing in ("choices", "JSON at byte 0"):
        with pytest.raises(InvalidResponse, match=re.escape(missing)):
            client.chat.completions.create(**CHAT)


@pytest.mark.parametrize("call", [chat, parse, respond, respond_parsed, embed])
async def test_a_web_page_is_no_answer(call: Any) -> None:
    client, _ = client_for(answering(httpx2.Response(200, html=f"<h1>{SECRET}</h1>")))
    with pytest.raises(InvalidResponse) as caught:
        await call(client)
    assert caught.value.missing == "a JSON object"
    assert caught.value.content_type == "text/html"
    (note,) = caught.value.__notes__
    assert "Check base_url (is /v1 missing?)" in note


async def test_an_error_inside_a_success_is_named_by_its_code_and_never_by_its_text() -> None:
    reported = {"error": {"message": SECRET, "code": 502, "type": "provider_error"}}
    client, _ = client_for(answering(httpx2.Response(200, json=reported)))
    with pytest.raises(InvalidResponse, match="error reported in it: 502, provider_error") as caught:
        await chat(client)
    assert "Rosalind" not in str(caught.value)
    client, _ = client_for(answering(httpx2.Response(200, json={"error": {"message": "", "code": SECRET}})))
    with pytest.raises(InvalidResponse) as caught:
        await chat(client)
    assert "reported in it" not in str(caught.value)


async def test_a_malformed_answer_is_worth_another_attempt() -> None:
    fake = answering(raw(b"{}"), raw(b"oops")).reply("there")
    records: list[CallRecord] = []
    client, _ = client_for(fake, middleware=[UsageLog(sinks=[records.append]), Retry()])
    with virtual_time():
        assert (await chat(client)).choices[0].message.content == "there"
    assert [failed.error for failed in records[0].failures] == ["InvalidResponse"] * 2
    assert (records[0].error, records[0].hint) == (None, None)


async def test_a_strict_client_hears_which_field_is_wrong() -> None:
    answer = {"id": "x", "object": "chat.completion", "created": "yesterday", "model": SECRET, "choices": []}
    fake = answering(httpx2.Response(200, json=answer), raw("text", "text/plain"))
    client, _ = client_for(fake, _strict_response_validation=True)
    for missing in ("created", "JSON"):
        with pytest.raises(InvalidResponse) as caught:
            await chat(client)
        assert caught.value.missing == missing
        assert "Rosalind" not in str(caught.value)


async def test_layers_above_see_the_error_instead_of_the_answer() -> None:
    seen: list[str] = []

    async def watch(request: Request, call_next: CallNext) -> Any:
        try:
            return await call_next(request)
        except InvalidResponse as error:
            seen.append(error.missing)
            raise

    client, _ = client_for(answering(raw(b"{}")), middleware=[watch])
    with pytest.raises(InvalidResponse):
        await chat(client)
    assert seen == ["choices"]


async def test_what_the_model_wrote_is_not_taken_for_the_servers_json() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "colour", "arguments": "{oops"}}
    message = {"role": "assistant", "tool_calls": [call]}
    body = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    client, _ = client_for(answering(httpx2.Response(200, json=body)))
    tool: Any = openai.pydantic_function_tool(Colour, name="colour")
    with pytest.raises(ValueError) as caught:
        await client.chat.completions.parse(**CHAT, tools=[tool])
    assert not isinstance(caught.value, InvalidResponse)


@pytest.mark.parametrize(
    ("given", "count"),
    [("text", 1), ([1, 2, 3], 1), (["a", "b"], 2), ([[1], [2], [3]], 3)],
)
async def test_one_embedding_is_due_for_each_input(given: Any, count: int) -> None:
    answer = {"object": "list", "model": "m", "data": [VECTOR] * count}
    client, _ = client_for(answering(httpx2.Response(200, json=answer), httpx2.Response(200, json=answer)))
    assert len((await client.embeddings.create(model="m", input=given)).data) == count
    with pytest.raises(InvalidResponse, match=rf"data \({count} of {count + 1} embeddings\)"):
        await client.embeddings.create(model="m", input=["x"] * (count + 1))


async def test_inputs_that_cannot_be_counted_are_not_counted() -> None:
    body = {"data": [VECTOR]}
    answer = openai.types.CreateEmbeddingResponse.construct(**body)  # type: ignore[arg-type]
    for given in ([], None):
        assert missing_in(answer, operation="embeddings", body={"input": given}, strictly=True) is None


@pytest.mark.parametrize("body", [{"foo": "bar"}, {"model": "gpt-4"}])
async def test_what_is_neither_an_answer_nor_an_error_is_handed_out_with_a_hint_but_never_parsed(body: Any) -> None:
    client, records = client_for(answering(httpx2.Response(200, json=body), httpx2.Response(200, json=body)))
    assert (await chat(client)).choices is None  # the SDK's own tests are answered like this
    assert records[0].hint == EMPTY
    with pytest.raises(InvalidResponse, match="choices is missing"):
        await parse(client)


@pytest.mark.parametrize("body", [{"code": 401, "msg": SECRET}, {"detail": SECRET}, {"success": False}, {"id": "x"}])
async def test_an_error_in_any_shape_is_no_answer(body: Any) -> None:
    client, _ = client_for(answering(httpx2.Response(200, json=body)))
    with pytest.raises(InvalidResponse, match="choices is missing"):
        await chat(client)


async def test_an_empty_list_of_choices_is_an_answer() -> None:
    client, records = client_for(answering(httpx2.Response(200, json={"id": "x", "choices": []})))
    assert (await chat(client)).choices == []
    assert records[0].hint is not None


@pytest.mark.parametrize(
    ("body", "missing"), [(b"{}", "choices"), (b"oops", "JSON at byte 0"), (b"[]", "a JSON object"), (b"\xff", "JSON")]
)
async def test_a_raw_answer_is_checked_and_its_body_is_on_the_error(body: bytes, missing: str) -> None:
    client, records = client_for(answering(raw(body)))
    with pytest.raises(InvalidResponse, match=f"{missing}.* is missing or wrong") as caught:
        await client.chat.completions.with_raw_response.create(**CHAT)
    assert caught.value.response.content == body
    assert records[0].error == "InvalidResponse"


async def test_a_good_raw_answer_an_empty_one_and_one_of_a_test_double_are_handed_out() -> None:
    client, _ = client_for(answering(raw(b""), raw(b'{"foo": "bar"}')).reply("there"))
    responses = [await client.chat.completions.with_raw_response.create(**CHAT) for _ in range(3)]
    assert [response.http_response.content for response in responses[:2]] == [b"", b'{"foo": "bar"}']
    assert responses[2].parse().choices[0].message.content == "there"


async def test_a_malformed_raw_answer_is_retried() -> None:
    client, records = client_for(
        answering(raw(b"oops")).reply("there"), middleware=[UsageLog(sinks=[(found := []).append]), Retry()]
    )
    with virtual_time():
        response = await client.chat.completions.with_raw_response.create(**CHAT)
    assert response.parse().choices[0].message.content == "there"
    assert (response.retries_taken, found[0].attempts, records) == (1, 2, [])


async def test_answers_that_are_read_piece_by_piece_or_as_they_are_are_handed_out_unchecked() -> None:
    client, _ = client_for(answering(raw(b"{}"), raw(b"oops")))
    async with client.chat.completions.with_streaming_response.create(**CHAT) as streamed:
        assert (await streamed.json()) == {}
    assert (await client.post("/chat/completions", body=CHAT, cast_to=httpx2.Response)).text == "oops"


class Own(openai.BaseModel):
    choices: str


@pytest.mark.parametrize(
    ("cast_to", "content"), [(dict[str, Any], b"{}"), (object, b"{}"), (str, b"text"), (Own, b'{"choices": "mine"}')]
)
async def test_answers_cast_to_something_else_are_not_checked(cast_to: Any, content: bytes) -> None:
    client, _ = client_for(answering(raw(content)))
    assert await client.post("/chat/completions", body=CHAT, cast_to=cast_to) is not None


async def test_a_body_that_is_not_json_is_the_sdks_business_where_no_model_is_due() -> None:
    client, _ = client_for(answering(raw(b"oops")))
    with pytest.raises(json.JSONDecodeError):
        await client.post("/chat/completions", body=CHAT, cast_to=object)


async def test_operations_that_are_not_known_are_not_checked() -> None:
    client, _ = client_for(answering(raw(b"{}")))
    assert (await client.moderations.create(input="x")).results is None
    assert not is_checked("moderations", openai.types.ModerationCreateResponse)
    assert is_checked("chat.completions", ChatCompletion)


def test_the_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(InvalidResponse("x", operation="responses", missing="output", request_id="r")))
    assert (str(error), error.operation, error.missing, error.request_id) == ("x", "responses", "output", "r")


def test_other_errors_are_not_about_the_body() -> None:
    assert unreadable(KeyError("x")) is None


async def stream(client: Any) -> list[Any]:
    return [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]


async def test_a_web_page_in_place_of_a_stream_is_refused_when_it_is_opened() -> None:
    fake = answering(raw("<h1>", "text/html; charset=utf-8"))
    client, records = client_for(fake)
    with pytest.raises(InvalidResponse, match="a stream of events is missing or wrong"):
        await client.chat.completions.create(**CHAT, stream=True)
    assert records[0].error == "InvalidResponse"
    assert fake.open_streams == 0


def test_a_sync_client_refuses_it_too() -> None:
    fake = answering(raw("<h1>", "text/html"))
    with pytest.raises(InvalidResponse):
        fake.client(max_retries=0).chat.completions.create(**CHAT, stream=True)
    assert fake.open_streams == 0


async def test_a_web_page_in_place_of_a_stream_is_worth_another_attempt() -> None:
    client, _ = client_for(answering(raw("<h1>", "text/html")).reply("there"), middleware=[Retry()])
    with virtual_time():
        assert await stream(client)


async def test_json_in_place_of_a_stream_is_noticed_at_its_end() -> None:
    fake = answering(raw(b'{"choices": []}'), raw(b'{"choices": []}'))
    client, records = client_for(fake)
    with pytest.raises(InvalidResponse, match="a stream of events is missing or wrong") as caught:
        await stream(client)
    assert len(caught.value.__notes__) == 1
    assert (records[0].error, records[0].complete) == ("InvalidResponse", False)
    with pytest.raises(InvalidResponse):
        list(fake.client(max_retries=0).chat.completions.create(**CHAT, stream=True))


async def test_a_stream_that_works_may_have_any_content_type() -> None:
    event = b'data: {"id": "x", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'
    client, _ = client_for(answering(raw(event, "application/json"), raw(b"data: [DONE]\n\n", "text/event-stream")))
    assert len(await stream(client)) == 1
    assert await stream(client) == []


async def test_the_raw_page_of_a_stream_is_handed_out() -> None:
    client, _ = client_for(answering(raw("<h1>", "text/html"), raw("<h1>", "text/html")))
    response = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
    assert response.http_response.headers["content-type"] == "text/html"
    async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as streamed:
        assert await streamed.text() == "<h1>"
    await response.http_response.aclose()
