"""A weather assistant with two typed tools, as a stream of typed steps.

With OPENAI_API_KEY set it talks to the API; without, to FakeOpenAI, the test double that ships with llmkit.
"""

from __future__ import annotations

import asyncio
import os
from typing import Literal

from pydantic import BaseModel

from llmkit import AsyncOpenAI, ToolError, run_tools, tool
from llmkit.testing import FakeOpenAI
from llmkit.tools.loop import Step

TEMPERATURES = {"Paris": 18, "Oslo": 7}


class Forecast(BaseModel):
    """The answer, as the program wants it."""

    warmest: str
    difference: int
    advice: str


@tool
async def get_weather(city: str, unit: Literal["c", "f"] = "c") -> dict[str, str | float]:
    """Current weather for a city.

    Args:
        city: City name, such as "Paris".
        unit: Celsius or Fahrenheit.
    """
    if city not in TEMPERATURES:
        raise ToolError(f"There is no weather station in {city}; there are {', '.join(TEMPERATURES)}.")
    celsius = TEMPERATURES[city]
    return {"city": city, "temperature": celsius if unit == "c" else celsius * 9 / 5 + 32}


def get_wind(city: str) -> str:
    """Wind in a city; a plain function is a tool, too, and runs in a thread."""
    return f"A light breeze in {city}"


def make_client() -> AsyncOpenAI:
    """The real API when there is a key, else the fake with the answers planned."""
    if os.environ.get("OPENAI_API_KEY"):
        print("OPENAI_API_KEY is set: calling the OpenAI API.\n")
        return AsyncOpenAI(middleware=[])
    print("No OPENAI_API_KEY: running on the embedded FakeOpenAI. Nothing leaves this machine.\n")
    fake = FakeOpenAI(stream_chars=12)
    misspelt = ("get_weather", {"city": "Oslow"})
    fake.reply(
        "Let me look.", tool_calls=[("get_weather", {"city": "Paris"}), misspelt, ("get_wind", {"city": "Oslo"})]
    )
    fake.reply(tool_calls=[("get_weather", {"city": "Oslo", "unit": "c"})])
    fake.reply('{"warmest": "Paris", "difference": 11, "advice": "Pack a coat for Oslo."}')
    return fake.async_client(middleware=[])


def show(step: Step) -> None:
    """One line for each kind of step that a user cares about."""
    match step.type:
        case "text_delta":
            print(f"   text       {step.text!r}")
        case "tool_arguments":
            print(f"   arguments  {step.name}: {step.partial}")
        case "tool_call_finished":
            print(f"   call       {step.call.name}({step.call.arguments})")
        case "tool_result":
            print(f"   result     {step.call.name}: {step.text}" + (f"  [{step.error}]" if step.error else ""))
        case "usage":
            print(f"   usage      {step.usage.total_tokens} tokens, {step.total.total_tokens} so far\n")
        case "final":
            print(f"The answer as a Forecast: {step.parsed!r}")
            print(f"{step.usage.calls} calls of the model, {len(step.messages)} messages in the history")
        case _:
            pass


async def main() -> None:
    steps = run_tools(
        make_client(),
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Is it warmer in Paris or in Oslo? Is it windy in Oslo?"}],
        tools=[get_weather, get_wind],
        response_format=Forecast,
        stream=True,
        max_steps=5,
        max_tokens=20_000,
    )
    async for step in steps:
        show(step)


if __name__ == "__main__":
    asyncio.run(main())
