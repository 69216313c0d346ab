"""What the tests of the loop share: both APIs, streaming or not, on one FakeOpenAI."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from llmkit.context.groups import spans
from llmkit.context.items import answers, calls
from llmkit.testing import FakeOpenAI
from llmkit.tools.loop.loop import ToolLoop
from llmkit.tools.loop.run import run_tools
from llmkit.tools.loop.steps import Final

QUESTION = "What is the weather in Paris?"


@dataclass(frozen=True, kw_only=True)
class Way:
    """One of the ways to run a loop."""

    api: Literal["chat", "responses"]
    stream: bool

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that a loop is made with."""
        start: dict[str, Any] = {"messages": [user(QUESTION)]} if self.api == "chat" else {"input": QUESTION}
        return {"model": "gpt-4o", "stream": self.stream, **start}

    def loop(self, fake: FakeOpenAI, **changes: Any) -> ToolLoop:
        return ToolLoop(fake.async_client(middleware=[]), **{**self.arguments, **changes})

    def run(self, fake: FakeOpenAI, **changes: Any) -> AsyncIterator[Any]:
        return run_tools(fake.async_client(middleware=[]), **{**self.arguments, **changes})

    def sent(self, fake: FakeOpenAI, number: int = -1) -> list[dict[str, Any]]:
        """The history that a request had."""
        history: list[dict[str, Any]] = fake.requests[number].body["messages" if self.api == "chat" else "input"]
        return history


WAYS = [Way(api=api, stream=stream) for api in ("chat", "responses") for stream in (False, True)]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.api}-{'stream' if way.stream else 'whole'}")
STREAMS = [way for way in WAYS if way.stream]
streams = pytest.mark.parametrize("way", STREAMS, ids=lambda way: way.api)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


async def all_of(steps: AsyncIterator[Any]) -> list[Any]:
    return [step async for step in steps]


async def final_of(steps: AsyncIterator[Any]) -> Final:
    last = (await all_of(steps))[-1]
    assert isinstance(last, Final)
    return last


def results_of(steps: list[Any]) -> list[Any]:
    """The results in the order of their calls; they are told in the order in which the tools end."""
    return sorted(of_type(steps, "tool_result"), key=lambda step: step.call.id)


def of_type(steps: list[Any], *types: str) -> list[Any]:
    return [step for step in steps if step.type in types]


def outputs(history: list[dict[str, Any]]) -> list[str]:
    """The texts of all results in a history."""
    return [item["content" if "content" in item else "output"] for item in history if answers(item)]


def check_history(history: list[dict[str, Any]]) -> None:
    """Every call has exactly one result, after it and in the order of the calls."""
    list(spans(history, head=0))
    made = [call_id for item in history for call_id in calls(item)]
    answered = [call_id for item in history for call_id in answers(item)]
    assert made == answered
    json.dumps(history)


def moved(loop: ToolLoop, client: Any, **given: Any) -> ToolLoop:
    """The loop as another process would go on with it."""
    return ToolLoop.resume(client, json.loads(json.dumps(loop.save())), **given)
