"""Every way a call can end, for async and plain tools, alone and among siblings, through both APIs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.tokens import count_text
from llmkit.tools.call import calls_in
from llmkit.tools.registry import ToolRegistry

CANARY = "canary-hunter2"
ENDINGS: dict[str, tuple[str | None, str]] = {
    "ok": (None, "fine 1"),
    "unknown": ("unknown_tool", "Error: there is no tool of that name; the tools are ok, broken_json, "),
    "broken_json": ("invalid_json", "JSON"),
    "invalid": ("invalid_arguments", "number"),
    "raises": ("exception", "failed (ValueError)"),
    "times_out": ("timeout", "took longer than 0.01 s"),
    "cancelled": ("cancelled", "was cancelled"),
    "nothing": (None, "Done."),
    "large": (None, "tokens cut ...]"),
    "denied": ("denied", "was not allowed to run: not on Sundays"),
}
VALID = json.dumps({"number": 1, "secret": CANARY})
ARGUMENTS = {
    "broken_json": '{"number": 1, "secret": "' + CANARY,
    "invalid": json.dumps({"number": CANARY, "secret": CANARY}),
}


def make_registry(release: anyio.Event) -> ToolRegistry:
    from llmkit.tools.approval import Deny

    registry = ToolRegistry(approve=lambda call: Deny("not on Sundays"), max_result_tokens=2_000, max_concurrency=4)
    for make in (async_tools, sync_tools):
        for name, (function, options) in make(release).items():
            registry.add(function, name=name, **options)
    return registry


def async_tools(release: anyio.Event) -> dict[str, tuple[Callable[..., Any], Any]]:
    async def ok(number: int, secret: str) -> str:
        return f"fine {number}"

    async def raises(number: int, secret: str) -> str:
        raise ValueError(CANARY, secret)

    async def waits(number: int, secret: str) -> str:
        await release.wait()
        return "late"

    async def cancelled(number: int, secret: str) -> str:
        raise asyncio.CancelledError(CANARY)

    async def nothing(number: int, secret: str) -> None: ...

    async def large(number: int, secret: str) -> str:
        return "x" * 1_000_000

    return {
        "ok": (ok, {}),
        "broken_json": (ok, {}),
        "invalid": (ok, {}),
        "raises": (raises, {}),
        "times_out": (waits, {"timeout": 0.01}),
        "cancelled": (cancelled, {}),
        "nothing": (nothing, {}),
        "large": (large, {}),
        "denied": (ok, {"needs_approval": True}),
    }


def sync_tools(release: anyio.Event) -> dict[str, tuple[Callable[..., Any], Any]]:
    loop = asyncio.get_running_loop()

    def ok(number: int, secret: str) -> str:
        return f"fine {number}"

    def raises(number: int, secret: str) -> str:
        raise ValueError(CANARY, secret)

    def waits(number: int, secret: str) -> str:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return "late"

    def cancelled(number: int, secret: str) -> str:
        raise asyncio.CancelledError(CANARY)

    def nothing(number: int, secret: str) -> None: ...

    def large(number: int, secret: str) -> str:
        return "x" * 1_000_000

    return {
        "sync_ok": (ok, {}),
        "sync_broken_json": (ok, {}),
        "sync_invalid": (ok, {}),
        "sync_raises": (raises, {}),
        "sync_times_out": (waits, {"timeout": 0.01}),
        "sync_cancelled": (cancelled, {}),
        "sync_nothing": (nothing, {}),
        "sync_large": (large, {}),
        "sync_denied": (ok, {"needs_approval": True}),
    }


def message(api: str, names: list[str]) -> Any:
    """What a model answers that calls these tools, in this order."""
    calls = [
        (f"call_{index}", name, ARGUMENTS.get(name.removeprefix("sync_"), VALID)) for index, name in enumerate(names)
    ]
    if api == "responses":
        return [{"type": "function_call", "call_id": id, "name": name, "arguments": text} for id, name, text in calls]
    return {
        "role": "assistant",
        "tool_calls": [
            {"id": id, "type": "function", "function": {"name": name, "arguments": text}} for id, name, text in calls
        ],
    }


def is_as_expected(name: str, error: str | None, text: str) -> bool:
    wanted, part = ENDINGS[name.removeprefix("sync_")]
    return error == wanted and part in text


async def endings(api: str, names: list[str]) -> None:
    """Dispatch the calls, and check that each has its result."""
    release = anyio.Event()
    registry = make_registry(release)
    calls = calls_in(message(api, names))
    try:
        results = await registry.dispatch(calls)
    finally:
        release.set()
    assert [result.call for result in results] == calls
    for name, result in zip(names, results, strict=True):
        assert is_as_expected(name, result.error, result.text), (name, result.error, result.text[:200])
        assert CANARY not in repr(result.message)
        assert CANARY not in repr(result.content)
        assert count_text(result.text, model="gpt-4o") <= 2_000
    id_field = "call_id" if api == "responses" else "tool_call_id"
    assert [result.message[id_field] for result in results] == [f"call_{index}" for index in range(len(names))]


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("siblings", [False, True], ids=["alone", "among siblings"])
@pytest.mark.parametrize("prefix", ["", "sync_"], ids=["async", "sync"])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_each_call_has_one_result_however_it_ends(
    ending: str, prefix: str, siblings: bool, api: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = prefix + ending
    with caplog.at_level(logging.DEBUG):
        await endings(api, ["ok", name, "sync_ok", name, "ok"] if siblings else [name])
    assert CANARY not in caplog.text
    told = [record for record in caplog.records if record.name == "llmkit" and record.levelno == logging.WARNING]
    assert bool(told) == (ending in ("raises", "times_out"))
    if ending == "raises":
        assert f"tool {name} failed with ValueError at {__file__}:" in caplog.text


@settings(deadline=None, max_examples=40)
@given(
    names=st.lists(st.builds(str.__add__, st.sampled_from(["", "sync_"]), st.sampled_from([*ENDINGS])), max_size=12),
    api=st.sampled_from(["chat", "responses"]),
)
def test_any_batch_has_its_results_in_order(names: list[str], api: str) -> None:
    asyncio.run(endings(api, names))
