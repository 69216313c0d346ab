"""Runs the tools that a model calls: exactly one result for each call, whatever happens."""

from __future__ import annotations

import inspect
import json
import logging
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import anyio
import anyio.to_thread

from llmkit.conversation.records import JSONObject

logger = logging.getLogger("llmkit")

RunTool: TypeAlias = Callable[[str, dict[str, Any]], Any]
"""`(name, arguments)` to the result: a text, or JSON data; async, or plain (it then runs in a thread)."""


async def run_calls(calls: Sequence[JSONObject], run_tool: RunTool | None) -> list[JSONObject]:
    """The tool messages for the calls of one assistant message, in their order; the calls run at the same time.

    What a tool raises reaches the model as the exception's class name, and the log with its place.
    """
    results = ["Error: cancelled"] * len(calls)

    async def run(index: int) -> None:
        results[index] = await _result(calls[index], run_tool)

    async with anyio.create_task_group() as group:
        for index in range(len(calls)):
            group.start_soon(run, index)
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": text} for call, text in zip(calls, results, strict=True)
    ]


async def _result(call: JSONObject, run_tool: RunTool | None) -> str:
    if run_tool is None:
        return "Error: there are no tools"
    asked: JSONObject = call["function"] if "function" in call else call["custom"]
    name, arguments = asked["name"], _arguments(asked)
    if arguments is None:
        return "Error: the arguments are no JSON object"
    try:
        result = await _run(run_tool, name, arguments)
        return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    except Exception as error:  # noqa: BLE001 - every call gets a result
        place = traceback.extract_tb(error.__traceback__)[-1]
        logger.warning("tool %s failed with %s at %s:%s", name, type(error).__name__, place.filename, place.lineno)
        return f"Error: {type(error).__name__}"


def _arguments(asked: JSONObject) -> dict[str, Any] | None:
    """The arguments as a dict; the free text of a custom tool under the name "input"."""
    if "input" in asked:
        return {"input": asked["input"]}
    try:
        arguments: object = json.loads(asked["arguments"] or "{}")
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else None


async def _run(run_tool: RunTool, name: str, arguments: dict[str, Any]) -> object:
    if inspect.iscoroutinefunction(run_tool) or inspect.iscoroutinefunction(type(run_tool).__call__):
        return await run_tool(name, arguments)
    result = await anyio.to_thread.run_sync(run_tool, name, arguments)
    return await result if inspect.isawaitable(result) else result
