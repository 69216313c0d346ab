from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from context.histories import total

from llmkit.context import ContextLengthExceeded, Summarize, summarize_body, summarize_messages, trim_messages
from llmkit.context.groups import SUMMARY_PREFIX

MODEL = "gpt-4o-mini"
Answer = Callable[[dict[str, Any]], httpx2.Response]


def reply(text: str | None) -> httpx2.Response:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return httpx2.Response(
        200, json={"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    )


class Model:
    """A client whose server answers with `answer`, and the requests it saw."""

    def __init__(self, answer: Answer) -> None:
        self.seen: list[dict[str, Any]] = []
        self._answer = answer
        transport = httpx2.MockTransport(self._handle)
        self.client = openai.AsyncOpenAI(
            api_key="sk-canary", max_retries=0, http_client=httpx2.AsyncClient(transport=transport)
        )

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(json.loads(request.content))
        return self._answer(self.seen[-1])

    def summarize(self, **more: Any) -> Summarize:
        return Summarize(self.client, "gpt-small", **{"max_summary_tokens": 60, **more})


def history(count: int = 30) -> list[Any]:
    said = [
        {"role": role, "content": f"{role} {number}:" + " word" * 20}
        for number in range(count)
        for role in ("user", "assistant")
    ]
    return [{"role": "developer", "content": "Be brief."}, *said, {"role": "user", "content": "And now?"}]


async def condense(model: Model, messages: list[Any], max_tokens: int = 400, **more: Any) -> list[Any]:
    strategy = model.summarize(**more)
    result = await summarize_messages(messages, max_tokens=max_tokens, model=MODEL, strategy=strategy)
    assert total(result, MODEL, "chat.completions") <= max_tokens
    return result


async def test_the_oldest_groups_become_one_message() -> None:
    model = Model(lambda body: reply("They talked about words."))
    messages = history()
    result = await condense(model, messages)
    assert result[0] == messages[0]
    assert result[1] == {"role": "developer", "content": SUMMARY_PREFIX + "They talked about words."}
    assert result[2:] == messages[-(len(result) - 2) :]
    assert len(result) > 8
    (seen,) = model.seen
    assert (seen["model"], seen["max_completion_tokens"]) == ("gpt-small", 60)
    transcript = seen["messages"][1]["content"]
    dropped = messages[1 : len(messages) - len(result) + 2]
    assert transcript == "\n\n".join(f"{message['role']}: {message['content']}" for message in dropped)


async def test_what_fits_calls_no_model() -> None:
    model = Model(lambda body: reply("unused"))
    assert await condense(model, history(), 5000) == history()
    assert not model.seen


async def test_a_summary_is_summarised_again_and_does_not_pile_up() -> None:
    model = Model(lambda body: reply(f"Summary {len(model.seen)}."))
    result = await condense(model, history())
    again = await condense(model, [*result, *history()[1:]])
    assert [message["content"] for message in again if message["content"].startswith(SUMMARY_PREFIX)] == [
        SUMMARY_PREFIX + "Summary 2."
    ]
    assert "Summary 1." in model.seen[1]["messages"][1]["content"]


async def test_a_summary_that_is_too_long_is_cut() -> None:
    model = Model(lambda body: reply("blah " * 1000))
    assert "tokens cut" in (await condense(model, history()))[1]["content"]


async def test_the_transcript_is_bounded() -> None:
    model = Model(lambda body: reply("short"))
    await condense(model, history(500), max_input_tokens=100)
    text = model.seen[0]["messages"][1]["content"]
    assert text.startswith("user: user 0:")
    assert len(text) < 800


def broken(body: dict[str, Any]) -> httpx2.Response:
    raise httpx2.ConnectError("secret-prompt")


def no_choices(body: dict[str, Any]) -> httpx2.Response:
    return httpx2.Response(
        200, json={"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": []}
    )


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda body: httpx2.Response(429, json={"error": {"message": "sk-canary"}}), r"failed \(RateLimitError\)"),
        (broken, r"failed \(APIConnectionError\)"),
        (lambda body: reply(None), "wrote no text"),
        (lambda body: reply(" \n"), "wrote no text"),
        (no_choices, "wrote no text"),
    ],
)
async def test_without_a_summary_the_oldest_are_dropped(
    answer: Answer, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = await condense(Model(answer), history())
    assert result == trim_messages(history(), max_tokens=400, model=MODEL)
    (record,) = [record for record in caplog.records if record.name == "llmkit.context"]
    assert record.levelno == logging.WARNING
    assert re.search(why, record.getMessage())
    assert "sk-canary" not in record.getMessage()
    assert "secret-prompt" not in record.getMessage()


async def test_no_model_is_called_when_there_is_no_room_for_a_summary(caplog: pytest.LogCaptureFixture) -> None:
    model = Model(lambda body: reply("unused"))
    result = await condense(model, history(), 90, max_summary_tokens=500)
    assert result == trim_messages(history(), max_tokens=90, model=MODEL)
    assert not model.seen
    assert "500 tokens of summary do not fit" in caplog.text


async def test_a_current_turn_that_is_too_large_is_refused() -> None:
    with pytest.raises(ContextLengthExceeded):
        await condense(Model(lambda body: reply("unused")), [{"role": "user", "content": "word " * 500}], 100)
    with pytest.raises(ContextLengthExceeded):
        await condense(Model(lambda body: reply("unused")), [{"role": "system", "content": "word " * 500}], 100)


async def test_responses_items_become_a_transcript() -> None:
    model = Model(lambda body: reply("ok"))
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    items: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Look:"}, image]},
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x" * 100},
        {"type": "function_call", "call_id": "1", "name": "look", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "1", "output": "a cat"},
        {"type": "web_search_call", "id": "ws"},
        {"type": "custom_tool_call", "call_id": "2", "name": "sh", "input": "ls"},
        {"type": "custom_tool_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "files"}]},
        {"role": "user", "content": "word " * 200},
        {"role": "user", "content": "And now?"},
    ]
    body = {"model": "gpt-5", "input": items}
    result = await summarize_body(body, max_tokens=120, operation="responses", strategy=model.summarize())
    assert result["input"] == [{"role": "system", "content": SUMMARY_PREFIX + "ok"}, items[-1]]
    assert model.seen[0]["messages"][1]["content"].startswith(
        'user: Look: [input_image]\n\ntool call look: {"a": 1}\n\nfunction_call_output: a cat\n\n'
        "tool call sh: ls\n\ncustom_tool_call_output: files\n\nuser: word"
    )


async def test_chat_calls_become_a_transcript() -> None:
    model = Model(lambda body: reply("ok"))
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": ["plain", {"type": "refusal", "refusal": "no"}]},
        {"role": "assistant", "content": "", "function_call": {"name": "old", "arguments": ""}},
        {"role": "function", "name": "old", "content": "word " * 300},
        {"role": "user", "content": "And now?"},
    ]
    await condense(model, messages, 150)
    assert model.seen[0]["messages"][1]["content"].startswith(
        "tool call look: {}\n\ntool: plain no\n\ntool call old: \n\nfunction: word"
    )


async def test_groups_go_until_the_exact_count_fits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("llmkit.context.summarize._AROUND", -40)  # as if the parts had been counted too small
    model = Model(lambda body: reply("blah " * 100))
    assert SUMMARY_PREFIX in (await condense(model, history()))[1]["content"]
    monkeypatch.setattr("llmkit.context.summarize._AROUND", -60)
    assert await condense(model, history(), 70) == trim_messages(history(), max_tokens=70, model=MODEL)
    assert "it does not fit" in caplog.text


@pytest.mark.parametrize("wrong", [{"max_summary_tokens": 0}, {"max_input_tokens": -1}])
def test_a_wrong_bound_is_named(wrong: dict[str, int]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        Summarize(None, "m", **wrong)  # type: ignore[arg-type]


async def test_another_strategy_is_named() -> None:
    with pytest.raises(TypeError, match="strategy='x' does not summarise"):
        await summarize_messages(history(), max_tokens=100, model=MODEL, strategy="x")  # type: ignore[arg-type]
