from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmkit
from llmkit import CallNext, CallRecord, LLMKitError, MemoryStore, Request, SQLiteStore, UsageLog, caching
from llmkit.cache.vectors import NumpyIndex, RedisIndex
from llmkit.middleware.semantic_cache import SemanticCache
from llmkit.testing import FakeOpenAI, virtual_time

PASSWORD = "How do I reset my password?"
PARAPHRASE = "How can I reset my password?"
OTHER = "Where is the nearest bakery in town?"


def letters(text: str) -> Sequence[float]:
    """An embedding that needs no model: how often each letter occurs."""
    return [text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]


def semantic(fake: FakeOpenAI, **options: Any) -> tuple[Any, SemanticCache, list[CallRecord]]:
    records: list[CallRecord] = []

    def note(record: CallRecord) -> None:
        if record.operation != "embeddings":
            records.append(record)

    cache = SemanticCache(
        options.pop("store", None), **{"embed": letters, "embedding_model": "letters", "threshold": 0.9} | options
    )
    return fake.async_client(middleware=[UsageLog(sinks=[note]), cache]), cache, records


async def ask(client: Any, text: str, *, system: str | None = None, **options: Any) -> str:
    messages = [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": text}]
    answer = await client.chat.completions.create(**{"model": "gpt-4o-mini", "messages": messages, **options})
    return answer.choices[0].message.content


async def test_a_question_that_means_the_same_is_answered_without_asking() -> None:
    fake = FakeOpenAI()
    client, cache, records = semantic(fake)
    answers = [await ask(client, text) for text in (PASSWORD, PARAPHRASE, PASSWORD, OTHER)]
    assert answers == [f"You said: {PASSWORD}"] * 3 + [f"You said: {OTHER}"]
    assert len(fake.requests) == 2
    assert [record.cache for record in records] == ["miss", "semantic", "hit", "miss"]
    first, near, _, far = records
    assert first.similar is None
    assert near.similar is not None
    assert near.similar.key == first.cache_key != near.cache_key
    assert near.similar.score > near.similar.threshold == 0.9
    assert (near.similar.objection, near.similar.question) == (None, None)
    assert near.saved_input_tokens == first.input_tokens
    assert near.total_tokens == near.attempts == 0
    assert far.similar is not None
    assert far.similar.score < 0.9
    assert (cache.stats().hits, cache.stats().misses) == (2, 2)


async def test_streams_are_answered_by_streams() -> None:
    fake = FakeOpenAI()
    client, _, records = semantic(fake)
    await ask(client, PASSWORD)
    messages: Any = [{"role": "user", "content": PARAPHRASE}]
    stream = await client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == f"You said: {PASSWORD}"
    assert records[1].cache == "semantic"
    response = await client.responses.create(model="gpt-4o-mini", input=PASSWORD)
    assert (await client.responses.create(model="gpt-4o-mini", input=PARAPHRASE)).id == response.id


def test_sync_clients_too() -> None:
    fake = FakeOpenAI()
    client = fake.client(middleware=[SemanticCache(threshold=0.7)])
    texts = [
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": text}])
        .choices[0]
        .message.content
        for text in (PASSWORD, PARAPHRASE)
    ]
    assert texts == [f"You said: {PASSWORD}"] * 2
    assert [request.path.rpartition("/")[2] for request in fake.requests] == ["embeddings", "completions", "embeddings"]


async def test_the_clients_own_embeddings_are_the_default_and_are_calls_of_their_own() -> None:
    fake, records = FakeOpenAI(), list[CallRecord]()
    cache = SemanticCache(threshold=0.7)
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append]), cache])
    await ask(client, PASSWORD)
    await ask(client, PARAPHRASE)
    assert [record.operation for record in records] == ["embeddings", "chat.completions"] * 2
    assert [record.cache for record in records] == [None, "miss", None, "semantic"]
    assert fake.requests[0].body["model"] == "text-embedding-3-small"
    assert cache.stats().entries == 1


@pytest.mark.parametrize("kind", ["async function", "sync function", "function that gives a coroutine"])
async def test_embed_may_be_any_callable(kind: str) -> None:
    async def later(text: str) -> Sequence[float]:
        return letters(text)

    embed: Any = {"async function": later, "sync function": letters}.get(kind, lambda text: later(text))
    client, _, records = semantic(FakeOpenAI(), embed=embed)
    await ask(client, PASSWORD)
    await ask(client, PARAPHRASE)
    assert records[1].cache == "semantic"


# What is never mixed up


@pytest.mark.parametrize(
    "changed",
    [
        {"system": "Be brief."},
        {"model": "gpt-4o"},
        {"max_tokens": 5},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"extra_headers": {"x-variant": "b"}},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_everything_but_the_question_must_be_equal(changed: dict[str, Any]) -> None:
    fake = FakeOpenAI()
    client, _, records = semantic(fake)
    await ask(client, PASSWORD)
    await ask(client, PARAPHRASE, **changed)
    assert [record.cache for record in records] == ["miss", "miss"]
    assert records[1].similar is None
    assert len(fake.requests) == 2


TOOLS = [None, "weather", "time"]
FACETS = st.fixed_dictionaries(
    {
        "system": st.sampled_from([None, "Be brief.", "Be kind."]),
        "model": st.sampled_from(["gpt-4o", "gpt-4o-mini"]),
        "tool": st.sampled_from(TOOLS),
        "format": st.sampled_from([None, "json_object"]),
        "tenant": st.sampled_from(["a", "b", None]),
        "text": st.sampled_from([PASSWORD, PARAPHRASE, OTHER]),
    }
)


@given(st.lists(FACETS, min_size=2, max_size=12))
def test_no_answer_crosses_from_one_system_prompt_tool_format_or_tenant_to_another(calls: list[dict[str, Any]]) -> None:
    fake = FakeOpenAI()
    made: dict[str, dict[str, Any]] = {}

    async def run() -> None:
        client, _, _ = semantic(fake, per="tenant", threshold=0.01)
        for facets in calls:
            options: dict[str, Any] = {"model": facets["model"]}
            if facets["tool"]:
                options["tools"] = [{"type": "function", "function": {"name": facets["tool"], "parameters": {}}}]
            if facets["format"]:
                options["response_format"] = {"type": facets["format"]}
            asked = len(fake.requests)
            fake.reply(f"answer {asked}")
            with llmkit.tags(tenant=facets["tenant"]):
                answer = await ask(client, facets["text"], system=facets["system"], **options)
            rest = {name: value for name, value in facets.items() if name != "text"}
            if len(fake.requests) > asked:
                made[answer] = rest
            else:
                fake._queue.clear()
            assert made[answer] == rest

    asyncio.run(run())


@pytest.mark.parametrize(
    ("asked", "objection"),
    [
        ("How do I reset my 2 passwords?", "other numbers"),
        ("How do I not reset my password?", "a negation"),
        ("How do I reset my IBM password?", "other names"),
    ],
)
async def test_a_guard_objects_to_questions_that_only_look_alike(asked: str, objection: str) -> None:
    fake = FakeOpenAI()
    client, _, records = semantic(fake, threshold=0.5)
    await ask(client, PASSWORD)
    assert await ask(client, asked) == f"You said: {asked}"
    assert records[1].similar is not None
    assert records[1].similar.objection == objection
    assert records[1].similar.score > 0.9


async def test_the_next_nearest_is_taken_when_a_guard_objects_to_the_nearest() -> None:
    client, _, records = semantic(FakeOpenAI(), threshold=0.5)
    await ask(client, "How do I reset my 2 passwords?")
    await ask(client, PASSWORD)
    await ask(client, "How do I reset my passwords?")
    assert [record.cache for record in records] == ["miss", "miss", "semantic"]
    assert records[2].similar is not None
    assert records[2].similar.key == records[1].cache_key


async def test_the_nearest_is_what_the_record_shows_when_a_guard_objects_to_all() -> None:
    client, _, records = semantic(FakeOpenAI(), threshold=0.5)
    for text in ("How do I reset my 2 passwords?", "How do I reset my 3 passwords today", PASSWORD):
        await ask(client, text)
    assert records[2].similar is not None
    assert records[2].similar.key == records[0].cache_key
    assert records[2].similar.objection == "other numbers"
    assert records[2].cache == "miss"


async def test_the_search_ends_below_the_threshold() -> None:
    client, _, records = semantic(FakeOpenAI(), threshold=1.0)
    for text in ("How do I reset my 2 passwords?", "How do I reset my 3 passwords", PASSWORD):
        await ask(client, text)
    assert [record.cache for record in records] == ["miss"] * 3
    assert records[2].similar is not None
    assert records[2].similar.objection == "other numbers"


async def test_what_has_images_is_compared_exactly_only() -> None:
    client, _, records = semantic(FakeOpenAI(), threshold=0.01)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    for text in (PASSWORD, PARAPHRASE):
        content: Any = [{"type": "text", "text": text}, image]
        await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": content}])
    assert [record.cache for record in records] == ["miss", "miss"]


async def test_vectors_of_another_model_are_not_compared() -> None:
    store, fake = MemoryStore(), FakeOpenAI()
    one, _, _ = semantic(fake, store=store)
    other, _, records = semantic(fake, store=store, embedding_model="letters-2")
    await ask(one, PASSWORD)
    await ask(other, PARAPHRASE)
    assert records[0].cache == "miss"


# What is kept, and for how long


async def test_the_text_of_a_question_is_kept_only_to_explain() -> None:
    store = MemoryStore()
    client, _, _ = semantic(FakeOpenAI(), store=store)
    await ask(client, PASSWORD)
    (entry,) = store.entries(now=0, bodies=True)
    assert entry.question is None
    assert entry.marks is not None
    assert "password" not in repr((entry, entry.marks))
    client, _, records = semantic(FakeOpenAI(), store=MemoryStore(), explain=True)
    await ask(client, PASSWORD)
    await ask(client, PARAPHRASE)
    assert records[1].similar is not None
    assert records[1].similar.question == PASSWORD
    assert "password" not in repr(records[1])


async def test_an_answer_is_found_until_it_expires_or_is_invalidated() -> None:
    client, cache, records = semantic(FakeOpenAI(), ttl=60)
    with virtual_time() as clock:
        await ask(client, PASSWORD)
        clock.advance(59)
        await ask(client, PARAPHRASE)
        clock.advance(2)
        await ask(client, PARAPHRASE)
        assert cache.invalidate(everything=True) == 1
        await ask(client, PASSWORD)
    assert [record.cache for record in records] == ["miss", "semantic", "miss", "miss"]


async def test_a_process_that_starts_finds_what_others_have_kept_and_what_they_add(tmp_path: Any) -> None:
    stores = [SQLiteStore(tmp_path / "cache.db") for _ in range(2)]
    fake = FakeOpenAI()
    one, _, _ = semantic(fake, store=stores[0])
    with virtual_time() as clock:
        await ask(one, PASSWORD)
        clock.advance(100)
        other, _, records = semantic(fake, store=stores[1])
        await ask(other, PARAPHRASE)
        await ask(one, OTHER)
        await ask(other, OTHER.replace("the", "a"))
        clock.advance(5)
        await ask(other, OTHER.replace("Where", "And where"))
    assert [record.cache for record in records] == ["semantic", "miss", "semantic"]


async def test_a_call_that_asks_anew_is_found_by_its_meaning_later() -> None:
    fake = FakeOpenAI().reply("1").reply("2").reply("3")
    client, _, records = semantic(fake)
    assert await ask(client, PASSWORD) == "1"
    with caching(read=False):
        assert await ask(client, PASSWORD) == "2"
        assert await ask(client, PARAPHRASE) == "3"
    assert records[2].similar is None
    assert await ask(client, PASSWORD + "!") in ("2", "3")
    assert [record.cache for record in records] == ["miss", "miss", "miss", "semantic"]


async def test_a_call_that_is_not_to_be_kept_is_answered_by_meaning() -> None:
    fake = FakeOpenAI()
    client, cache, records = semantic(fake)
    await ask(client, PASSWORD)
    with caching(write=False):
        await ask(client, PARAPHRASE)
        await ask(client, OTHER)
    assert [record.cache for record in records] == ["miss", "semantic", "miss"]
    assert cache.stats().entries == 1


async def test_what_is_invalidated_leaves_no_vector_behind() -> None:
    index = NumpyIndex()
    client, cache, _ = semantic(FakeOpenAI(), index=index)
    for text in (PASSWORD, OTHER):
        await ask(client, text)
    assert len(index._kept) == 2
    assert cache.invalidate(everything=True) == 2
    assert len(index._kept) == 0


async def test_the_vector_of_an_answer_that_the_store_has_dropped_is_forgotten_when_it_is_found() -> None:
    index, store = NumpyIndex(), MemoryStore()
    client, _, records = semantic(FakeOpenAI(), index=index, store=store)
    await ask(client, PASSWORD)
    store.delete([str(records[0].cache_key)])
    with caching(write=False):
        await ask(client, PARAPHRASE)
    assert records[1].cache == "miss"
    assert len(index._kept) == 0


async def test_namespaces_share_a_store_and_no_answers() -> None:
    store, fake = MemoryStore(), FakeOpenAI()
    for namespace in ("a", "b"):
        client, _, records = semantic(fake, store=store, namespace=namespace, threshold=0.01)
        await ask(client, PASSWORD)
        assert records[0].cache == "miss"


async def test_the_embedding_has_no_more_time_than_the_call() -> None:
    timeouts: list[Any] = []

    async def note(request: Request, call_next: CallNext) -> Any:
        timeouts.append((request.operation, request.timeout))
        return await call_next(request)

    client = FakeOpenAI().async_client(middleware=[SemanticCache(), note])
    await ask(client, PASSWORD, timeout=3)
    assert timeouts == [("embeddings", 3), ("chat.completions", 3)]


async def test_an_index_that_fails_is_left_alone_before_an_embedding_is_paid_for() -> None:
    class Failing(NumpyIndex):
        def search(self, *args: Any, **options: Any) -> Any:
            raise LLMKitError("down")

    embedded: list[str] = []

    def embed(text: str) -> Sequence[float]:
        embedded.append(text)
        return letters(text)

    client, _, _ = semantic(FakeOpenAI(), index=Failing(), embed=embed)
    with virtual_time() as clock:
        for text in ("a", "b", "c"):
            await ask(client, text)
        assert embedded == ["a"]
        clock.advance(1)
        await ask(client, "d")
    assert embedded == ["a", "d"]


async def test_an_embedding_of_another_length_than_before_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    lengths = iter([2, 3])
    client, _, records = semantic(FakeOpenAI(), embed=lambda _: [1.0] * next(lengths), on_error="closed")
    await ask(client, PASSWORD)
    assert await ask(client, PARAPHRASE) == f"You said: {PARAPHRASE}"
    assert "a question could not be compared: an embedding of 3 numbers" in caplog.text
    assert records[1].error is None


# Shadow mode


async def test_shadow_mode_gives_nothing_and_says_how_often_the_answers_agreed() -> None:
    fake = FakeOpenAI().reply("Click on Forgot password.").reply("Click on Forgot password!").reply("It is red.")
    client, cache, records = semantic(fake, shadow=True)
    assert await ask(client, PASSWORD) == "Click on Forgot password."
    assert await ask(client, PARAPHRASE) == "Click on Forgot password!"
    assert await ask(client, PASSWORD + " ") == "It is red."
    assert [record.cache for record in records] == ["miss"] * 3
    assert len(fake.requests) == 3
    found = cache.agreement()
    assert sum(band.compared for band in found) == 2
    assert sum(band.agreed for band in found) == 1
    assert [band.low for band in found] == sorted((band.low for band in found), reverse=True)


async def test_agree_says_what_the_same_answer_is() -> None:
    seen: list[tuple[str, str]] = []

    def agree(kept: str, given: str) -> bool:
        seen.append((kept, given))
        return True

    client, cache, _ = semantic(FakeOpenAI().reply("One.").reply("Two."), shadow=True, agree=agree)
    await ask(client, PASSWORD)
    await ask(client, PARAPHRASE)
    assert seen == [("One.", "Two.")]
    assert [band.share for band in cache.agreement()] == [1.0]


async def test_an_agree_that_fails_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    def agree(kept: str, given: str) -> bool:
        raise RuntimeError(kept)

    client, _, _ = semantic(FakeOpenAI(), shadow=True, agree=agree)
    await ask(client, PASSWORD)
    assert await ask(client, PARAPHRASE) == f"You said: {PARAPHRASE}"
    assert "RuntimeError" in caplog.text
    assert "password" not in caplog.text


# What fails


@pytest.mark.parametrize("vector", [[0.0] * 26, [float("nan")] * 26, []])
async def test_an_embedding_without_a_direction_is_a_question_asked_like_any_other(vector: list[float]) -> None:
    client, _, records = semantic(FakeOpenAI(), embed=lambda _: vector)
    assert await ask(client, PASSWORD) == f"You said: {PASSWORD}"
    assert await ask(client, PASSWORD) == f"You said: {PASSWORD}"
    assert [record.cache for record in records] == ["miss", "hit"]


async def test_embeddings_that_fail_cost_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    def fail(text: str) -> Sequence[float]:
        raise ConnectionError(text)

    client, _, records = semantic(FakeOpenAI(), embed=fail)
    with caplog.at_level(logging.WARNING, logger="llmkit"):
        assert await ask(client, PASSWORD) == f"You said: {PASSWORD}"
    assert "a question could not be embedded (ConnectionError); it is asked without" in caplog.text
    assert "password" not in caplog.text
    assert records[0].cache == "miss"


async def test_an_index_that_fails_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(NumpyIndex):
        def search(self, *args: Any, **options: Any) -> Any:
            raise LLMKitError("the index needs Redis 8")

    client, _, _ = semantic(FakeOpenAI(), index=Failing())
    assert await ask(client, PASSWORD) == await ask(client, PASSWORD) == f"You said: {PASSWORD}"
    assert "failed with LLMKitError: the index needs Redis 8; calls go on without it" in caplog.text
    closed, _, _ = semantic(FakeOpenAI(), index=Failing(), on_error="closed")
    with pytest.raises(LLMKitError, match="Redis 8"):
        await ask(closed, PASSWORD)


async def test_a_question_that_cannot_be_compared_is_asked() -> None:
    client, _, records = semantic(FakeOpenAI(), per="tenant")
    with llmkit.tags(tenant=float("nan")):
        await ask(client, PASSWORD)
    assert records[0].cache is None


async def test_marks_of_another_version_are_an_objection() -> None:
    from dataclasses import replace

    store = MemoryStore()
    client, _, records = semantic(FakeOpenAI(), store=store)
    await ask(client, PASSWORD)
    (entry,) = store.entries(now=0, bodies=True)
    store.put(replace(entry, marks='{"version": 2}'), now=0)
    await ask(client, PARAPHRASE)
    assert records[1].similar is not None
    assert records[1].similar.objection == "marks of another version"
    assert records[1].cache == "miss"


@pytest.mark.parametrize("threshold", [0, -1, 1.1])
def test_a_threshold_that_cannot_be_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold="):
        SemanticCache(threshold=threshold)


def test_a_secret_that_is_too_long_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="secret is 65 bytes; give up to 64 bytes"):
        SemanticCache(secret=b"x" * 65)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embed": "text-embedding-3-small"}, "embed='text-embedding-3-small' is no function"),
        ({"agree": None}, "agree=None is no function"),
        ({"secret": "text"}, "secret is a str; give up to 64 bytes"),
        ({"index": NumpyIndex}, "is no index; give NumpyIndex"),
        ({"index": "redis://x"}, "index='redis://x' is no index"),
        ({"threshold": "0.9"}, "threshold='0.9' is of type str"),
        ({"index": RedisIndex("redis://127.0.0.1:1")}, "index is a RedisIndex, which other processes share"),
    ],
)
def test_what_would_fail_later_is_refused_now(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        SemanticCache(**options)


def test_the_threshold_of_a_model_that_was_measured_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmkit.middleware.semantic_cache.threshold_for", {"m": 0.9}.get)
    assert SemanticCache(embedding_model="m")._asking.similar.settings.threshold == 0.9  # type: ignore[union-attr]
