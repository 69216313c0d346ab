from __future__ import annotations

import logging
from collections.abc import Awaitable
from datetime import datetime
from typing import Any

import anyio
import pytest

from llmkit.tools.approval import Allow, Approve, Deny, Edit
from llmkit.tools.call import ToolCall
from llmkit.tools.registry import ToolRegistry
from llmkit.tools.result import ToolResult

paid: list[int] = []


def pay(amount: int) -> str:
    """Pay."""
    paid.append(amount)
    return f"paid {amount}"


@pytest.fixture(autouse=True)
def registry() -> ToolRegistry:
    paid.clear()
    registry = ToolRegistry()
    registry.add(pay, needs_approval=True)
    return registry


def call(arguments: str = '{"amount":5}', name: str = "pay", id: str = "c1") -> ToolCall:
    return ToolCall(id=id, name=name, arguments=arguments)


async def outcome(registry: ToolRegistry, approve: Approve | None, arguments: str = '{"amount":5}') -> ToolResult:
    [result] = await registry.dispatch([call(arguments)], approve=approve)
    return result


@pytest.mark.parametrize("decision", [True, Allow()])
async def test_a_call_that_is_allowed_runs(registry: ToolRegistry, decision: Any) -> None:
    result = await outcome(registry, lambda call: decision)
    assert (result.error, result.text, paid) == (None, "paid 5", [5])


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        (False, "Error: pay was not allowed to run"),
        (Deny(), "Error: pay was not allowed to run"),
        (Deny("too much"), "Error: pay was not allowed to run: too much"),
    ],
)
async def test_a_call_that_is_denied_does_not_run_and_the_model_reads_why(
    registry: ToolRegistry, decision: Any, text: str
) -> None:
    result = await outcome(registry, lambda call: decision)
    assert (result.error, result.text, paid) == ("denied", text, [])


async def test_edited_arguments_are_what_runs_and_the_model_is_told(registry: ToolRegistry) -> None:
    result = await outcome(registry, lambda call: Edit({"amount": 2}))
    assert (result.error, paid) == (None, [2])
    assert result.text == 'The arguments were changed before the call, to {"amount":2}\npaid 2'
    assert result.call.arguments == '{"amount":5}'


async def test_edited_arguments_may_be_of_any_type_json_has_a_text_for() -> None:
    registry = ToolRegistry(approve=lambda call: Edit({"at": datetime(2026, 1, 2)}))

    async def wake(at: datetime) -> int:
        return at.year

    registry.add(wake, needs_approval=True)
    [result] = await registry.dispatch([call('{"at":"2020-01-01T00:00:00"}', name="wake")])
    assert result.text.endswith("\n2026")


async def test_edited_arguments_are_validated_like_the_models(registry: ToolRegistry) -> None:
    for edit in (Edit({"amount": "much"}), Edit({"amount": object()})):
        result = await outcome(registry, lambda call, edit=edit: edit)  # type: ignore[misc]
        assert (result.error, paid) == ("invalid_arguments", [])
    assert result.text == "Error: the changed arguments have a object, which is not JSON data"


async def test_without_anybody_to_ask_the_call_is_denied(registry: ToolRegistry) -> None:
    result = await outcome(registry, None)
    assert result.error == "denied"
    assert "it needs approval, and nobody is there to give it" in result.text
    assert paid == []


async def test_a_hook_that_fails_denies_and_its_text_is_shown_to_nobody(
    registry: ToolRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(call: ToolCall) -> bool:
        raise RuntimeError("canary")

    result = await outcome(registry, fail)
    assert (result.error, paid) == ("denied", [])
    assert "approval of tool pay failed with RuntimeError at " + __file__ in caplog.text
    assert "canary" not in caplog.text + result.text


@pytest.mark.parametrize("garbage", [None, "yes", 1, Edit(7), Allow], ids=repr)  # type: ignore[arg-type]
async def test_a_hook_that_answers_something_else_denies(
    registry: ToolRegistry, garbage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    result = await outcome(registry, lambda call: garbage)
    assert (result.error, paid) == ("denied", [])
    assert f"{type(garbage).__qualname__} is no True, False, Allow, Deny or Edit(a dict)" in caplog.text


@pytest.mark.parametrize("bad", [call('{"amount":"x"}'), call("{"), call(name="nope")], ids=lambda call: call.name)
async def test_nobody_is_asked_about_calls_that_cannot_run(registry: ToolRegistry, bad: ToolCall) -> None:
    def never(call: ToolCall) -> bool:
        raise AssertionError("asked")

    [result] = await registry.dispatch([bad], approve=never)
    assert result.error in ("invalid_arguments", "invalid_json", "unknown_tool")


async def test_nobody_is_asked_about_tools_that_need_no_approval() -> None:
    registry = ToolRegistry([pay], approve=lambda call: False)
    assert (await registry.dispatch([call()]))[0].error is None


class Hook:
    async def __call__(self, call: ToolCall) -> bool:
        return True


async def allow(call: ToolCall) -> bool:
    return True


def later(call: ToolCall) -> Awaitable[bool]:
    return allow(call)


@pytest.mark.parametrize("approve", [allow, Hook(), later])
async def test_a_hook_may_be_async_in_every_way(registry: ToolRegistry, approve: Approve) -> None:
    assert (await outcome(registry, approve)).error is None


async def test_a_plain_hook_is_asked_about_one_call_at_a_time_and_off_the_event_loop(registry: ToolRegistry) -> None:
    asked: list[str] = []
    inside = 0

    def ask(call: ToolCall) -> bool:
        nonlocal inside
        inside += 1
        anyio.from_thread.run(anyio.lowlevel.checkpoint)
        asked.append(f"{call.id}:{inside}")
        inside -= 1
        return True

    results = await registry.dispatch([call(id=f"c{index}") for index in range(5)], approve=ask)
    assert [result.error for result in results] == [None] * 5
    assert sorted(asked) == [f"c{index}:1" for index in range(5)]


async def test_waiting_for_approval_takes_no_place_of_calls_that_could_run() -> None:
    registry = ToolRegistry(max_concurrency=1)
    free = anyio.Event()

    async def work() -> str:
        free.set()
        return "worked"

    async def ask(call: ToolCall) -> bool:
        await free.wait()
        return True

    registry.add(pay, needs_approval=True)
    registry.add(work)
    results = await registry.dispatch([call(), call("{}", name="work", id="c2")], approve=ask)
    assert [result.text for result in results] == ["paid 5", "worked"]


async def test_a_hook_that_is_cancelled_by_itself_ends_its_call_alone(registry: ToolRegistry) -> None:
    async def ask(call: ToolCall) -> bool:
        if call.id == "c1":
            raise anyio.get_cancelled_exc_class()
        return True

    results = await registry.dispatch([call(), call(id="c2")], approve=ask)
    assert [result.error for result in results] == ["cancelled", None]


async def test_a_long_reason_is_cut() -> None:
    registry = ToolRegistry(approve=lambda call: Deny("word " * 1_000), max_result_tokens=50)
    registry.add(pay, needs_approval=True)
    [result] = await registry.dispatch([call()])
    assert (result.error, result.truncated) == ("denied", True)


def test_the_log_is_llmkits() -> None:
    from llmkit.tools import approval

    assert approval.logger is logging.getLogger("llmkit")
