"""llmkit inside instructor: `from_openai` with a response model, sync and async, re-asked and streamed."""

from __future__ import annotations

import json

import instructor
from pydantic import BaseModel
from scenario import Kit, main, scenario


class City(BaseModel):
    name: str
    people: int


OSLO = {"name": "Oslo", "people": 700_000}
ASK = {"model": "gpt-test", "messages": [{"role": "user", "content": "Norway's capital?"}]}


def plan(kit: Kit, mode: instructor.Mode, **arguments: object) -> None:
    """Queue the reply that `mode` reads a City from."""
    city = OSLO | arguments
    if mode in {instructor.Mode.TOOLS, instructor.Mode.RESPONSES_TOOLS}:
        kit.fake.reply(tool_calls=[("City", city)])
    else:
        kit.fake.reply(json.dumps(city))


def assert_oslo(city: City) -> None:
    assert isinstance(city, City)  # of a subclass that instructor makes, so == is no use
    assert city.model_dump() == OSLO


@scenario(calls=1, mode=instructor.Mode.TOOLS)
@scenario(calls=1, mode=instructor.Mode.JSON_SCHEMA)
@scenario(calls=1, mode=instructor.Mode.RESPONSES_TOOLS)
async def async_client_fills_the_model(kit: Kit, mode: instructor.Mode) -> None:
    plan(kit, mode)
    client = instructor.from_openai(kit.async_client(), mode=mode)
    assert_oslo(await client.create(response_model=City, **ASK))


@scenario(calls=1, mode=instructor.Mode.TOOLS)
@scenario(calls=1, mode=instructor.Mode.JSON_SCHEMA)
@scenario(calls=1, mode=instructor.Mode.RESPONSES_TOOLS)
def sync_client_fills_the_model(kit: Kit, mode: instructor.Mode) -> None:
    plan(kit, mode)
    client = instructor.from_openai(kit.client(), mode=mode)
    assert_oslo(client.create(response_model=City, **ASK))


@scenario(calls=1)
async def completion_comes_with_its_usage(kit: Kit) -> None:
    plan(kit, instructor.Mode.TOOLS)
    client = instructor.from_openai(kit.async_client())
    city, completion = await client.chat.completions.create_with_completion(response_model=City, **ASK)
    assert_oslo(city)
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == kit.tokens


@scenario(calls=2)
async def invalid_answer_is_asked_for_again(kit: Kit) -> None:
    plan(kit, instructor.Mode.TOOLS, people="many")
    plan(kit, instructor.Mode.TOOLS)
    client = instructor.from_openai(kit.async_client())
    assert_oslo(await client.create(response_model=City, max_retries=2, **ASK))


@scenario(calls=1)
async def partial_models_are_streamed(kit: Kit) -> None:
    plan(kit, instructor.Mode.TOOLS)
    client = instructor.from_openai(kit.async_client())
    parts = [part async for part in client.create_partial(response_model=City, **ASK)]
    assert len(parts) > 1
    assert parts[-1].model_dump() == OSLO
    assert kit.records[0].stream


@scenario(calls=1)
def partial_models_are_streamed_in_a_sync_call(kit: Kit) -> None:
    plan(kit, instructor.Mode.TOOLS)
    client = instructor.from_openai(kit.client())
    parts = list(client.create_partial(response_model=City, **ASK))
    assert parts[-1].model_dump() == OSLO
    assert kit.records[0].stream


main()
