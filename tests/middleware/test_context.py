from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import openai
import pytest
from surfaces import CHAT, RESPONSES

import llmkit
from llmkit import CallRecord, Context, ContextLengthExceeded, UsageLog
from llmkit.context import DropOldest
from llmkit.middleware import context
from llmkit.testing import FakeOpenAI
from llmkit.tokens import count_request, vocabulary

OPENAI = "https://api.openai.com/v1"
LONG = "one two three four five six seven eight nine ten " * 40
"""400 words, about 400 tokens."""


def client_for(fake: FakeOpenAI, layer: Any = None, **options: Any) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    stack = [UsageLog(sinks=[records.append]), layer or Context()]
    return fake.async_client(middleware=stack, **{"base_url": OPENAI, **options}), records


def history(turns: int) -> Any:
    messages = [{"role": "system", "content": "You are brief."}]
    for number in range(turns):
        messages += [{"role": "user", "content": f"{number} {LONG}"}, {"role": "assistant", "content": f"ok {number}"}]
    return [*messages, {"role": "user", "content": "And now?"}]


async def test_the_count_is_on_the_record_beside_what_the_server_billed() -> None:
    client, records = client_for(FakeOpenAI())
    await client.chat.completions.create(**CHAT)
    await client.responses.create(**RESPONSES)
    expected = [
        count_request(CHAT, operation="chat.completions").total,
        count_request(RESPONSES, operation="responses").total,
    ]
    assert [record.predicted_tokens for record in records] == expected
    assert [record.trimmed_messages for record in records] == [0, 0]


async def test_a_request_that_fits_is_sent_as_it_is() -> None:
    fake, plain = FakeOpenAI(), FakeOpenAI()
    client, _ = client_for(fake)
    raw = openai.AsyncOpenAI(api_key="sk-fake", base_url=plain.base_url, http_client=plain.async_http_client())
    for each in (client, raw):
        await each.chat.completions.create(model="gpt-4o", messages=history(3), max_completion_tokens=100)
    assert fake.requests[0].content == plain.requests[0].content


async def test_what_cannot_fit_the_model_is_trimmed_to_its_window() -> None:
    fake = FakeOpenAI()
    client, records = client_for(fake)
    messages = history(60)  # some 24,000 tokens for a window of 8,192
    await client.chat.completions.create(model="gpt-4", messages=messages, max_tokens=1_000)
    sent = fake.requests[0].body
    assert count_request(sent, operation="chat.completions").total <= 8_192 - 1_000
    assert sent["messages"][0] == messages[0]
    assert sent["messages"][-1] == messages[-1]
    assert records[0].trimmed_messages == len(messages) - len(sent["messages"]) > 0
    assert records[0].predicted_tokens == count_request(sent, operation="chat.completions").total
    assert len(messages) == 122


async def test_room_is_left_for_an_answer_of_unknown_length() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake)
    await client.chat.completions.create(model="gpt-4", messages=history(60))
    sent = count_request(fake.requests[0].body, operation="chat.completions").total
    assert 6_000 < sent <= 8_192 - 8_192 // 8


async def test_responses_input_is_trimmed_too_unless_the_api_is_to_truncate() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake)
    for options in ({}, {"truncation": "auto"}):
        await client.responses.create(model="gpt-4", input=history(60), **options)  # type: ignore[arg-type]
    assert len(fake.requests[0].body["input"]) < 122
    assert len(fake.requests[1].body["input"]) == 122


async def test_raise_names_the_sizes_and_sends_nothing() -> None:
    fake = FakeOpenAI()
    client, records = client_for(fake, Context(on_overflow="raise"))
    with pytest.raises(ContextLengthExceeded, match=r"input tokens \(messages \d+.*'gpt-4' takes 8192"):
        await client.chat.completions.create(model="gpt-4", messages=history(60))
    assert fake.requests == []
    assert records[0].error == "ContextLengthExceeded"
    assert issubclass(ContextLengthExceeded, openai.OpenAIError)


async def test_a_current_turn_that_is_too_large_alone_is_refused_with_its_size() -> None:
    client, _ = client_for(FakeOpenAI())
    with pytest.raises(ContextLengthExceeded, match=r"\d+"):
        await client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": LONG * 30}])


async def test_a_budget_of_ones_own_holds_for_every_model() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, Context(max_tokens=1_000, strategy=DropOldest()))
    await client.chat.completions.create(model="my-own-deployment", messages=history(20))
    assert count_request(fake.requests[0].body, operation="chat.completions").total <= 1_000


async def test_unknown_models_and_inexact_counts_are_left_to_the_api() -> None:
    fake = FakeOpenAI()
    client, records = client_for(fake)
    await client.chat.completions.create(model="my-own-deployment", messages=history(60))
    image = {"type": "image_url", "image_url": {"url": "https://example.test/x.png"}}
    messages = [*history(60), {"role": "user", "content": [image]}]
    await client.chat.completions.create(model="gpt-4", messages=messages)
    assert [len(request.body["messages"]) for request in fake.requests] == [122, 123]
    assert records[0].predicted_tokens


async def test_an_azure_deployment_is_left_alone_until_its_limits_are_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llmkit.tokens.models._registered", {})
    fake = FakeOpenAI()
    client = llmkit.AsyncAzureOpenAI(
        api_key="azure-fake",
        azure_endpoint="https://mine.openai.azure.com",
        api_version="1",
        http_client=fake.async_http_client(),
        middleware=[Context()],
    )
    await client.chat.completions.create(model="gpt-4", messages=history(60))
    llmkit.register_model("gpt-4", context_window=8_192)
    await client.chat.completions.create(model="gpt-4", messages=history(60))
    sizes = [len(request.body["messages"]) for request in fake.requests]
    assert sizes[0] == 122
    assert sizes[1] < 122


@pytest.mark.parametrize("base_url", ["http://localhost:8000/v1", "https://gateway.example/v1"])
async def test_another_servers_model_of_the_same_name_is_left_alone(base_url: str) -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, base_url=base_url)
    await client.chat.completions.create(model="gpt-4", messages=history(60))
    assert len(fake.requests[0].body["messages"]) == 122


@pytest.mark.parametrize(
    "options",
    [{"max_tokens": "100"}, {"max_tokens": 100.0}, {"max_completion_tokens": 10**30}],
)
async def test_odd_arguments_are_left_to_the_api(options: dict[str, Any]) -> None:
    fake = FakeOpenAI().reply("ok")
    client, _ = client_for(fake)
    await client.chat.completions.create(**{**CHAT, **options})
    assert len(fake.requests) == 1


@pytest.mark.parametrize("model", [123, ["a"], True])
async def test_a_model_that_is_no_name_is_left_to_the_api(model: Any) -> None:
    client, _ = client_for(FakeOpenAI().error(400, param="model"))
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model=model, messages=CHAT["messages"])


async def test_a_string_that_is_cut_counts_no_messages_as_trimmed() -> None:
    client, records = client_for(FakeOpenAI(), Context(strategy=llmkit.TruncateLongest()))
    await client.responses.create(model="gpt-4", input="word " * 20_000)
    assert records[0].trimmed_messages == 0
    assert (records[0].predicted_tokens or 0) <= 8_192


def test_a_summary_in_a_sync_client_falls_back_to_dropping(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeOpenAI()
    strategy = llmkit.Summarize(FakeOpenAI().async_client(middleware=[]), "gpt-4o-mini")
    client = fake.client(middleware=[Context(strategy=strategy)], base_url=OPENAI)
    client.chat.completions.create(model="gpt-4", messages=history(60))
    assert len(fake.requests[0].body["messages"]) < 122
    assert "No summary of the conversation" in caplog.text


async def test_what_cannot_be_read_is_left_to_the_api() -> None:
    fake = FakeOpenAI().reply("ok")
    client, records = client_for(fake)
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": 3}]}]
    await client.chat.completions.create(model="gpt-4o", messages=messages)
    assert records[0].predicted_tokens is None
    assert fake.requests[0].body["messages"] == messages


async def test_other_operations_pass() -> None:
    client, records = client_for(FakeOpenAI())
    await client.embeddings.create(model="text-embedding-3-small", input="blue")
    await client.models.list()
    assert [record.predicted_tokens for record in records] == [None, None]


async def test_without_prediction_only_what_may_not_fit_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    def count(body: Any, *, operation: str) -> Any:
        counted.append(body["model"])
        return count_request(body, operation=operation)

    monkeypatch.setattr(context, "count_request", count)
    client, records = client_for(FakeOpenAI(), Context(predict=False))
    await client.chat.completions.create(**CHAT)
    assert counted == []
    await client.chat.completions.create(model="my-own-deployment", messages=history(60))
    assert counted == []
    await client.chat.completions.create(model="gpt-4", messages=history(60))
    assert counted[0] == "gpt-4"
    assert [record.predicted_tokens is None for record in records] == [True, True, False]


async def test_the_first_count_and_long_texts_are_counted_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def count(body: Any, *, operation: str) -> Any:
        threads.append(threading.current_thread())
        return count_request(body, operation=operation)

    monkeypatch.setattr(context, "count_request", count)
    client, _ = client_for(FakeOpenAI())
    main = threading.current_thread()
    vocabulary.load("gpt-4o")
    await client.chat.completions.create(**CHAT)
    long: Any = [{"role": "user", "content": LONG * 40}]
    await client.chat.completions.create(model="gpt-4o", messages=long)
    monkeypatch.setattr(context, "is_loaded", lambda model: False)
    await client.chat.completions.create(model="gpt-4", messages=history(60))
    assert [thread is main for thread in threads][:3] == [True, False, False]


async def test_no_call_waits_for_the_vocabulary_just_to_have_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(context, "is_loaded", lambda model: False)
    monkeypatch.setattr(context, "load_soon", begun.append)
    client, records = client_for(FakeOpenAI())
    await client.chat.completions.create(**CHAT)
    assert begun == [CHAT["model"]]
    assert records[0].predicted_tokens is None


async def test_what_does_not_fit_can_be_summarised_by_a_model() -> None:
    fake, writer = FakeOpenAI(), FakeOpenAI().reply("They counted to ten, again and again.")
    strategy = llmkit.Summarize(writer.async_client(middleware=[]), "gpt-4o-mini")
    client, records = client_for(fake, Context(strategy=strategy))
    await client.chat.completions.create(model="gpt-4", messages=history(60))
    assert any("They counted to ten" in str(message["content"]) for message in fake.requests[0].body["messages"])
    assert records[0].trimmed_messages > 0


def test_a_sync_client_counts_and_trims_where_it_is() -> None:
    fake = FakeOpenAI()
    fake.client(middleware=[Context()], base_url=OPENAI).chat.completions.create(model="gpt-4", messages=history(60))
    assert len(fake.requests[0].body["messages"]) < 122


async def test_interleaved_calls_have_counts_of_their_own() -> None:
    client, records = client_for(FakeOpenAI())

    async def call(words: int) -> None:
        messages: Any = [{"role": "user", "content": "word " * words}]
        with llmkit.tags(words=words):
            await client.chat.completions.create(model="gpt-4o", messages=messages)

    await asyncio.gather(*map(call, range(1, 30)))
    assert all((record.predicted_tokens or 0) - int(record.tags["words"]) < 12 for record in records)


async def test_slips_and_shutdowns_are_warned_of_once_and_only_on_openais_own_api(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = FakeOpenAI()
    elsewhere = "https://gateway.test/v1"
    with caplog.at_level(logging.WARNING, logger="llmkit"):
        for each in (elsewhere, OPENAI, OPENAI):
            client, _ = client_for(fake, base_url=each)
            await client.chat.completions.create(model="gpt-5.4", messages=CHAT["messages"])
            for _ in range(2):
                await client.chat.completions.create(model="gtp-4o", messages=CHAT["messages"])
            if each is elsewhere:
                assert caplog.messages == []
    assert caplog.messages
    assert all("gpt-4o" in message for message in caplog.messages)
    assert len(caplog.messages) == 2  # once for each Context


@pytest.mark.parametrize(
    ("options", "message"),
    [({"on_overflow": "cut"}, "on_overflow='cut' is unknown"), ({"max_tokens": 0}, "max_tokens=0 leaves no room")],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Context(**options)
