from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import httpx2
import openai
import pytest

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.errors import CallTimeout, InvalidResponse
from llmkit.middleware.batch_embeddings import batch_embeddings
from llmkit.middleware.timeouts import Timeouts
from llmkit.testing import FakeOpenAI, virtual_time
from llmkit.tokens import count_text

MODEL = "text-embedding-3-small"


def client_for(fake: FakeOpenAI, *below: Any, **options: Any) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    stack = [UsageLog(sinks=[records.append]), batch_embeddings(**options), *below]
    return fake.async_client(middleware=stack, max_retries=0), records


def embed(client: Any, given: Any, **options: Any) -> Any:
    return client.embeddings.create(**{"model": MODEL, "input": given} | options)


async def alone(given: Any, **options: Any) -> Any:
    return await embed(FakeOpenAI().async_client(middleware=[]), given, **options)


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def vectors(answer: Any) -> list[Any]:
    return [item.embedding for item in answer.data]


class Gate:
    """Middleware that holds requests up until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inputs: list[Any] = []

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        self.inputs.append(request.body["input"])
        await self.open.wait()
        return await call_next(request)


def inputs(fake: FakeOpenAI) -> list[Any]:
    """What was sent, sorted: what is due at the same time may go in either order."""
    return sorted((request.body["input"] for request in fake.requests), key=str)


async def test_concurrent_calls_are_one_request_and_each_gets_what_it_would_get_alone() -> None:
    fake = FakeOpenAI()
    client, records = client_for(fake)
    given = ["one", ["two words", "three"], "a somewhat longer text, for the tokens"]
    answers = await asyncio.gather(*(embed(client, texts) for texts in given))
    assert [request.body["input"] for request in fake.requests] == [["one", *given[1], given[2]]]
    for texts, answer in zip(given, answers, strict=True):
        expected = await alone(texts)
        assert type(answer) is type(expected)
        assert answer.to_dict() == expected.to_dict()
        assert answer._request_id == "req_fake_1"
    assert sum(record.input_tokens for record in records) == sum(
        count_text(t, model=MODEL) for t in ("one", *given[1], given[2])
    )
    assert [record.attempts for record in records] == [1, 0, 0]


async def test_each_record_has_its_share_of_the_usage() -> None:
    fake = FakeOpenAI()
    client, records = client_for(fake)
    answers = await asyncio.gather(*(embed(client, text) for text in ("a", "two of them, with commas")))
    for record, answer in zip(records, answers, strict=True):
        assert (record.input_tokens, record.total_tokens) == (answer.usage.prompt_tokens, answer.usage.total_tokens)
        assert (record.output_tokens, record.complete, record.error) == (0, True, None)
        assert (record.response_model, record.request_id) == (MODEL, "req_fake_1")


async def test_layers_above_see_each_calls_share_when_it_is_answered() -> None:
    seen: dict[str, int | None] = {}

    async def above(request: Request, call_next: CallNext) -> Any:
        answer = await call_next(request)
        seen[request.body["input"]] = request.record.total_tokens
        return answer

    client = FakeOpenAI().async_client(middleware=[above, batch_embeddings()])
    await asyncio.gather(*(embed(client, text) for text in ("one", "one two three")))
    assert seen == {"one": 1, "one two three": 3}


async def test_a_thousand_calls_are_one_request() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake)
    answers = await asyncio.gather(*(embed(client, f"text {n}", dimensions=4) for n in range(1000)))
    assert len(fake.requests) == 1
    expected = await alone([f"text {n}" for n in range(1000)], dimensions=4)
    assert [vectors(answer)[0] for answer in answers] == vectors(expected)
    assert sum(answer.usage.total_tokens for answer in answers) == expected.usage.total_tokens


async def test_token_ids_are_merged_with_token_ids_only() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake)
    given: list[Any] = [[1, 2, 3], "text", [[4], [5, 6]]]
    answers = await asyncio.gather(*(embed(client, item) for item in given))
    assert inputs(fake) == [[[1, 2, 3], [4], [5, 6]], "text"]
    assert [answer.usage.prompt_tokens for answer in answers] == [3, 1, 3]
    assert vectors(answers[2]) == vectors(await alone([[4], [5, 6]]))


@pytest.mark.parametrize(
    "other",
    [
        {"model": "text-embedding-3-large"},
        {"dimensions": 8},
        {"user": "bob"},
        {"extra_body": {"input_type": "query"}},
        {"extra_headers": {"x-team": "search"}},
        {"extra_query": {"region": "eu"}},
        {"timeout": 3},
        {"encoding_format": "float"},
        {"encoding_format": "base64"},
    ],
)
async def test_calls_that_would_be_other_requests_stay_apart(other: dict[str, Any]) -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake)
    first, second, third = await asyncio.gather(
        embed(client, "one"), embed(client, "two", **other), embed(client, "three", **other)
    )
    assert inputs(fake) == [["two", "three"], "one"]
    assert vectors(first) == vectors(await alone("one"))
    assert [vectors(second), vectors(third)] == [vectors(await alone(text, **other)) for text in ("two", "three")]


async def test_clients_and_retry_ceilings_stay_apart() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake)
    await asyncio.gather(embed(client, "one"), embed(client.with_options(max_retries=5), "two"))
    assert len(fake.requests) == 2


async def test_tags_may_differ() -> None:
    fake = FakeOpenAI()
    client, records = client_for(fake)

    async def ask(user: str) -> None:
        with llmkit.tags(user=user):
            await embed(client, "hello")

    await asyncio.gather(ask("alice"), ask("bob"))
    assert len(fake.requests) == 1
    assert [(record.tags["user"], record.input_tokens) for record in records] == [("alice", 1), ("bob", 1)]


async def test_other_operations_raw_answers_and_odd_inputs_pass_through() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake)
    raw = client.embeddings.with_raw_response
    first, second = await asyncio.gather(raw.create(model=MODEL, input="a"), raw.create(model=MODEL, input="b"))
    assert vectors(first.parse()) == vectors(await alone("a"))
    assert vectors(second.parse()) == vectors(await alone("b"))
    await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    for odd in ({"input": ""}, {"input": []}, {"input": "a", "model": 7}):
        with pytest.raises((openai.BadRequestError, TypeError)) if odd["input"] != "a" else virtual_time():
            await embed(client, **{"given": odd.pop("input")} | odd)
    assert len(fake.requests) == 6


async def test_what_cannot_be_compared_is_sent_by_itself_and_fails_as_without_batching() -> None:
    client, _ = client_for(FakeOpenAI())
    with pytest.raises(TypeError, match="not JSON serializable"):
        await embed(client, "a", extra_body={"x": object()})


async def test_an_answer_of_a_class_of_the_callers_is_asked_for_singly() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake)
    calls = (client.post("/embeddings", cast_to=object, body={"model": MODEL, "input": text}) for text in "ab")
    answers: list[Any] = await asyncio.gather(*calls)
    assert [len(answer["data"]) for answer in answers] == [1, 1]
    assert inputs(fake) == [["a", "b"], "a", "b"]


async def test_a_call_alone_is_sent_as_it_is_after_the_window() -> None:
    fake = FakeOpenAI()
    client, records = client_for(fake, window=0.25)
    with virtual_time() as clock:
        await embed(client, "one")
    assert clock.sleeps == [0.25]
    assert fake.requests[0].body["input"] == "one"
    assert records[0].attempts == 1


async def test_a_window_of_zero_merges_what_is_asked_in_the_same_pass_of_the_loop() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, window=0)
    await asyncio.gather(*(embed(client, text) for text in "abc"))
    await embed(client, "d")
    assert [request.body["input"] for request in fake.requests] == [["a", "b", "c"], "d"]


async def test_a_full_batch_does_not_wait_for_its_window() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, window=3600, max_inputs=3)
    await asyncio.gather(embed(client, ["a", "b"]), embed(client, "c"))
    assert [request.body["input"] for request in fake.requests] == [["a", "b", "c"]]


async def test_a_call_that_does_not_fit_sends_the_batch_and_begins_the_next() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, window=3600, max_inputs=3)
    await asyncio.gather(embed(client, ["a", "b"]), embed(client, ["c", "d"]), embed(client, "e"))
    assert sorted(str(request.body["input"]) for request in fake.requests) == ["['a', 'b']", "['c', 'd', 'e']"]


async def test_no_request_has_more_tokens_than_allowed_and_a_large_call_goes_alone() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, max_tokens=10)
    await asyncio.gather(*(embed(client, text) for text in ("x" * 10, "aaaa", "bbbb", "cccc", "dddd")))
    assert sorted(str(request.body["input"]) for request in fake.requests) == [
        "['aaaa', 'bbbb']",
        "['cccc', 'dddd']",
        "xxxxxxxxxx",
    ]


async def test_a_bad_input_fails_only_its_own_caller() -> None:
    fake = FakeOpenAI(max_prompt_tokens=8)
    client, records = client_for(fake)
    good, bad, also_good = await asyncio.gather(
        embed(client, "one"), embed(client, "word " * 20), embed(client, "two"), return_exceptions=True
    )
    assert isinstance(bad, openai.BadRequestError)
    assert vectors(good) == vectors(await alone("one"))
    assert vectors(also_good) == vectors(await alone("two"))
    assert len(fake.requests) == 4
    assert sorted(record.attempts for record in records) == [1, 1, 2]
    assert sorted(record.input_tokens or 0 for record in records) == [0, 1, 1]


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_merged_request_that_is_rejected_is_asked_again_in_single_ones(status: int) -> None:
    fake = FakeOpenAI().error(status)
    client, records = client_for(fake)
    answers = await asyncio.gather(*(embed(client, text) for text in "ab"))
    assert inputs(fake) == [["a", "b"], "a", "b"]
    assert [vectors(answer) for answer in answers] == [vectors(await alone(text)) for text in "ab"]
    assert [(record.error, record.complete, record.input_tokens) for record in records] == [(None, True, 1)] * 2


async def test_another_error_is_raised_to_all_as_an_exception_of_their_own() -> None:
    fake = FakeOpenAI().error(500, message="down").error(503, code="overloaded", message="still down")
    client, records = client_for(fake, Retry(max_retries=1))
    client = client.with_options(max_retries=1)
    with virtual_time():
        errors: Any = await asyncio.gather(*(embed(client, text) for text in "abc"), return_exceptions=True)
    assert len(fake.requests) == 2
    assert [type(error) for error in errors] == [openai.InternalServerError] * 3
    assert {(error.status_code, error.code, error.request_id) for error in errors} == {
        (503, "overloaded", "req_fake_2")
    }
    assert all(str(error) == str(errors[0]) and "still down" in str(error) for error in errors)
    assert len({id(error) for error in errors}) == 3
    errors[1].add_note("mine")
    assert not any("mine" in getattr(error, "__notes__", []) for error in (errors[0], errors[2]))
    assert [(record.status_code, record.attempts) for record in sorted(records, key=lambda r: -r.attempts)] == [
        (503, 2), (503, 0), (503, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("delay", [0.0, 3.0])
async def test_a_timeouts_above_ends_the_calls_of_a_batch_together_and_nothing_more_is_sent(delay: float) -> None:
    fake = FakeOpenAI(delay=delay)
    records: list[CallRecord] = []
    stack = [UsageLog(sinks=[records.append]), Timeouts(total=2), batch_embeddings(window=0.5), Retry()]
    client = fake.async_client(middleware=stack)
    with virtual_time():
        answers = await asyncio.gather(*(embed(client, text) for text in "abc"), return_exceptions=True)
    assert [isinstance(answer, CallTimeout) for answer in answers] == [delay > 2] * 3
    assert [request.body["input"] for request in fake.requests] == [["a", "b", "c"]]
    assert sorted(record.attempts for record in records) == [0, 0, 1]


async def test_notes_and_causes_are_copied_with_an_error() -> None:
    fake = FakeOpenAI().fail(httpx2.ConnectError("refused"))

    async def noting(request: Request, call_next: CallNext) -> Any:
        try:
            return await call_next(request)
        except openai.APIConnectionError as error:
            error.add_note("check the proxy")
            raise

    client, _ = client_for(fake, noting)
    errors: Any = await asyncio.gather(*(embed(client, text) for text in "ab"), return_exceptions=True)
    for error in errors:
        assert isinstance(error, openai.APIConnectionError)
        assert error.__notes__[0] == "check the proxy"
        assert len({*error.__notes__}) == len(error.__notes__)
        assert isinstance(error.__cause__, httpx2.ConnectError)
        assert error.request.url.path.endswith("/embeddings")
    assert errors[0].__notes__ is not errors[1].__notes__


async def test_too_few_embeddings_are_an_error_for_all() -> None:
    one = {"object": "embedding", "index": 0, "embedding": [1.0]}
    body = {"object": "list", "model": MODEL, "data": [one], "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    fake = FakeOpenAI().respond(httpx2.Response(200, json=body))
    client, records = client_for(fake)
    errors = await asyncio.gather(*(embed(client, text) for text in "ab"), return_exceptions=True)
    assert [type(error) for error in errors] == [InvalidResponse, InvalidResponse]
    assert [record.error for record in records] == ["InvalidResponse"] * 2
    assert len(fake.requests) == 1


async def test_a_follower_cancelled_in_the_window_is_not_sent() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, window=3600, max_inputs=3)
    tasks = [asyncio.create_task(embed(client, text)) for text in "ab"]
    await turns()
    tasks[1].cancel()
    await turns()
    tasks += [asyncio.create_task(embed(client, text)) for text in "cd"]
    first, second, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(second, asyncio.CancelledError)
    assert [request.body["input"] for request in fake.requests] == [["a", "c", "d"]]
    assert [vectors(answer) for answer in (first, *others)] == [vectors(await alone(text)) for text in "acd"]


async def test_a_sender_cancelled_in_the_window_hands_over() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, window=3600)
    tasks = [asyncio.create_task(embed(client, text)) for text in "abc"]
    await turns()
    tasks[0].cancel()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert [request.body["input"] for request in fake.requests] == [["b", "c"]]
    assert [vectors(other) for other in others] == [vectors(await alone("b")), vectors(await alone("c"))]


async def test_a_sender_cancelled_while_it_sends_hands_over_and_nobody_hangs() -> None:
    fake, gate = FakeOpenAI(), Gate()
    client, records = client_for(fake, gate, window=0)
    tasks = [asyncio.create_task(embed(client, text)) for text in "abcd"]
    while not gate.inputs:
        await asyncio.sleep(0)
    tasks[2].cancel()  # its input is on its way; its result is dropped
    await turns()
    tasks[0].cancel()
    while len(gate.inputs) < 2:
        await asyncio.sleep(0)
    tasks[1].cancel()  # it has just taken over
    await turns()
    gate.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result).__name__ for result in results[:3]] == ["CancelledError"] * 3
    assert vectors(results[3]) == vectors(await alone("d"))
    assert gate.inputs == [["a", "b", "c", "d"], ["b", "d"], "d"]
    assert len(fake.requests) == 1
    assert sum(record.input_tokens or 0 for record in records) == 1


async def test_what_a_call_that_is_gone_was_billed_is_on_the_record_of_the_one_that_sends() -> None:
    fake, gate = FakeOpenAI(), Gate()
    seen: list[tuple[str, int | None]] = []
    sink = UsageLog(sinks=[lambda record: seen.append((record.outcome, record.total_tokens))])
    client = fake.async_client(middleware=[sink, batch_embeddings(window=0), gate])
    tasks = [asyncio.create_task(embed(client, text)) for text in ("one", "one two three", "one two")]
    while not gate.inputs:
        await asyncio.sleep(0)
    tasks[1].cancel()
    await turns()
    gate.open.set()
    first, _, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert seen == [("cancelled", None), ("ok", 1 + 3), ("ok", 2)]
    assert (first.usage.total_tokens, last.usage.total_tokens) == (1, 2)


async def test_a_usage_without_a_total_is_shared_too() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        data = [{"object": "embedding", "index": place, "embedding": [1.0]} for place in range(4)]
        body = {"object": "list", "model": MODEL, "data": data, "usage": {"prompt_tokens": 400}}
        return httpx2.Response(200, json=body)

    records: list[CallRecord] = []
    stack = [UsageLog(sinks=[records.append]), batch_embeddings()]
    http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    client = llmkit.AsyncOpenAI(api_key="sk-test", middleware=stack, http_client=http_client)
    await asyncio.gather(*(embed(client, f"text {number}") for number in range(4)))
    assert [(record.input_tokens, record.total_tokens) for record in records] == [(100, 100)] * 4


async def test_a_batch_that_everybody_left_is_forgotten() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, window=3600)
    layer: Any = client._llmkit.middleware[1]  # type: ignore[attr-defined]
    tasks = [asyncio.create_task(embed(client, text)) for text in "ab"]
    await turns()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert layer._open == {}
    assert fake.requests == []


async def test_a_call_that_comes_while_a_batch_is_on_its_way_is_in_the_next() -> None:
    fake, gate = FakeOpenAI(), Gate()
    client, _ = client_for(fake, gate, window=0)
    tasks = [asyncio.create_task(embed(client, text)) for text in "ab"]
    while not gate.inputs:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(embed(client, text)) for text in "cd"]
    gate.open.set()
    await asyncio.gather(*tasks)
    assert gate.inputs == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_is_cancelled_or_fails_the_others_get_their_own(seed: int) -> None:
    random = Random(seed)
    fake, billed = FakeOpenAI(), [0]

    async def moody(request: Request, call_next: CallNext) -> Any:
        await turns(random.randrange(30))
        if random.random() < 0.2:
            fake.error(random.choice((400, 500)))
        answer = await call_next(request)
        billed[0] += answer.usage.total_tokens
        await turns(random.randrange(5))
        return answer

    client, records = client_for(fake, moody, window=0.001, max_inputs=7)

    async def ask(number: int) -> None:
        await turns(random.randrange(200))
        given = [f"{number} {place}" for place in range(random.randrange(1, 4))]
        answer = await embed(client, given, dimensions=16)
        assert vectors(answer) == vectors(await alone(given, dimensions=16))
        assert answer.usage.total_tokens == sum(count_text(text, model=MODEL) for text in given)

    tasks = [asyncio.create_task(ask(number)) for number in range(100)]
    for task in random.sample(tasks, 30):
        await turns(random.randrange(10))
        task.cancel()
    async with asyncio.timeout(30):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result).__name__ for result in results} <= {
        "NoneType", "CancelledError", "InternalServerError", "BadRequestError",
    }  # fmt: skip
    assert len([result for result in results if result is None]) > 20
    layer: Any = client._llmkit.middleware[1]  # type: ignore[attr-defined]
    assert layer._open == {}
    answered = sum(record.total_tokens or 0 for record in records if record.error is None)
    assert answered <= billed[0]  # what the cancelled had asked for has no record of its own


def in_threads(*calls: Callable[[], Any]) -> list[Any]:
    results: list[Any] = [None] * len(calls)

    def run(place: int) -> None:
        results[place] = calls[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


async def test_threads_of_a_sync_client_share_a_batch() -> None:
    fake, records = FakeOpenAI(), list[CallRecord]()
    stack = [UsageLog(sinks=[records.append]), batch_embeddings(window=60, max_inputs=4)]
    client = fake.client(middleware=stack)
    texts = ["one", "two words", "three", "four"]
    answers = in_threads(*(lambda text=text: embed(client, text) for text in texts))
    assert len(fake.requests) == 1
    assert sorted(fake.requests[0].body["input"]) == sorted(texts)
    assert [vectors(answer) for answer in answers] == [vectors(await alone(text)) for text in texts]
    assert sum(record.input_tokens or 0 for record in records) == 5


def test_a_sync_call_alone_waits_for_its_window_only() -> None:
    fake = FakeOpenAI()
    client = fake.client(middleware=[batch_embeddings(window=0.1)])
    with virtual_time() as clock:
        embed(client, "one")
    assert clock.sleeps == [0.1]


async def test_event_loops_do_not_share_batches() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, window=0.02)

    async def two(*texts: str) -> None:
        await asyncio.gather(*(embed(client, text) for text in texts))

    await asyncio.to_thread(lambda: in_threads(lambda: asyncio.run(two("a", "b")), lambda: asyncio.run(two("c", "d"))))
    assert sorted(request.body["input"] for request in fake.requests) == [["a", "b"], ["c", "d"]]


async def test_azure_clients_batch_per_deployment() -> None:
    fake = FakeOpenAI()
    client = llmkit.AsyncAzureOpenAI(
        api_key="k",
        api_version="2024-10-21",
        azure_endpoint="https://me.openai.azure.com",
        http_client=fake.async_http_client(),
        middleware=[batch_embeddings()],
    )
    await asyncio.gather(embed(client, "a"), embed(client, "b"), embed(client, "c", model="other"))
    assert {request.path: request.body["input"] for request in fake.requests} == {
        f"/openai/deployments/{MODEL}/embeddings": ["a", "b"],
        "/openai/deployments/other/embeddings": "c",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": -1}, "window=-1 must be 0 or more"),
        ({"window": float("nan")}, "window=nan"),
        ({"max_inputs": 0}, "max_inputs=0 must be at least 1"),
        ({"max_tokens": 0}, "max_tokens=0 must be at least 1"),
    ],
)
def test_impossible_limits_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batch_embeddings(**options)
