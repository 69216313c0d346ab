from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import redis
from budgets import spender
from budgets.ledgers import KINDS, Remote, opened
from openai.types.chat import ChatCompletion
from pydantic import BaseModel
from redis_servers import LocalRedis
from surfaces import CHAT, RESPONSES

import llmkit
from llmkit import CallNext, Request, Retry, UsageLog, tags
from llmkit.budgets import Ledger, MemoryLedger, RedisLedger, SQLiteLedger
from llmkit.errors import BudgetExceeded, LedgerUnavailable, RedisUnavailable, UnknownPrice
from llmkit.middleware.budget import Budget
from llmkit.streaming.facts import note_usage
from llmkit.testing import FakeOpenAI, virtual_time
from llmkit.tokens import count_request

INPUT = count_request(CHAT, operation="chat.completions").total
EXPECTED = INPUT + 500
LIMITED: Any = CHAT | {"max_completion_tokens": 20}
USED: Any = {"prompt_tokens": 1_000, "completion_tokens": 100}
# gpt-4o-mini: 0.15 USD a million input tokens, 0.075 cached, 0.60 output (OpenAI's price list, 2026)
USD_USED = Decimal("0.00021")
USD_EXPECTED = (INPUT * Decimal("0.15") + 500 * Decimal("0.60")) / 10**6


def tokens(budget: Budget, **tags: Any) -> int | Decimal:
    return budget.spent(**tags)["daily_tokens"].spent


def dollars(budget: Budget, **tags: Any) -> int | Decimal:
    return budget.spent(**tags)["daily_usd"].spent


class Gate:
    """A layer below the budget in which calls wait until they may go on."""

    def __init__(self) -> None:
        self.waiting = 0
        self.open = asyncio.Event()

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        self.waiting += 1
        await self.open.wait()
        return await call_next(request)

    async def has(self, calls: int) -> None:
        while self.waiting < calls:
            await asyncio.sleep(0)


async def test_what_a_call_used_is_booked_exactly() -> None:
    budget = Budget(daily_tokens=10_000, monthly_usd="1.5", minute_usd=1)
    client = FakeOpenAI().reply("blue", usage=USED).async_client(middleware=[budget])
    with virtual_time():
        await client.chat.completions.create(**CHAT)
        assert budget.spent() == {
            "daily_tokens": (1_100, 10_000, datetime(2023, 11, 15, tzinfo=UTC), 0),
            "minute_usd": (USD_USED, Decimal(1), datetime(2023, 11, 14, 22, 14, tzinfo=UTC), 0),
            "monthly_usd": (USD_USED, Decimal("1.5"), datetime(2023, 12, 1, tzinfo=UTC), 0),
        }


async def test_cached_tokens_are_booked_at_their_own_price() -> None:
    budget = Budget(daily_usd=1)
    fake = FakeOpenAI().reply("blue", usage=USED | {"prompt_tokens_details": {"cached_tokens": 800}})
    await fake.async_client(middleware=[budget]).chat.completions.create(**CHAT)
    assert dollars(budget) == Decimal("0.00015")


async def test_the_sum_of_many_small_prices_is_exact() -> None:
    budget = Budget(daily_usd=1)
    client = FakeOpenAI().async_client(middleware=[budget])
    for _ in range(10):
        await client.embeddings.create(model="text-embedding-3-small", input="blue")
    assert dollars(budget) == Decimal("0.0000002")  # a token each, at 0.02 USD a million


async def test_while_a_call_runs_its_input_and_the_output_it_allows_are_set_aside() -> None:
    budget, gate = Budget(daily_tokens=10_000, daily_usd=1), Gate()
    client = FakeOpenAI().reply("blue", usage=USED).reply("blue", usage=USED).async_client(middleware=[budget, gate])
    calls = [asyncio.create_task(client.chat.completions.create(**body)) for body in (CHAT, LIMITED | {"n": 2})]
    await gate.has(2)
    assert tokens(budget) == EXPECTED + INPUT + 2 * 20
    assert dollars(budget) == USD_EXPECTED + (INPUT * Decimal("0.15") + 40 * Decimal("0.60")) / 10**6
    gate.open.set()
    await asyncio.gather(*calls)
    assert (tokens(budget), dollars(budget)) == (2_200, 2 * USD_USED)


async def test_a_call_that_does_not_fit_is_not_sent_and_the_error_says_why_and_until_when() -> None:
    fake, budget = FakeOpenAI().reply("blue", usage=USED), Budget(daily_usd="0.0005", per="user")
    client = fake.async_client(middleware=[budget])
    with virtual_time(), tags(user="alice"):
        await client.chat.completions.create(**CHAT)
        with pytest.raises(BudgetExceeded) as caught:
            await client.chat.completions.create(**CHAT)
        assert dollars(budget, user="alice") == USD_USED
    error = caught.value
    assert (error.name, error.per, error.limit, error.spent) == (
        "daily_usd",
        {"user": "alice"},
        Decimal("0.0005"),
        USD_USED,
    )
    assert error.expected == USD_EXPECTED
    assert error.resets_at == datetime(2023, 11, 15, tzinfo=UTC)
    assert "daily_usd of user 'alice' has no room" in str(error)
    assert "resets at 2023-11-15 00:00 UTC" in str(error)
    assert len(fake.requests) == 1


async def test_what_was_used_beyond_the_prediction_is_booked_in_full_and_stops_the_next_call() -> None:
    budget = Budget(daily_tokens=1_000)
    client = FakeOpenAI().reply("blue", usage=USED).async_client(middleware=[budget])
    await client.chat.completions.create(**CHAT)
    assert tokens(budget) == 1_100
    with pytest.raises(BudgetExceeded, match="1100 tokens of 1000 tokens are spent"):
        await client.chat.completions.create(**LIMITED)


async def test_output_tokens_is_the_prediction_where_the_request_sets_no_limit() -> None:
    client = FakeOpenAI().async_client(middleware=[Budget(daily_tokens=100, output_tokens=90)])
    with pytest.raises(BudgetExceeded) as caught:
        await client.chat.completions.create(**CHAT)
    assert caught.value.expected == INPUT + 90


@pytest.mark.parametrize(
    "fail",
    [
        lambda fake: fake.error(400),
        lambda fake: fake.error(500),
        lambda fake: fake.fail(httpx2.ConnectError("refused")),
        lambda fake: fake.fail(httpx2.ConnectTimeout("silent")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_was_never_served_gives_everything_back(
    fail: Callable[[FakeOpenAI], object], stream: bool
) -> None:
    budget, fake = Budget(daily_tokens=10_000, daily_usd=1), FakeOpenAI()
    fail(fake)
    client = fake.async_client(middleware=[budget], max_retries=0)
    with pytest.raises(openai.APIError):
        await client.chat.completions.create(**CHAT, stream=stream)
    assert (tokens(budget), dollars(budget)) == (0, 0)


async def test_a_failed_call_gives_back_at_once_what_other_processes_may_need() -> None:
    ledger = Remote()
    client = FakeOpenAI().error(400).async_client(middleware=[Budget(daily_tokens=10_000, ledger=ledger)])
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(**CHAT)
    assert [amounts for _, amounts in ledger.settled] == [[-EXPECTED]]


async def test_figures_that_cannot_be_take_nothing_from_what_others_have_spent() -> None:
    def answer(used: int) -> httpx2.Response:
        usage = {"prompt_tokens": used, "completion_tokens": 0, "total_tokens": used}
        return httpx2.Response(200, json={"id": "x", "model": "gpt-4o-mini", "choices": [], "usage": usage})

    budget = Budget(daily_tokens=10_000, daily_usd=1)
    client = FakeOpenAI().respond(answer(1_000)).respond(answer(-300)).async_client(middleware=[budget])
    for _ in range(2):
        await client.chat.completions.create(**CHAT)
    assert (tokens(budget), dollars(budget)) == (1_000 + EXPECTED, Decimal("0.00015") + USD_EXPECTED)


async def test_an_answer_that_timed_out_or_broke_off_may_be_billed_and_stays_booked_as_predicted() -> None:
    budget = Budget(daily_tokens=10_000, daily_usd=1)
    fake = FakeOpenAI().fail(httpx2.ReadTimeout("slow")).drop("blue", after=1)
    client = fake.async_client(middleware=[budget], max_retries=0)
    for _ in range(2):
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(**CHAT)
    assert (tokens(budget), dollars(budget)) == (2 * EXPECTED, 2 * USD_EXPECTED)


async def test_an_answer_that_the_sdk_cannot_parse_stays_booked_as_predicted() -> None:
    class Colour(BaseModel):
        name: str

    budget = Budget(daily_tokens=10_000)
    client = FakeOpenAI().reply('{"na', finish_reason="length").async_client(middleware=[budget])
    with pytest.raises(openai.LengthFinishReasonError):
        await client.chat.completions.parse(**LIMITED, response_format=Colour)
    assert tokens(budget) > INPUT + 20


async def test_retries_below_count_once_and_after_the_last_one_everything_is_given_back() -> None:
    budget, fake = Budget(daily_tokens=10_000), FakeOpenAI().error(500).reply("blue", usage=USED)
    client = fake.async_client(middleware=[budget, Retry(max_retries=1)])
    with virtual_time():
        await client.chat.completions.create(**CHAT)
        assert tokens(budget) == 1_100
        fake.error(500).error(503)
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(**CHAT)
        assert tokens(budget) == 1_100


async def test_retries_above_settle_each_pass_for_itself() -> None:
    budget, fake = Budget(daily_tokens=10_000), FakeOpenAI().error(500).reply("blue", usage=USED)
    with virtual_time():
        await fake.async_client(middleware=[Retry(), budget]).chat.completions.create(**CHAT)
        assert tokens(budget) == 1_100


async def test_an_answer_that_a_layer_below_has_costs_nothing_and_is_settled_at_once() -> None:
    async def cache(request: Request, call_next: CallNext) -> Any:
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": []}
        return ChatCompletion.model_validate(answer | {"usage": usage})

    ledger = Remote()
    budget = Budget(daily_tokens=10_000, ledger=ledger)
    await FakeOpenAI().async_client(middleware=[budget, cache]).chat.completions.create(**CHAT)
    assert [amounts for _, amounts in ledger.settled] == [[-EXPECTED]]
    assert tokens(budget) == 0


async def test_a_share_in_a_request_that_another_call_has_sent_is_booked() -> None:
    async def share(request: Request, call_next: CallNext) -> Any:
        if request.model == "text-embedding-3-large":
            raise ValueError("the request failed")
        note_usage(request.record, {"prompt_tokens": 1_000, "total_tokens": 1_000})
        return {"data": []}

    budget = Budget(daily_tokens=10_000, daily_usd=1)
    client = FakeOpenAI().async_client(middleware=[budget, share])
    await client.embeddings.create(model="text-embedding-3-small", input="blue")
    with pytest.raises(ValueError, match="the request failed"):
        await client.embeddings.create(model="text-embedding-3-large", input="blue")
    assert (tokens(budget), dollars(budget)) == (1_000, Decimal("0.00002"))


async def test_a_refusal_of_a_layer_below_gives_everything_back() -> None:
    ledger = MemoryLedger()
    overall, own = Budget(daily_tokens=10_000, ledger=ledger), Budget(daily_tokens=100, per="user", ledger=ledger)
    client = FakeOpenAI().async_client(middleware=[overall, own])
    with pytest.raises(BudgetExceeded):
        await client.chat.completions.create(**CHAT)
    assert (tokens(overall), tokens(own)) == (0, 0)


async def test_a_stream_is_settled_when_it_ends() -> None:
    budget = Budget(daily_tokens=10_000, daily_usd=1)
    client = FakeOpenAI().reply("blue", usage=USED).async_client(middleware=[UsageLog(sinks=[]), budget])
    stream = await client.chat.completions.create(**CHAT, stream=True)
    assert tokens(budget) == EXPECTED
    assert [chunk async for chunk in stream]
    assert (tokens(budget), dollars(budget)) == (1_100, USD_USED)


async def test_a_stream_that_is_closed_is_settled_as_estimated() -> None:
    budget = Budget(daily_tokens=10_000, daily_usd=1)
    records: list[llmkit.CallRecord] = []
    client = (
        FakeOpenAI().reply("blue and green and red").async_client(middleware=[UsageLog(sinks=[records.append]), budget])
    )
    stream = await client.chat.completions.create(**CHAT, stream=True)
    await anext(stream)
    await anext(stream)
    await stream.close()
    (record,) = records
    assert record.estimated
    assert tokens(budget) == record.total_tokens < EXPECTED
    assert 0 < dollars(budget) < USD_EXPECTED


async def test_a_stream_that_is_cancelled_is_settled_as_estimated() -> None:
    budget = Budget(daily_tokens=10_000)
    client = FakeOpenAI(delay=30).reply("blue and green and red").async_client(middleware=[budget])
    begun = asyncio.Event()

    async def read() -> None:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        begun.set()
        _ = [chunk async for chunk in stream]

    call = asyncio.create_task(read())
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert 0 < tokens(budget) < EXPECTED


async def test_a_stream_that_breaks_off_is_settled_as_estimated() -> None:
    budget = Budget(daily_tokens=10_000)
    client = FakeOpenAI().drop("blue and green and red", after=3).async_client(middleware=[budget])
    with pytest.raises(openai.APIConnectionError):
        _ = [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]
    assert 0 < tokens(budget) < EXPECTED


async def test_a_stream_that_takes_the_place_of_another_is_settled_with_it_when_it_ends() -> None:
    left: list[int | None] = []

    async def again(request: Request, call_next: CallNext) -> Any:
        await (await call_next(request)).close()
        left.append(request.record.total_tokens)
        return await call_next(request)

    budget = Budget(daily_tokens=10_000)
    fake = FakeOpenAI().reply("red").reply("blue", usage=USED)
    stream = await fake.async_client(middleware=[UsageLog(sinks=[]), budget, again]).chat.completions.create(
        **CHAT, stream=True
    )
    assert tokens(budget) == EXPECTED
    _ = [chunk async for chunk in stream]
    assert tokens(budget) == 1_100 + (left[0] or 0) > 1_100


async def test_raw_and_streaming_responses_are_settled_when_they_are_read() -> None:
    budget = Budget(daily_tokens=10_000)
    client = FakeOpenAI().reply("blue", usage=USED).reply("blue", usage=USED).async_client(middleware=[budget])
    await client.chat.completions.with_raw_response.create(**CHAT)
    assert tokens(budget) == 1_100
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        assert tokens(budget) == 1_100 + EXPECTED
        await response.read()
    assert tokens(budget) == 2_200


async def test_an_answer_without_usage_stays_booked_as_predicted() -> None:
    budget = Budget(daily_tokens=10_000)
    client = FakeOpenAI().respond(httpx2.Response(200, content=b"sound")).async_client(middleware=[budget])
    await client.audio.speech.create(model="tts-1", voice="alloy", input="hi")
    assert tokens(budget) == 501


async def test_a_call_cancelled_before_it_was_sent_gives_everything_back_and_later_it_stays_booked() -> None:
    budget, gate = Budget(daily_tokens=10_000), Gate()
    client = FakeOpenAI(delay=30).async_client(middleware=[budget, gate])
    call = asyncio.create_task(client.chat.completions.create(**CHAT))
    await gate.has(1)
    assert tokens(budget) == EXPECTED
    call.cancel()
    await asyncio.wait([call])
    assert tokens(budget) == 0
    gate.open.set()
    records: list[llmkit.CallRecord] = []

    async def keep(request: Request, call_next: CallNext) -> Any:
        records.append(request.record)
        return await call_next(request)

    client = FakeOpenAI(delay=30).async_client(middleware=[budget, keep])
    call = asyncio.create_task(client.chat.completions.create(**CHAT))
    while not (records and records[0].attempts):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    assert tokens(budget) == EXPECTED


async def test_each_value_of_a_tag_has_its_own_budget_and_the_untagged_share_one() -> None:
    budget, fake = Budget(daily_tokens=1_600, per="user"), FakeOpenAI()
    client = fake.async_client(middleware=[budget])

    async def call(used: int, **labels: Any) -> None:
        fake.reply("blue", usage={"prompt_tokens": used, "completion_tokens": 0})
        with tags(**labels):
            await client.chat.completions.create(**CHAT)

    await call(1_100, user="alice", feature="search")
    await call(1_200, user="bob")
    await call(1_300)
    assert [tokens(budget, user=user) for user in ("alice", "bob", "eve")] == [1_100, 1_200, 0]
    assert tokens(budget) == 1_300
    for labels in ({"user": "alice"}, {"user": "bob"}, {}, {"feature": "search"}):
        with pytest.raises(BudgetExceeded) as caught:
            await call(0, **labels)
        assert caught.value.per == {name: value for name, value in labels.items() if name == "user"}
    await call(1, user="eve")


async def test_a_budget_of_two_tags_is_spent_by_those_who_have_both() -> None:
    budget = Budget(daily_tokens=10_000, per=("user", "feature"))
    client = FakeOpenAI().reply("blue", usage=USED).async_client(middleware=[budget])
    with tags(user="alice", feature="search"):
        await client.chat.completions.create(**CHAT)
    assert tokens(budget, feature="search", user="alice") == 1_100
    assert tokens(budget, user="alice") == tokens(budget, feature="search") == tokens(budget) == 0
    with pytest.raises(ValueError, match=r"this budget is per \('feature', 'user'\), not per team"):
        budget.spent(team="x")


@pytest.mark.parametrize("kind", KINDS)
async def test_budgets_on_one_ledger_share_figures_by_name_only(kind: str, redis_url: str) -> None:
    with opened(kind, redis_url) as make:
        stack = [
            Budget(daily_tokens=10_000, ledger=make()),
            Budget(daily_tokens=10_000, per="user", ledger=make()),
            Budget(daily_tokens=10_000, per="user", name="trial", ledger=make()),
        ]
        client = FakeOpenAI().reply("blue", usage=USED).async_client(middleware=stack)
        with tags(user="alice"):
            await client.chat.completions.create(**CHAT)
        assert [tokens(stack[0]), tokens(stack[1], user="alice"), tokens(stack[2], user="alice")] == [1_100] * 3
        assert tokens(stack[1]) == 0
        assert tokens(Budget(daily_tokens=1, per="user", ledger=make()), user="alice") == 1_100
        for budget in stack:
            budget.close()


async def test_a_new_window_begins_at_nothing() -> None:
    budget, fake = Budget(minute_tokens=1_000, daily_tokens=2_000, monthly_tokens=10_000), FakeOpenAI()
    client = fake.async_client(middleware=[budget])
    resets: list[tuple[str, datetime]] = []
    with virtual_time(start=datetime(2026, 11, 29, 23, 58, 30, tzinfo=UTC).timestamp()) as clock:
        for _ in range(7):
            try:
                fake.reply("blue", usage={"prompt_tokens": 900, "completion_tokens": 0})
                await client.chat.completions.create(**CHAT)
            except BudgetExceeded as error:
                resets.append((error.name, error.resets_at))
            clock.advance(20)
        assert resets == [
            ("minute_tokens", datetime(2026, 11, 29, 23, 59, tzinfo=UTC)),
            ("minute_tokens", datetime(2026, 11, 30, tzinfo=UTC)),
            ("minute_tokens", datetime(2026, 11, 30, tzinfo=UTC)),
            ("minute_tokens", datetime(2026, 11, 30, 0, 1, tzinfo=UTC)),
        ]
        spent = budget.spent()
        assert {name: figure.spent for name, figure in spent.items()} == {
            "minute_tokens": 900,
            "daily_tokens": 900,
            "monthly_tokens": 2_700,
        }
        clock.advance(86_400)
        assert [figure.spent for figure in budget.spent().values()] == [0, 0, 0]


async def test_a_call_that_ends_in_the_next_window_is_booked_where_it_began() -> None:
    budget, gate = Budget(minute_tokens=10_000, monthly_tokens=10_000), Gate()
    client = FakeOpenAI().reply("blue", usage=USED).async_client(middleware=[budget, gate])
    with virtual_time(start=datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()) as clock:
        call = asyncio.create_task(client.chat.completions.create(**CHAT))
        await gate.has(1)
        clock.advance(2)
        gate.open.set()
        await call
        assert [figure.spent for figure in budget.spent().values()] == [0, 0]
        clock.advance(-2)
        assert [figure.spent for figure in budget.spent().values()] == [1_100, 1_100]


async def test_a_model_without_a_price_is_refused_by_a_budget_of_dollars_only() -> None:
    fake = FakeOpenAI()
    client = fake.async_client(middleware=[Budget(daily_usd=1)])
    with pytest.raises(UnknownPrice, match=r"the price of 'my-model' is not known.*unknown_price='allow'"):
        await client.chat.completions.create(**CHAT | {"model": "my-model"})
    with pytest.raises(UnknownPrice, match="a request without a model"):
        await client.responses.create(prompt={"id": "pmpt_1"})
    assert fake.requests == []
    await fake.async_client(middleware=[Budget(daily_tokens=9_999)]).chat.completions.create(
        **CHAT | {"model": "my-model"}
    )


async def test_an_unknown_price_that_is_allowed_is_counted_as_such_and_never_as_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    budget, fake = Budget(daily_usd=1, daily_tokens=9_999, unknown_price="allow"), FakeOpenAI().error(400)
    client = fake.async_client(middleware=[budget], max_retries=0)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(**CHAT | {"model": "my-model"})
    assert budget.spent()["daily_usd"].unpriced == 0
    for _ in range(2):
        fake.reply("blue", usage=USED)
        await client.chat.completions.create(**CHAT | {"model": "my-model"})
    standing = budget.spent()
    assert (standing["daily_usd"].spent, standing["daily_usd"].unpriced, standing["daily_tokens"].spent) == (
        0,
        2,
        2_200,
    )
    assert [message for message in caplog.messages if "price" in message] == [
        "the price of 'my-model' is not known: a budget counts its tokens but not its dollars"
    ]


async def test_where_the_answer_names_a_model_with_a_price_that_is_booked() -> None:
    budget = Budget(daily_usd=1, unknown_price="allow")
    fake = FakeOpenAI(model="gpt-4o-mini-2024-07-18").reply("blue", usage=USED)
    await fake.async_client(middleware=[budget]).chat.completions.create(**CHAT | {"model": "my-alias"})
    assert budget.spent()["daily_usd"][::3] == (USD_USED, 0)


async def test_where_nobody_knows_the_price_of_what_answered_the_prediction_stays_booked() -> None:
    async def fallback(request: Request, call_next: CallNext) -> Any:
        request.record.sent_model = "cheap-model"
        return await call_next(request.replace(model="cheap-model"))

    budget = Budget(daily_usd=1, daily_tokens=9_999)
    client = FakeOpenAI().reply("blue", usage=USED).async_client(middleware=[budget, fallback])
    await client.chat.completions.create(**CHAT)
    assert (tokens(budget), dollars(budget)) == (1_100, USD_EXPECTED)


async def test_a_price_function_is_asked_first_and_may_fail_when_it_is_too_late(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def price(*, model: str, input_tokens: int, output_tokens: int, cached_tokens: int) -> Decimal | None:
        if input_tokens == 1_000:
            raise KeyError("secret")
        return Decimal("0.25") if model == "my-model" else None

    budget = Budget(daily_usd=1, price=price)
    fake = FakeOpenAI().reply("blue").reply("blue", usage=USED)
    client = fake.async_client(middleware=[budget])
    for spent in ("0.25", "0.5"):
        answer = await client.chat.completions.create(**CHAT | {"model": "my-model"})
        assert answer.choices[0].message.content == "blue"
        assert dollars(budget) == Decimal(spent)
    assert "the price function of a Budget failed with KeyError" in caplog.messages
    assert "secret" not in caplog.text


async def test_what_is_free_or_no_answer_is_not_counted() -> None:
    budget = Budget(daily_tokens=1)
    fake = FakeOpenAI()
    client = fake.async_client(middleware=[budget])
    assert [model async for model in client.models.list()]
    fake.respond(httpx2.Response(200, json={"id": "x", "model": "m", "results": []}))
    await client.moderations.create(model="omni-moderation-latest", input="hello " * 50)
    assert tokens(budget) == 0


async def test_responses_are_counted_like_chats() -> None:
    budget = Budget(daily_tokens=10_000, daily_usd=1)
    client = (
        FakeOpenAI()
        .reply("blue", usage={"input_tokens": 1_000, "output_tokens": 100})
        .async_client(middleware=[budget])
    )
    await client.responses.create(**RESPONSES)
    assert (tokens(budget), dollars(budget)) == (1_100, USD_USED)


@pytest.mark.parametrize("kind", KINDS)
async def test_of_200_interleaved_calls_exactly_those_pass_that_fit(kind: str, redis_url: str) -> None:
    fake, gate = FakeOpenAI(), Gate()
    for _ in range(50):
        fake.reply("blue", usage={"prompt_tokens": INPUT, "completion_tokens": 20})
    with opened(kind, redis_url) as make:
        budget = Budget(daily_tokens=50 * (INPUT + 20), ledger=make())
        client = fake.async_client(middleware=[budget, gate])
        calls = [asyncio.create_task(client.chat.completions.create(**LIMITED)) for _ in range(200)]
        while len([call for call in calls if call.done()]) < 150:
            await asyncio.sleep(0.001)
        assert gate.waiting == 50
        gate.open.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, BudgetExceeded) for result in results) == 150
        assert len(fake.requests) == 50
        assert await asyncio.to_thread(tokens, budget) == 50 * (INPUT + 20)
        with pytest.raises(BudgetExceeded):
            await client.chat.completions.create(**LIMITED)
        budget.close()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_processes_together_never_pass_one_call_too_many(kind: str, redis_url: str, tmp_path: Path) -> None:
    where = redis_url if kind == "redis" else str(tmp_path / "budget.db")
    command = [sys.executable, spender.__file__, kind, where, f"test-{uuid.uuid4().hex}", str(50 * spender.TOKENS)]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin
        child.stdin.write("go\n")
        child.stdin.flush()
    passed = [int(child.communicate(timeout=60)[0]) for child in children]
    assert sum(passed) == 50


def test_a_stream_that_ends_the_process_is_settled_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "budget.db"
    script = f"""
        from llmkit.budgets import SQLiteLedger
        from llmkit.middleware.budget import Budget
        from llmkit.testing import FakeOpenAI
        fake = FakeOpenAI().reply("blue", usage={USED!r})
        client = fake.client(middleware=[Budget(daily_tokens=9_999, ledger=SQLiteLedger({str(path)!r}))])
        options = {{"stream_options": {{"include_usage": True}}}}
        list(client.chat.completions.create(**{CHAT!r}, stream=True, extra_body=options))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT scope, name, amount FROM spent").fetchall() == [
            ("all:", "daily_tokens", 1_100)
        ]


def test_the_sync_client_books_the_same_from_many_threads(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    for _ in range(50):
        fake.reply("blue", usage={"prompt_tokens": INPUT, "completion_tokens": 20})
    with closing(SQLiteLedger(tmp_path / "budget.db", timeout=30)) as ledger:
        budget = Budget(daily_tokens=50 * (INPUT + 20), ledger=ledger)
        client = fake.client(middleware=[budget])

        def call(_: int) -> bool:
            try:
                client.chat.completions.create(**LIMITED)
            except BudgetExceeded:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(call, range(80))) == 50
        assert tokens(budget) == 50 * (INPUT + 20)


def test_a_sync_stream_is_settled_at_its_end_and_an_error_gives_back() -> None:
    budget = Budget(daily_tokens=10_000)
    fake = FakeOpenAI().reply("blue", usage=USED).error(400)
    client = fake.client(middleware=[UsageLog(sinks=[]), budget])
    with client.chat.completions.create(**CHAT, stream=True) as stream:
        assert tokens(budget) == EXPECTED
        assert list(stream)
    assert tokens(budget) == 1_100
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**CHAT)
    assert tokens(budget) == 1_100


async def test_a_dead_redis_stops_calls_of_a_closed_budget(local_redis: LocalRedis) -> None:
    fake = FakeOpenAI().reply("blue", usage=USED)
    budget = Budget(daily_tokens=10_000, ledger=RedisLedger(local_redis.url))
    client = fake.async_client(middleware=[budget])
    await client.chat.completions.create(**CHAT)
    local_redis.kill()
    for _ in range(2):
        with pytest.raises(RedisUnavailable) as caught:
            await client.chat.completions.create(**CHAT)
        assert caught.value.__notes__[0].startswith("The Budget was not checked and the call not sent")
    assert len(fake.requests) == 1


async def test_an_open_budget_lets_calls_go_while_redis_is_dead_and_books_them_later(
    local_redis: LocalRedis, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeOpenAI()
    budget = Budget(daily_tokens=10_000, ledger=RedisLedger(local_redis.url), on_error="open")
    client = fake.async_client(middleware=[budget])
    local_redis.kill()
    for _ in range(3):
        fake.reply("blue", usage=USED)
        await client.chat.completions.create(**CHAT)
    warnings = [message for message in caplog.messages if "Budget" in message]
    assert warnings == ["the ledger of a Budget failed with RedisUnavailable; calls go on unchecked"]
    local_redis.start()
    await close_when_redis_is_asked_again(budget)
    assert tokens(Budget(daily_tokens=10_000, ledger=RedisLedger(local_redis.url))) == 3_300


async def close_when_redis_is_asked_again(budget: Budget) -> None:
    """A dead server is left alone for a second."""
    while True:
        try:
            return budget.close()
        except RedisUnavailable:
            await asyncio.sleep(0.05)


async def test_a_redis_that_dies_while_a_call_runs_does_not_cost_its_answer(local_redis: LocalRedis) -> None:
    gate = Gate()
    budget = Budget(daily_tokens=10_000, ledger=RedisLedger(local_redis.url))
    client = FakeOpenAI().reply("blue", usage=USED).async_client(middleware=[budget, gate])
    call = asyncio.create_task(client.chat.completions.create(**CHAT))
    await gate.has(1)
    local_redis.kill()
    gate.open.set()
    assert (await call).choices[0].message.content == "blue"
    local_redis.start()
    await close_when_redis_is_asked_again(budget)
    assert tokens(budget) == 1_100 - EXPECTED  # the restarted server has forgotten what was set aside


async def test_a_locked_file_follows_on_error_too(tmp_path: Path) -> None:
    path = tmp_path / "budget.db"
    with (
        closing(SQLiteLedger(path, timeout=0.01)) as ledger,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        closed, lenient = (
            Budget(daily_tokens=10_000, ledger=ledger),
            Budget(daily_tokens=10_000, ledger=ledger, on_error="open"),
        )
        fake = FakeOpenAI().reply("blue", usage=USED)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="database is locked"):
            await fake.async_client(middleware=[closed]).chat.completions.create(**CHAT)
        await fake.async_client(middleware=[lenient]).chat.completions.create(**CHAT)
        other.execute("ROLLBACK")
        assert tokens(lenient) == 1_100


async def test_a_call_cancelled_while_its_ledger_is_slow_leaves_nothing_booked() -> None:
    ledger = Remote()
    ledger.gate.clear()
    budget, fake = Budget(daily_tokens=10_000, ledger=ledger), FakeOpenAI()
    call = asyncio.create_task(fake.async_client(middleware=[budget]).chat.completions.create(**CHAT))
    await asyncio.to_thread(ledger.reached.wait)
    call.cancel()
    await asyncio.wait([call])
    ledger.gate.set()
    while not ledger.settled:
        await asyncio.sleep(0.001)
    assert await asyncio.to_thread(tokens, budget) == 0
    assert fake.requests == []


async def test_a_call_cancelled_while_it_settles_is_settled_all_the_same() -> None:
    ledger = Remote()
    budget = Budget(daily_tokens=10_000, ledger=ledger)
    client = FakeOpenAI().reply("blue", usage=USED).async_client(middleware=[budget, gate := Gate()])
    call = asyncio.create_task(client.chat.completions.create(**CHAT))
    await gate.has(1)
    ledger.reached.clear()
    ledger.gate.clear()
    gate.open.set()
    await asyncio.to_thread(ledger.reached.wait)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    ledger.gate.set()
    while not ledger.settled:
        await asyncio.sleep(0.001)
    assert await asyncio.to_thread(tokens, budget) == 1_100


@pytest.fixture
def canaries() -> list[str]:
    return ["sk-canary-4f9a1c77d2", "Rosalind", "ANSWER-TEXT", "my-secret-model"]


async def spend_canaries(ledger: Ledger, canaries: list[str]) -> str:
    """Calls of every kind of ending on a ledger; what errors and reprs say."""
    key, prompt, answer, model = canaries
    fake = FakeOpenAI().reply(answer).reply(answer).error(500).drop(answer, after=1)
    budget = Budget(daily_tokens=10_000, minute_usd=1, per="user", ledger=ledger, unknown_price="allow")
    small = Budget(daily_tokens=600, per="user", name="small", ledger=ledger)
    client = llmkit.AsyncOpenAI(
        api_key=key,
        base_url=fake.base_url,
        http_client=fake.async_http_client(),
        middleware=[budget, small],
        max_retries=0,
    )
    shown = [repr(budget), repr(ledger)]
    for _ in range(7):
        with tags(user="al{ice}", feature="unused"):
            try:
                stream: Any = await client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": prompt}], stream=True
                )
                _ = [chunk async for chunk in stream]
            except openai.OpenAIError as error:
                shown += [
                    type(error).__name__,
                    str(error),
                    repr(vars(error)) if isinstance(error, BudgetExceeded) else "",
                ]
    budget.close()
    small.close()
    return "".join(shown)


async def test_an_sqlite_ledger_holds_tag_values_figures_and_window_names_only(
    tmp_path: Path, canaries: list[str]
) -> None:
    path = tmp_path / "budget.db"
    with closing(SQLiteLedger(path)) as ledger:
        shown = await spend_canaries(ledger, canaries)
        written = b"".join(file.read_bytes() for file in tmp_path.iterdir()).decode("latin-1")
    assert "user:user=al%7Bice%7D" in written
    assert not [secret for secret in (*canaries, "unused") if secret in written + shown]
    assert "APIConnectionError" in shown


async def test_a_redis_ledger_holds_tag_values_figures_and_window_names_only(
    redis_url: str, canaries: list[str]
) -> None:
    prefix = f"test-{uuid.uuid4().hex}"
    shown = await spend_canaries(RedisLedger(redis_url, prefix=prefix), canaries)
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
        written = {key: client.get(key) for key in client.scan_iter(f"{prefix}:*")}
    assert {key.partition("}:")[2].partition(":")[0] for key in written} == {
        "daily_tokens",
        "minute_usd",
        "minute_usd_unpriced",
        "done",
    }
    assert {key.partition("}:")[0] for key in written} == {
        f"{prefix}:{{{name}:user=al%7Bice%7D" for name in ("user", "small")
    }
    assert not [secret for secret in (*canaries, "unused") if secret in str(written) + shown]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there is no limit; give one of minute_tokens, daily_tokens"),
        ({"daily_usd": 0}, "daily_usd=0 must be above 0"),
        ({"daily_usd": 1, "on_error": "ignore"}, "on_error='ignore' is unknown; use 'closed' or 'open'"),
        ({"daily_usd": 1, "unknown_price": "guess"}, "unknown_price='guess' is unknown; use 'refuse' or 'allow'"),
        ({"daily_usd": 1, "output_tokens": -1}, "output_tokens=-1 is negative"),
        ({"daily_usd": 1, "per": ("user", "user")}, "must be the name of a tag or a tuple of them"),
        ({"daily_usd": 1, "name": "a b"}, "name='a b' must be letters"),
    ],
)
def test_an_impossible_budget_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Budget(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ledger": "budget.db"}, r"^ledger is a str; pass SQLiteLedger\(path\), RedisLedger\(url\), MemoryLedger\(\)"),
        ({"ledger": MemoryLedger}, "^ledger is a type; pass"),
        ({"price": 0.5}, "^price=0.5 is no function"),
    ],
)
def test_what_is_no_ledger_and_no_price_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Budget(daily_usd=1, **options)


async def test_a_recording_is_booked_at_the_length_that_its_answer_tells() -> None:
    heard = {"text": "Blue.", "usage": {"type": "duration", "seconds": 3_600}}
    budget = Budget(daily_usd=1)
    client = FakeOpenAI().respond(httpx2.Response(200, json=heard)).async_client(middleware=[budget])
    await client.audio.transcriptions.create(model="whisper-1", file=b"sound")
    assert dollars(budget) == Decimal("0.36")


async def test_prices_are_those_of_the_server_that_is_asked() -> None:
    fake = FakeOpenAI(base_url="https://api.deepseek.com/v1").reply("blue", usage=USED)
    budget = Budget(daily_usd=1)
    await fake.async_client(middleware=[budget]).chat.completions.create(
        model="deepseek-chat", messages=CHAT["messages"]
    )
    assert 0 < dollars(budget) < Decimal("0.01")
