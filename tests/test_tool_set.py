"""One tool set, everywhere: the same calls reach the same functions, whoever makes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from openai.lib.responses_tool_runner import AsyncResponsesToolRunner
from pydantic import BaseModel, Field

from llmkit import AsyncOpenAI, ToolRegistry, run_tools
from llmkit.testing import FakeOpenAI

MODEL = "gpt-4o-mini"
QUESTION = "Plan a weekend in Zürich: what is the weather, and which hotel fits?"
ANSWER = "It is 21 degrees in Zürich; stay at the Limmat for 2 nights."
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_weather", {"city": "Zürich", "unit": None}),
    ("find_hotels", {"city": "Zürich", "wishes": {"stars": 4, "pool": None}, "nights": 2}),
]


class Wishes(BaseModel):
    stars: int = Field(3, ge=1, le=5)
    pool: bool = False


@dataclass
class Hotel:
    name: str
    nights: int


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def tools(seen: list[Any]) -> ToolRegistry:
    registry = ToolRegistry()

    @registry.tool
    async def get_weather(city: str, unit: Literal["c", "f"] = "c") -> str:
        """Current weather for a city.

        Args:
            city: City name, such as "Paris".
            unit: Celsius or Fahrenheit.
        """
        seen.append(("get_weather", city, unit))
        return f"21 degrees {unit.upper()}"

    @registry.tool
    def find_hotels(city: str, wishes: Wishes, nights: int = 1) -> list[Hotel]:
        """Hotels with a free room."""
        seen.append(("find_hotels", city, wishes, nights))
        return [Hotel("Limmat", nights)]

    return registry


def check(seen: list[Any]) -> None:
    assert sorted(seen, key=str) == [
        ("find_hotels", "Zürich", Wishes(stars=4, pool=False), 2),
        ("get_weather", "Zürich", "c"),
    ]


@pytest.fixture
async def recorded(recording_base_url: str, recording_api_key: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=recording_base_url, api_key=recording_api_key) as client:
        yield client


@pytest.fixture
def faked() -> AsyncOpenAI:
    return FakeOpenAI().reply(tool_calls=CALLS).reply(ANSWER).async_client()


def question(api: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": QUESTION}]} if api == "chat" else {"input": QUESTION}


async def loop(client: AsyncOpenAI, tools: ToolRegistry, *, api: str, stream: bool) -> None:
    steps = [step async for step in run_tools(client, model=MODEL, tools=tools, stream=stream, **question(api))]
    results = [step for step in steps if step.type == "tool_result"]
    assert [(result.call.name, result.text) for result in results] == [
        ("get_weather", "21 degrees C"),
        ("find_hotels", '[{"name":"Limmat","nights":2}]'),
    ]
    assert "".join(step.text for step in steps if step.type == "text_delta") == ANSWER
    final = steps[-1]
    assert final.type == "final"
    assert final.text == ANSWER
    assert final.usage.calls == 2
    assert final.usage.total_tokens > 0


async def runner(client: AsyncOpenAI, tools: ToolRegistry) -> None:
    """The SDK's own loop for Responses."""
    response = await AsyncResponsesToolRunner(functions=tools.runner_functions()).run(
        client, {"model": MODEL, "input": QUESTION}, max_steps=4
    )
    assert response.output_text == ANSWER


async def by_hand(client: AsyncOpenAI, tools: ToolRegistry) -> None:
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    reply = await client.chat.completions.create(model=MODEL, messages=messages, tools=tools.params)  # type: ignore
    results = await tools.run(reply)
    assert [result["role"] for result in results] == ["tool", "tool"]
    messages += [reply.choices[0].message, *results]
    reply = await client.chat.completions.create(model=MODEL, messages=messages, tools=tools.params)  # type: ignore
    assert reply.choices[0].message.content == ANSWER


WAYS: dict[str, Callable[[AsyncOpenAI, ToolRegistry], Any]] = {
    "chat": lambda client, tools: loop(client, tools, api="chat", stream=False),
    "chat streamed": lambda client, tools: loop(client, tools, api="chat", stream=True),
    "responses": lambda client, tools: loop(client, tools, api="responses", stream=False),
    "responses streamed": lambda client, tools: loop(client, tools, api="responses", stream=True),
    "the SDK's runner": runner,
    "by hand": by_hand,
}


@pytest.mark.parametrize("way", WAYS)
async def test_on_the_fake(way: str, faked: AsyncOpenAI, tools: ToolRegistry, seen: list[Any]) -> None:
    await WAYS[way](faked, tools)
    check(seen)


@pytest.mark.vcr
@pytest.mark.parametrize("way", WAYS)
async def test_on_a_recorded_server(way: str, recorded: AsyncOpenAI, tools: ToolRegistry, seen: list[Any]) -> None:
    await WAYS[way](recorded, tools)
    check(seen)
