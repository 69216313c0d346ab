"""Random models, tools, people and crashes: the histories are always valid, and nothing that finished runs twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tools.loop.loops import WAYS, Way, check_history

from llmkit.testing import FakeOpenAI
from llmkit.tools.approval import Deny, Edit
from llmkit.tools.context import ToolContext
from llmkit.tools.definition import declared, tool
from llmkit.tools.errors import ToolError
from llmkit.tools.loop.errors import ToolLoopLimit
from llmkit.tools.loop.loop import ToolLoop

NAMES = ["works", "fails", "asks", "elsewhere", "unknown"]
ARGUMENTS = ['{"n": 1}', '{"n": 22}', '{"n": "x"}', "{", "", "[]", '{"n": 1, "m": 2}']
calls = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(ARGUMENTS)), max_size=4)
replies = st.lists(st.tuples(st.sampled_from([None, "Hm.", "So."]), calls), max_size=4)


class World:
    """The tools, how often each call of them has finished, and a person who answers at random."""

    def __init__(self, dice: Random) -> None:
        self.finished: Counter[tuple[str, int]] = Counter()
        self._dice = dice

    def tools(self) -> list[Any]:
        async def works(n: int, context: ToolContext[Any]) -> int:
            """Work."""
            self.finished[context.call_id, n] += 1
            return n

        async def fails(n: int, context: ToolContext[Any]) -> str:
            """Fail."""
            self.finished[context.call_id, n] += 1
            raise ToolError("no")

        @tool(needs_approval=True)
        async def asks(n: int, context: ToolContext[Any]) -> int:
            """Ask first."""
            self.finished[context.call_id, n] += 1
            return n

        return [works, fails, asks, declared("elsewhere", parameters={"type": "object", "properties": {}})]

    def says(self, waiting: Any) -> dict[str, Any]:
        some = [call for call in waiting if self._dice.random() < 0.5] or waiting[:1]
        decisions = [True, False, Deny("no"), Edit({"n": 5}), Edit({"n": "x"})]
        return {call.id: "found" if call.name == "elsewhere" else self._dice.choice(decisions) for call in some}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.api}-{'stream' if way.stream else 'whole'}")
@settings(max_examples=25, deadline=None)
@given(script=replies, seed=st.integers(0, 1000))
def test_any_run_gives_a_valid_history_and_runs_each_tool_once(
    way: Way, script: list[tuple[str | None, list[tuple[str, str]]]], seed: int
) -> None:
    asyncio.run(run_somehow(way, script, Random(seed)))


async def run_somehow(way: Way, script: list[tuple[str | None, list[tuple[str, str]]]], dice: Random) -> None:
    """The script to its end, moving to another process now and then."""
    world, fake = World(dice), FakeOpenAI(stream_chars=3)
    client = fake.async_client(middleware=[])
    for text, made in script:
        fake.reply(text, tool_calls=made)
    loop = ToolLoop(client, tools=world.tools(), max_steps=4, **way.arguments)
    result_ids: list[str] = []
    try:
        while not loop.final:
            async for step in loop:
                result_ids += [step.call.id] if step.type == "tool_result" else []
                check_history(loop.messages)
                if not fake.open_streams and dice.random() < 0.25:
                    break
            await loop.submit(world.says(loop.waiting))
            if not fake.open_streams:
                await loop.aclose()  # another process goes on when this one has ended
                loop = ToolLoop.resume(client, json.loads(json.dumps(loop.save())), tools=world.tools())
    except ToolLoopLimit:
        assert loop.usage.calls == 4
    check_history(loop.messages)
    assert set(world.finished.values()) <= {1}
    assert len(result_ids) == len(set(result_ids))
    assert fake.open_streams == 0
