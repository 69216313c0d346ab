"""The SDK's own runner for Responses, with the tools of a registry; and why ToolLoop does not use it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.lib.responses_tool_runner import AsyncResponsesToolRunner, ToolRunnerError

from llmkit import Request
from llmkit.request import CallNext
from llmkit.testing import FakeOpenAI
from llmkit.tools.registry import ToolRegistry

PARAMS: Any = {"model": "gpt-4o", "input": "How is the weather in Oslo?"}
ran: list[str] = []


async def weather(city: str, days: int = 1) -> str:
    """Tell the weather."""
    ran.append(city)
    return f"{days} sunny days in {city}"


async def fails(city: str) -> str:
    raise ValueError("canary")


async def photo() -> list[Any]:
    return ["look", b"\x89PNG\r\n\x1a\n"]


def pay() -> None: ...


@pytest.fixture(autouse=True)
def forget() -> None:
    ran.clear()


def make_runner() -> AsyncResponsesToolRunner:
    registry = ToolRegistry([weather, fails, photo])
    registry.add(pay, needs_approval=True)
    registry.declare("elsewhere", parameters={})
    return AsyncResponsesToolRunner(functions=registry.runner_functions())


async def outputs(*calls: tuple[str, Any]) -> list[Any]:
    """What the model is told by the runner of each call."""
    fake = FakeOpenAI().reply(tool_calls=calls).reply("Done.")
    async with fake.async_client(max_retries=0) as client:
        response = await make_runner().run(client, PARAMS)
    assert response.output_text == "Done."
    sent = fake.requests[-1].body["input"]
    return [item["output"] for item in sent if item.get("type") == "function_call_output"]


async def test_the_registrys_tools_run_in_the_sdks_runner() -> None:
    assert await outputs(("weather", {"city": "Oslo", "days": 3}), ("weather", {"city": "Rome", "days": None})) == [
        "3 sunny days in Oslo",
        "1 sunny days in Rome",
    ]


async def test_the_registrys_rules_hold_in_the_sdks_runner(caplog: pytest.LogCaptureFixture) -> None:
    invalid, failed, images, denied = await outputs(
        ("weather", {"city": 7, "days": 1}), ("fails", {"city": "Oslo"}), ("photo", {}), ("pay", {})
    )
    assert "city" in invalid
    assert failed == "Error: fails failed (ValueError)"
    assert [part["type"] for part in images] == ["input_text", "input_image"]
    assert "not allowed" in denied
    assert "canary" not in caplog.text


def test_tools_that_run_elsewhere_are_not_the_runners() -> None:
    registry = ToolRegistry([weather])
    registry.declare("elsewhere", parameters={})
    assert [function.tool["name"] for function in registry.runner_functions()] == ["weather"]


async def test_middleware_sees_each_call_of_the_runner() -> None:
    seen: list[str] = []

    async def note(request: Request, call_next: CallNext) -> Any:
        seen.append(request.operation)
        return await call_next(request)

    fake = FakeOpenAI().reply(tool_calls=[("weather", {"city": "Oslo", "days": 1})]).reply("Sunny.")
    async with fake.async_client(middleware=[note]) as client:
        await make_runner().run(client, PARAMS)
    assert seen == ["responses", "responses"]


@pytest.mark.parametrize(
    ("name", "arguments"), [("nope", "{}"), ("weather", '{"city": '), ("weather", json.dumps(["Oslo"]))]
)
async def test_the_runner_stops_where_a_loop_should_tell_the_model(name: str, arguments: str) -> None:
    fake = FakeOpenAI().reply(tool_calls=[("weather", {"city": "Oslo", "days": 1}), (name, arguments)]).reply("Done.")
    async with fake.async_client() as client:
        with pytest.raises(ToolRunnerError):
            await make_runner().run(client, PARAMS)
    assert ran == []
    assert fake.pending == 1


async def test_the_runner_hides_the_apis_errors_behind_its_own() -> None:
    fake = FakeOpenAI().error(429)
    async with fake.async_client(max_retries=0) as client:
        with pytest.raises(ToolRunnerError) as caught:
            await make_runner().run(client, PARAMS)
    assert not isinstance(caught.value, openai.OpenAIError)
