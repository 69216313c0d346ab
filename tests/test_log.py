from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import httpx2
import openai
import pytest
import structlog
from structlog.testing import LogCapture
from surfaces import CHAT

import llmkit
from llmkit import CallRecord, SemanticCache, StructlogSink, UsageLog, log
from llmkit.testing import FakeOpenAI, VirtualClock


@pytest.fixture(autouse=True)
def unconfigured_structlog(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("LLMKIT_LOG_FORMAT", raising=False)
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def one_call(fake: FakeOpenAI | None = None, **options: Any) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    fake = fake or FakeOpenAI().reply("PRIVATE ANSWER", usage=usage)
    client = fake.async_client(middleware=[UsageLog(sinks=[StructlogSink(**options)])], max_retries=0)
    with llmkit.tags(user="alice"):
        await client.chat.completions.create(**CHAT)


async def test_unconfigured_and_piped_it_writes_one_json_line_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    await one_call()
    out, err = capsys.readouterr()
    assert out == ""
    event = json.loads(err)
    assert event["event"] == "OpenAI tokens: prompt=9, completion=3, total=12"
    assert event["level"] == "info"
    assert event["model"] == event["response_model"] == CHAT["model"]
    assert event["tags"] == {"user": "alice"}
    assert event["finish_reason"] == "stop"
    assert event["attempts"] == 1
    assert event["openai_request_id"] == "req_fake_1"
    assert event["cached_tokens"] == event["reasoning_tokens"] == 0
    assert event["latency"] >= 0
    assert event["timestamp"].endswith("Z")
    assert "PRIVATE" not in err
    assert "Name a colour" not in err


async def test_an_answer_from_a_cache_is_logged_with_what_it_saved(capsys: pytest.CaptureFixture[str]) -> None:
    cache = SemanticCache(embed=lambda text: [1.0, len(text)], threshold=0.5)
    client = FakeOpenAI().async_client(middleware=[UsageLog(), cache])
    for text in ("Name a colour.", "Name a colour.", "Name a colour!!"):
        await client.responses.create(model="gpt-4o-mini", input=text)
    made, hit, near = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert made["event"].startswith("OpenAI tokens: prompt=")
    assert made["cache"] == "miss"
    assert "saved_input_tokens" not in made
    assert hit["event"] == near["event"] == "OpenAI call answered from the cache: responses"
    assert (hit["cache"], near["cache"]) == ("hit", "semantic")
    assert hit["saved_input_tokens"] == made["input_tokens"]
    assert hit["saved_output_tokens"] == made["output_tokens"]
    assert float(hit["saved_cost"]) > 0
    assert hit["attempts"] == hit["total_tokens"] == 0
    assert 0.5 < near["similarity"] <= 1
    assert "similarity" not in hit


async def test_in_a_terminal_it_is_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    await one_call()
    shown = terminal.getvalue()
    assert "OpenAI tokens: prompt=9, completion=3, total=12" in shown
    assert "\x1b[" in shown
    assert "total_tokens" not in shown
    assert "cached_tokens" not in shown
    assert "complete" not in shown.replace("completion", "")
    assert not shown.startswith("{")


async def test_it_follows_a_stderr_that_is_redirected_later(monkeypatch: pytest.MonkeyPatch) -> None:
    usage_log = UsageLog()
    client = FakeOpenAI().async_client(middleware=[usage_log])
    first, second = io.StringIO(), io.StringIO()
    for stream in (first, first, second):
        monkeypatch.setattr(sys, "stderr", stream)
        await client.chat.completions.create(**CHAT)
    assert (first.getvalue().count("\n"), second.getvalue().count("\n")) == (2, 1)


@pytest.mark.parametrize("by_environment", [True, False])
async def test_the_format_can_be_chosen(monkeypatch: pytest.MonkeyPatch, by_environment: bool) -> None:
    for chosen, stream in (("json", Terminal()), ("console", io.StringIO())):
        monkeypatch.setattr(sys, "stderr", stream)
        if by_environment:
            monkeypatch.setenv("LLMKIT_LOG_FORMAT", chosen)
        await one_call(**({} if by_environment else {"format": chosen}))
        assert stream.getvalue().startswith("{") == (chosen == "json")


def test_an_unknown_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMKIT_LOG_FORMAT", "xml")
    with pytest.raises(ValueError, match="LLMKIT_LOG_FORMAT is 'xml'; use 'console' or 'json'"):
        StructlogSink()
    monkeypatch.setenv("LLMKIT_LOG_FORMAT", "")
    StructlogSink()
    with pytest.raises(ValueError, match="format is 'yaml'"):
        StructlogSink(format="yaml")  # type: ignore[arg-type]


async def test_a_users_own_structlog_set_up_is_used_and_not_changed(capsys: pytest.CaptureFixture[str]) -> None:
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    before = structlog.get_config()
    with structlog.contextvars.bound_contextvars(request="r-1"):
        await one_call()
    assert structlog.get_config() == before
    (event,) = capture.entries
    assert event["event"].startswith("OpenAI tokens")
    assert event["request"] == "r-1"
    assert capsys.readouterr() == ("", "")


async def test_a_logger_of_the_users_wins(capsys: pytest.CaptureFixture[str]) -> None:
    capture = LogCapture()
    await one_call(logger=structlog.wrap_logger(None, processors=[capture]))
    assert len(capture.entries) == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("level", "failing", "events"), [(30, False, 0), (30, True, 1), (40, True, 0), (20, False, 1)])
async def test_what_nobody_listens_to_is_not_even_written(
    monkeypatch: pytest.MonkeyPatch, level: int, failing: bool, events: int
) -> None:
    written: list[CallRecord] = []
    monkeypatch.setattr(log, "fields", lambda record: written.append(record) or {})
    capture = LogCapture()
    structlog.configure(processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(level))
    with contextlib.suppress(openai.BadRequestError):
        await one_call(FakeOpenAI().error(400) if failing else None)
    assert len(capture.entries) == len(written) == events


async def test_a_logger_that_answers_to_any_name_is_not_asked_whether_it_listens() -> None:
    capturing = structlog.testing.CapturingLogger()
    await one_call(logger=structlog.wrap_logger(capturing, processors=[structlog.processors.add_log_level]))
    assert [call.method_name for call in capturing.calls] == ["info"]


async def test_bound_contextvars_ride_along_to_the_end_of_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeOpenAI().async_client(middleware=[UsageLog()])
    with structlog.contextvars.bound_contextvars(request="r-1"):
        stream = await client.chat.completions.create(**CHAT, stream=True)
    async for _ in stream:
        pass
    event = json.loads(capsys.readouterr().err)
    assert event["request"] == "r-1"
    assert event["stream"] is True
    assert event["time_to_first_token"] >= 0


async def test_a_failed_call_is_a_warning_with_its_error_class(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="429"):
        await one_call(FakeOpenAI().error(429, code="insufficient_quota"))
    event = json.loads(capsys.readouterr().err)
    assert event["event"] == "OpenAI call failed: chat.completions"
    assert (event["level"], event["error"], event["status_code"]) == ("warning", "RateLimitError", 429)
    assert event["error_code"] == "insufficient_quota"


async def test_a_cancelled_call_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeOpenAI(delay=60).async_client()
    with anyio.move_on_after(0.01):
        await client.chat.completions.create(**CHAT)
    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["level"]) == ("OpenAI call cancelled: chat.completions", "info")
    assert event["complete"] is False


async def test_a_call_without_tokens_says_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeOpenAI().async_client()
    await client.models.list()
    assert json.loads(capsys.readouterr().err)["event"] == "OpenAI call: models.get"


async def test_a_stream_cut_short_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeOpenAI().reply("a long answer").async_client()
    async with await client.chat.completions.create(**CHAT, stream=True) as stream:
        async for _ in stream:
            break
    event = json.loads(capsys.readouterr().err)
    assert event["estimated"] is True
    assert event["complete"] is False
    assert event["event"].startswith("OpenAI tokens: prompt=")


async def test_texts_are_logged_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeOpenAI().reply("blue").async_client(middleware=[UsageLog(content=True)])
    await client.chat.completions.create(**CHAT)
    event = json.loads(capsys.readouterr().err)
    assert event["prompt"] == CHAT["messages"]
    assert event["answer"] == "blue"


async def test_what_to_do_is_logged_with_a_failure_and_with_an_answer_cut_short(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(openai.RateLimitError):
        await one_call(FakeOpenAI().error(429, code="insufficient_quota"))
    event = json.loads(capsys.readouterr().err)
    assert (event["level"], event["hint"][:10]) == ("warning", "Add credit")
    await one_call(FakeOpenAI().reply("half of", finish_reason="length"))
    event = json.loads(capsys.readouterr().err)
    assert (event["level"], event["hint"][:18]) == ("info", "The answer was cut")
    await one_call()
    assert "hint" not in json.loads(capsys.readouterr().err)


def test_what_the_layers_did_is_logged_where_they_did_something() -> None:
    record = CallRecord(operation="chat.completions", model="gpt-4o", runtime=VirtualClock())
    names = {"retry_wait", "limit_wait", "key", "sent_model", "sent_to", "trimmed_messages"}
    assert names.isdisjoint(log.fields(record))
    record.retry_wait, record.limit_wait, record.trimmed_messages = 1.23456, 2.0, 3
    record.key, record.sent_model, record.sent_to = "...wxyz", "gpt-4o-mini", "https://api.openai.com/v1/"
    logged = log.fields(record)
    assert (logged["retry_wait"], logged["limit_wait"], logged["trimmed_messages"]) == (1.2346, 2.0, 3)
    assert (logged["key"], logged["sent_model"]) == ("...wxyz", "gpt-4o-mini")
    assert logged["sent_to"] == "https://api.openai.com/v1/"


async def test_the_cost_and_an_unusual_tier_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"model": "gpt-5", "choices": [], "service_tier": "flex"}
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
    fake = FakeOpenAI().respond(httpx2.Response(200, json={**answer, "usage": usage}))
    client = fake.async_client(middleware=[UsageLog(sinks=[StructlogSink()], cost=True)])
    await client.chat.completions.create(**CHAT)
    event = json.loads(capsys.readouterr().err)
    assert (event["cost"], event["service_tier"]) == ("0.625", "flex")
