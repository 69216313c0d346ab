from __future__ import annotations

import dataclasses
import sys
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pydantic
import pytest
from surfaces import CHAT, RESPONSES

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.testing import FakeOpenAI, virtual_time


def logged(fake: FakeOpenAI, **options: Any) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    return fake.async_client(middleware=[UsageLog(sinks=[records.append], **options)]), records


async def test_a_call_is_recorded_with_what_the_server_billed() -> None:
    fake = FakeOpenAI(model="gpt-4o-2024-08-06").reply(
        "blue",
        usage={
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 8},
        },
    )
    client, records = logged(fake)
    with llmkit.tags(user="alice"):
        await client.chat.completions.create(model="gpt-4o", messages=CHAT["messages"])
    (record,) = records
    assert (record.model, record.response_model) == ("gpt-4o", "gpt-4o-2024-08-06")
    assert (record.input_tokens, record.output_tokens, record.total_tokens) == (100, 20, 120)
    assert (record.cached_tokens, record.reasoning_tokens) == (64, 8)
    assert record.finish_reasons == ("stop",)
    assert record.tags == {"user": "alice"}
    assert record.attempts == 1
    assert record.operation == "chat.completions"
    assert record.complete
    assert not record.estimated


async def test_a_responses_call_is_recorded_under_the_same_names() -> None:
    client, records = logged(FakeOpenAI().reply("cut", finish_reason="length"))
    await client.responses.create(**RESPONSES)
    (record,) = records
    assert record.operation == "responses"
    assert record.finish_reasons == ("max_output_tokens",)
    assert record.total_tokens == (record.input_tokens or 0) + (record.output_tokens or 0) > 0


async def test_latency_and_time_to_first_token_are_measured_on_the_calls_clock() -> None:
    client, records = logged(FakeOpenAI(delay=1.0, stream_chars=100).reply("one piece"))
    with virtual_time():
        async for _ in await client.chat.completions.create(**CHAT, stream=True):
            pass
    (record,) = records
    assert record.time_to_first_token is not None
    assert 1.0 <= record.time_to_first_token < (record.latency or 0.0)


async def test_a_chat_stream_is_asked_for_usage_and_the_caller_sees_no_difference() -> None:
    fake, plain = FakeOpenAI(), FakeOpenAI()
    client, records = logged(fake)
    raw = openai.AsyncOpenAI(api_key="sk-fake", base_url=plain.base_url, http_client=plain.async_http_client())
    through = [c async for c in await client.chat.completions.create(**CHAT, stream=True)]
    direct = [c async for c in await raw.chat.completions.create(**CHAT, stream=True)]
    assert fake.requests[0].body["stream_options"] == {"include_usage": True}
    assert [c.to_dict() for c in through] == [c.to_dict() for c in direct]
    assert [c.model_fields_set for c in through] == [c.model_fields_set for c in direct]
    assert records[0].total_tokens


async def test_a_caller_who_asks_for_usage_gets_the_chunk() -> None:
    client, records = logged(FakeOpenAI())
    options: Any = {"include_usage": True}
    chunks = [c async for c in await client.chat.completions.create(**CHAT, stream=True, stream_options=options)]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == records[0].total_tokens


async def test_a_caller_who_declines_usage_is_obeyed_and_the_figures_are_estimates() -> None:
    fake = FakeOpenAI()
    client, records = logged(fake)
    options: Any = {"include_usage": False}
    async for _ in await client.chat.completions.create(**CHAT, stream=True, stream_options=options):
        pass
    assert fake.requests[0].body["stream_options"] == {"include_usage": False}
    assert records[0].complete
    assert records[0].estimated
    assert records[0].total_tokens


async def test_other_stream_options_are_kept() -> None:
    fake = FakeOpenAI()
    client, _ = logged(fake)
    options: Any = {"include_obfuscation": False}
    async for _ in await client.chat.completions.create(**CHAT, stream=True, stream_options=options):
        pass
    assert fake.requests[0].body["stream_options"] == {"include_obfuscation": False, "include_usage": True}


async def test_asking_for_usage_can_be_switched_off() -> None:
    fake = FakeOpenAI()
    client, _ = logged(fake, include_usage=False)
    async for _ in await client.chat.completions.create(**CHAT, stream=True):
        pass
    assert "stream_options" not in fake.requests[0].body


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_refuses_stream_options_is_asked_without_from_then_on(status: int) -> None:
    fake = FakeOpenAI().error(status, message="Unknown parameter: stream_options", param="stream_options")
    client, records = logged(fake)
    for _ in range(2):
        assert [c async for c in await client.chat.completions.create(**CHAT, stream=True)]
    assert ["stream_options" in r.body for r in fake.requests] == [True, False, False]
    assert [record.error for record in records] == [None, None]
    assert records[0].estimated


async def test_the_servers_that_refuse_stream_options_are_not_remembered_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llmkit.stream_usage._MOST_REFUSALS", 2)
    fake = FakeOpenAI()
    client = fake.async_client(middleware=[UsageLog(sinks=[])])
    for number, known in ((0, False), (1, False), (2, False), (2, False), (0, True)):
        if not known:
            fake.error(400, message="Unknown parameter: stream_options", param="stream_options")
        await (await client.chat.completions.create(**{**CHAT, "model": f"m{number}"}, stream=True)).close()
    assert ["stream_options" in r.body for r in fake.requests] == [True, False] * 4 + [False]


async def test_a_server_that_blames_stream_options_by_location_is_understood() -> None:
    detail = {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}
    fake = FakeOpenAI().respond(httpx2.Response(422, json=detail))
    client, _ = logged(fake)
    assert [c async for c in await client.chat.completions.create(**CHAT, stream=True)]
    assert len(fake.requests) == 2


@pytest.mark.parametrize("detail", [[{"loc": ["body", "max_tokens"], "input": {"stream_options": 1}}], "bad", None])
async def test_an_error_that_only_echoes_the_request_is_not_a_refusal(detail: Any) -> None:
    fake = FakeOpenAI().respond(httpx2.Response(422, json={"detail": detail}))
    client, _ = logged(fake)
    with pytest.raises(openai.UnprocessableEntityError):
        await client.chat.completions.create(**CHAT, stream=True)
    assert len(fake.requests) == 1


async def test_the_callers_own_bad_stream_options_are_the_callers() -> None:
    fake = FakeOpenAI().error(400, param="stream_options.include_obfuscation")
    client, _ = logged(fake)
    options: Any = {"include_obfuscation": "yes"}
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(**CHAT, stream=True, stream_options=options)
    assert len(fake.requests) == 1


async def test_a_refusal_is_remembered_only_if_asking_without_helped() -> None:
    fake = FakeOpenAI().error(400, param="stream_options").error(400, message="still bad")
    client, _ = logged(fake)
    with pytest.raises(openai.BadRequestError, match="still bad"):
        await client.chat.completions.create(**CHAT, stream=True)
    _ = [c async for c in await client.chat.completions.create(**CHAT, stream=True)]
    assert ["stream_options" in r.body for r in fake.requests] == [True, False, True]


async def test_a_layer_above_that_calls_twice_gets_one_report() -> None:
    records: list[CallRecord] = []
    client = (
        FakeOpenAI().error(500).reply("ok").async_client(middleware=[llmkit.Retry(), UsageLog(sinks=[records.append])])
    )
    with virtual_time():
        await client.chat.completions.create(**CHAT)
    assert len(records) == 1


async def test_the_prompt_of_a_legacy_completion_is_kept_when_asked_for() -> None:
    client, records = logged(FakeOpenAI(), content=True)
    await client.completions.create(model="gpt-3.5-turbo-instruct", prompt="A colour:")
    assert records[0].prompt == "A colour:"


async def test_another_bad_request_is_the_callers() -> None:
    fake = FakeOpenAI().error(400, message="no such thing")
    client, _ = logged(fake)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(**CHAT, stream=True)
    assert len(fake.requests) == 1


async def test_no_text_is_kept_unless_asked_for() -> None:
    client, records = logged(FakeOpenAI().reply("SECRET ANSWER"))
    await client.chat.completions.create(**CHAT)
    assert records[0].prompt is None
    assert records[0].answer is None


async def test_texts_are_kept_when_asked_for_and_stay_out_of_the_repr() -> None:
    client, records = logged(FakeOpenAI().reply("one").reply("two").reply("three"), content=True)
    await client.chat.completions.create(**CHAT)
    async for _ in await client.chat.completions.create(**CHAT, stream=True):
        pass
    await client.responses.create(**RESPONSES)
    assert [record.answer for record in records] == ["one", "two", "three"]
    assert [record.prompt for record in records] == [CHAT["messages"], CHAT["messages"], RESPONSES["input"]]
    assert "two" not in repr(records[1])
    assert "colour" not in repr(records[1])


async def test_tool_calls_and_refusals_are_part_of_the_answer() -> None:
    fake = FakeOpenAI().reply(tool_calls=[("paint", {"colour": "red"})]).reply(refusal="I will not")
    client, records = logged(fake, content=True)
    tools: Any = [{"type": "function", "function": {"name": "paint", "parameters": {"type": "object"}}}]
    await client.chat.completions.create(**CHAT, tools=tools)
    await client.chat.completions.create(**CHAT)
    assert '"colour"' in (records[0].answer or "")
    assert records[0].finish_reasons == ("tool_calls",)
    assert records[1].answer == "I will not"


async def test_a_failed_call_is_recorded_with_its_error() -> None:
    client, records = logged(FakeOpenAI().error(401, code="invalid_api_key", headers={"x-request-id": "req_9"}))
    with pytest.raises(openai.AuthenticationError):
        await client.chat.completions.create(**CHAT)
    (record,) = records
    assert (record.error, record.error_code, record.status_code) == ("AuthenticationError", "invalid_api_key", 401)
    assert record.request_id == "req_9"
    assert not record.complete
    assert record.total_tokens is None


async def test_a_refused_connection_is_recorded() -> None:
    client, records = logged(FakeOpenAI().fail(httpx2.ConnectError("refused")))
    with pytest.raises(openai.APIConnectionError):
        await client.with_options(max_retries=0).chat.completions.create(**CHAT)
    assert (records[0].error, records[0].attempts, records[0].status_code) == ("APIConnectionError", 1, None)


async def test_a_binary_answer_is_recorded_without_tokens() -> None:
    fake = FakeOpenAI().respond(httpx2.Response(200, content=b"sound", headers={"content-type": "audio/mpeg"}))
    client, records = logged(fake)
    answer = await client.audio.speech.create(model="tts-1", voice="alloy", input="hello")
    assert answer.content == b"sound"
    assert records[0].operation == "audio.speech"
    assert records[0].complete
    assert records[0].total_tokens is None


class Counting:
    """A sink that is told of calls that begin, too."""

    def __init__(self) -> None:
        self.running: list[CallRecord] = []
        self.seen = 0

    def started(self, record: CallRecord) -> None:
        self.running.append(record)
        self.seen += 1

    def __call__(self, record: CallRecord) -> None:
        self.running.remove(record)


async def test_a_sink_can_be_told_when_a_call_begins() -> None:
    sink, running = Counting(), list[int]()

    async def look(request: Request, call_next: CallNext) -> Any:
        running.append(len(sink.running))
        return await call_next(request)

    fake = FakeOpenAI().error(400).reply("Blue.")
    client = fake.async_client(middleware=[UsageLog(sinks=[sink]), look])
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(**CHAT)
    stream = await client.chat.completions.create(**CHAT, stream=True)
    assert (running, len(sink.running)) == ([1, 1], 1)
    await stream.close()
    assert (sink.running, sink.seen) == ([], 2)


async def test_a_sink_that_fails_at_the_beginning_fails_no_call(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def started(self, record: CallRecord) -> None:
            raise OSError("PRIVATE")

        def __call__(self, record: CallRecord) -> None: ...

    client = FakeOpenAI().async_client(middleware=[UsageLog(sinks=[Broken()])])
    await client.chat.completions.create(**CHAT)
    assert "Broken.started failed with OSError" in caplog.text
    assert "PRIVATE" not in caplog.text


async def test_the_cost_is_on_the_record_when_it_is_asked_for() -> None:
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 100_000, "total_tokens": 1_100_000}
    details = {
        "prompt_tokens_details": {"cached_tokens": 400_000},
        "completion_tokens_details": {"reasoning_tokens": 9},
    }
    fake = FakeOpenAI(model="gpt-4o").reply("x", usage=usage | details).error(400).reply("y", usage=usage)
    client, records = logged(fake, cost=True)
    await client.chat.completions.create(**CHAT)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(**CHAT)
    async for _ in await client.chat.completions.create(**CHAT, stream=True):
        pass
    assert [record.cost for record in records] == [Decimal("3.0"), None, Decimal("3.5")]


async def test_without_prices_there_is_no_cost_and_asking_for_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    client, records = logged(FakeOpenAI(model="gpt-4o"))
    await client.chat.completions.create(**CHAT)
    assert records[0].cost is None
    with pytest.raises(llmkit.LLMKitError, match=r"pip install 'llmkit\[prices\]'"):
        UsageLog(cost=True)


async def test_the_whole_request_is_kept_only_with_content() -> None:
    client, records = logged(FakeOpenAI())
    await client.chat.completions.create(**CHAT)
    client, with_content = logged(FakeOpenAI(), content=True)
    await client.chat.completions.create(**CHAT, seed=1)
    assert records[0].body is None
    assert with_content[0].body == {**CHAT, "seed": 1}
    assert dataclasses.asdict(with_content[0])["body"] == {**CHAT, "seed": 1}


class Colour(pydantic.BaseModel):
    name: str


@pytest.mark.parametrize("reply", [{"finish_reason": "length"}, {}], ids=["cut", "malformed"])
async def test_an_answer_that_cannot_be_parsed_is_billed_all_the_same(reply: dict[str, str]) -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100}
    client, records = logged(FakeOpenAI(model="gpt-4o").reply('{"na', usage=usage, **reply), cost=True)
    with pytest.raises((openai.LengthFinishReasonError, pydantic.ValidationError)):
        await client.chat.completions.parse(**CHAT, response_format=Colour)
    (record,) = records
    assert (record.outcome, record.total_tokens, record.cost) == ("failed", 1_100, Decimal("0.0035"))


async def test_attempts_whose_answers_make_no_sense_are_billed_too() -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100}
    odd = httpx2.Response(200, json={"model": "gpt-4o", "choices": None, "usage": usage})
    fake = FakeOpenAI(model="gpt-4o").respond(odd).respond(odd).reply("Blue.", usage=usage)
    records: list[CallRecord] = []
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append], cost=True), Retry(first_wait=0.001)])
    await client.chat.completions.create(**CHAT)
    (record,) = records
    assert (record.attempts, record.input_tokens, record.total_tokens) == (3, 3_000, 3_300)
    assert (record.complete, record.estimated, record.cost) == (True, False, Decimal("0.0105"))


async def test_an_answer_cut_in_the_middle_of_its_json_tells_nothing() -> None:
    half = httpx2.Response(200, headers={"content-type": "application/json"}, content=b'{"usage": {"prompt_tok')
    client, records = logged(FakeOpenAI().respond(half))
    with pytest.raises(llmkit.InvalidResponse):
        await client.with_options(max_retries=0).chat.completions.create(**CHAT)
    assert records[0].total_tokens is None


async def test_what_is_loaded_without_the_extra_is_told_of_no_other_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    for kept in ("_remembered", "_registered"):
        monkeypatch.setattr(f"llmkit.usage.prices.{kept}", {})
    llmkit.register_price("mine", llmkit.Price(input=1, output=1))
    client, records = logged(FakeOpenAI())
    for model in ("mine", "gpt-4o"):
        await client.chat.completions.create(model=model, messages=CHAT["messages"])
    assert records[0].cost is not None
    assert records[1].cost is None
