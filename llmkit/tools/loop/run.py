"""run_tools: the bounded loop as one iteration."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from decimal import Decimal
from typing import Any

import openai

from llmkit.tools.approval import Approve
from llmkit.tools.loop.engine import Checkpoint
from llmkit.tools.loop.loop import ToolLoop
from llmkit.tools.loop.steps import Step
from llmkit.tools.loop.toolset import ToolChoice, Tools


def run_tools(
    client: openai.AsyncOpenAI,
    *,
    model: str,
    messages: Iterable[Any] | None = None,
    input: str | Iterable[Any] | None = None,
    tools: Tools = (),
    stream: bool = False,
    max_steps: int = 10,
    max_tokens: int | None = None,
    max_cost: Decimal | float | str | None = None,
    tool_choice: ToolChoice | None = None,
    parallel_tool_calls: bool | None = None,
    response_format: Any = None,
    approve: Approve | None = None,
    dependencies: Any = None,
    checkpoint: Checkpoint | None = None,
    **request_options: Any,
) -> AsyncGenerator[Step, None]:
    """Call the model, run the tools it asks for, and so on until it answers: the steps, the last one a `Final`.

    The arguments are `ToolLoop`'s. Nothing waits here: a call that needs approval is denied without `approve`, and
    tools without a function, such as `registry.params`, are a TypeError; use `ToolLoop` for these. Leave early inside
    `async with contextlib.aclosing(run_tools(...)) as steps:`, which closes the model's stream at once; after a plain
    `break` the event loop closes it soon.
    """
    loop = _Unattended(
        client,
        model=model,
        messages=messages,
        input=input,
        tools=tools,
        stream=stream,
        max_steps=max_steps,
        max_tokens=max_tokens,
        max_cost=max_cost,
        tool_choice=tool_choice,
        parallel_tool_calls=parallel_tool_calls,
        response_format=response_format,
        approve=approve,
        dependencies=dependencies,
        checkpoint=checkpoint,
        **request_options,
    )
    return _steps(loop)


class _Unattended(ToolLoop):
    """A loop that nobody submits anything to."""

    _waits = False

    def __init__(self, client: openai.AsyncOpenAI, **arguments: Any) -> None:
        super().__init__(client, **arguments)
        if elsewhere := self._engine.external_tools:
            raise TypeError(
                f"{', '.join(elsewhere)}: nothing runs it here; give the function or the registry itself (not its "
                ".params), or use ToolLoop, which waits for results from elsewhere"
            )


async def _steps(loop: ToolLoop) -> AsyncGenerator[Step, None]:
    async with loop:
        async for step in loop:
            yield step
