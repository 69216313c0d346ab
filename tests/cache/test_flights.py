from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

from llmkit import runtime
from llmkit.cache.entry import Entry
from llmkit.cache.flights import Flight, Flights

ENTRY = Entry(key="k", operation="responses", model="m", body=b"{}", created_at=0)


def request(client: object = None, **headers: str) -> Any:
    return SimpleNamespace(client=client, headers=headers, tags={}, runtime=runtime.current(is_async=True))


def failed(text: str) -> openai.APIError:
    return openai.APIError(text, httpx2.Request("POST", "https://api.test"), body=None)


async def crowd(flights: Flights, count: int, client: object = None) -> tuple[Flight, list[asyncio.Task[Any]]]:
    flight = await flights.join("k", request(client), patience=10)
    assert isinstance(flight, Flight)
    waiting = [asyncio.create_task(flights.join("k", request(client), patience=10)) for _ in range(count)]
    await asyncio.sleep(0)
    return flight, waiting


async def test_all_who_wait_get_the_answer_and_the_next_call_leads_again() -> None:
    flights = Flights()
    flight, waiting = await crowd(flights, 3)
    flights.land(flight, ENTRY)
    assert await asyncio.gather(*waiting) == [ENTRY] * 3
    again = await flights.join("k", request(), patience=1)
    assert isinstance(again, Flight)
    assert again is not flight


async def test_other_keys_are_other_flights() -> None:
    flights = Flights()
    assert isinstance(await flights.join("a", request(), patience=1), Flight)
    assert isinstance(await flights.join("b", request(), patience=1), Flight)


async def test_an_answer_that_cannot_be_shared_leaves_each_alone() -> None:
    flights = Flights()
    flight, waiting = await crowd(flights, 2)
    flights.land(flight, None)
    assert await asyncio.gather(*waiting) == [None, None]


async def test_a_call_that_is_cancelled_hands_the_lead_to_one_who_waits() -> None:
    flights = Flights()
    flight, waiting = await crowd(flights, 3)
    flights.give_up(flight)
    assert await waiting[0] is flight
    flights.give_up(flight)
    assert await waiting[1] is flight
    flights.land(flight, ENTRY)
    assert await waiting[2] is ENTRY


async def test_a_flight_is_over_when_nobody_waits() -> None:
    flights = Flights()
    flight, _ = await crowd(flights, 0)
    flights.give_up(flight)
    assert await flights.join("k", request(), patience=1) is not flight
    flights.give_up(flight)  # an ended flight ends no other
    assert flights._flights


async def test_who_waits_leaves_when_its_patience_is_over_and_when_it_is_cancelled() -> None:
    flights = Flights()
    flight, waiting = await crowd(flights, 2)
    other = await flights.join("k", request(), patience=0)
    assert isinstance(other, Flight)
    assert other is not flight
    waiting[0].cancel()
    await asyncio.sleep(0.01)
    assert len(flight.waiting) == 1
    flights.land(flight, ENTRY)
    assert await waiting[1] is ENTRY


async def test_the_lead_given_to_one_who_is_cancelled_in_that_moment_goes_on_to_the_next() -> None:
    flights = Flights()
    flight, waiting = await crowd(flights, 2)
    flights.give_up(flight)
    waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert await waiting[1] is flight


async def test_an_answer_that_comes_in_the_moment_of_a_cancellation_is_nobodys_loss() -> None:
    flights = Flights()
    flight, waiting = await crowd(flights, 1)
    flights.land(flight, ENTRY)
    waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_the_second_error_is_that_of_all_who_wait_each_with_its_own_copy() -> None:
    flights = Flights()
    flight, waiting = await crowd(flights, 3)
    flights.give_up(flight, failed("first"))
    assert await waiting[0] is flight
    flights.give_up(flight, failed("second"))
    errors = await asyncio.gather(*waiting[1:], return_exceptions=True)
    assert [str(error) for error in errors] == ["second", "second"]
    assert errors[0] is not errors[1]


async def test_cancellations_are_no_errors() -> None:
    flights = Flights()
    flight, waiting = await crowd(flights, 3)
    flights.give_up(flight, failed("first"))
    flights.give_up(flight)
    assert await waiting[1] is flight
    flights.give_up(flight, failed("second"))
    with pytest.raises(openai.APIError, match="second"):
        await waiting[2]


async def test_the_errors_of_one_client_are_no_other_clients() -> None:
    flights = Flights()
    flight, waiting = await crowd(flights, 2, client="a")
    other = asyncio.create_task(flights.join("k", request("b"), patience=10))
    await asyncio.sleep(0)
    flights.give_up(flight, failed("first"))
    flights.give_up(flight, failed("second"))
    assert await waiting[0] is flight
    with pytest.raises(openai.APIError, match="second"):
        await waiting[1]
    assert await other is flight
