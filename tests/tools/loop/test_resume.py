"""Saved after any step, resumed anywhere: no finished tool runs twice, no step is lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel
from tools.loop.loops import WAYS, Way, all_of, check_history, moved, outputs, results_of, ways

from llmkit.testing import FakeOpenAI
from llmkit.tools.approval import Deny, Edit
from llmkit.tools.definition import declared, tool
from llmkit.tools.errors import InvalidAnswer
from llmkit.tools.loop.errors import InvalidState, ToolLoopLimit
from llmkit.tools.loop.loop import ToolLoop

CANARY = "sk-canary-0123456789"
SEARCH = declared("search", parameters={"type": "object", "properties": {}})


class Office:
    """Tools that note each of their runs."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def tools(self) -> list[Any]:
        async def look(place: str) -> str:
            """Look at a place."""
            self.ran.append(f"look {place}")
            return f"{place} seen"

        @tool(needs_approval=True)
        def pay(amount: int) -> str:
            """Pay an amount."""
            self.ran.append(f"pay {amount}")
            return f"paid {amount}"

        return [look, pay, SEARCH]


SCRIPT: list[dict[str, Any]] = [
    {"text": "First.", "tool_calls": [("look", {"place": "a"}), ("look", {"place": "b"})]},
    {"tool_calls": [("pay", {"amount": 1}), ("look", {"place": "c"}), ("search", {}), ("pay", {"amount": 2})]},
    {"tool_calls": [("nowhere", {}), ("look", "{"), ("pay", {"amount": 3})]},
    {"text": '{"said": "done"}'},
]
RAN = ["look a", "look b", "look c", "pay 1", "pay 30"]


def script(begin: int = 0) -> FakeOpenAI:
    fake = FakeOpenAI(stream_chars=12)
    for reply in SCRIPT[begin:]:
        fake.reply(**reply)
    return fake


def answers_of(calls: Any) -> dict[str, Any]:
    """What people and other machines say of the waiting calls."""
    said: dict[int, Any] = {1: True, 2: Deny("enough"), 3: Edit({"amount": 30})}
    return {
        call.id: {"found": 1} if call.name == "search" else said[json.loads(call.arguments)["amount"]] for call in calls
    }


class Answer(BaseModel):
    said: str


def told(steps: list[Any]) -> list[Any]:
    """The steps without what differs from run to run, and the pieces of texts put together."""
    texts: dict[Any, str] = {}
    for step in steps:
        if step.type == "text_delta":
            texts[step.step] = texts.get(step.step, "") + step.text
    others = [
        (step.type, getattr(getattr(step, "call", None), "id", None) or getattr(step, "text", None))
        for step in steps
        if step.type not in {"text_delta", "tool_arguments", "waiting"}
    ]
    return [texts, others]


@pytest.mark.parametrize("way", [way for way in WAYS if not way.stream], ids=["chat", "responses"])
async def test_a_loop_that_moves_after_every_step_does_all_of_it_once(way: Way) -> None:
    office, fake, steps = Office(), script(), list[Any]()
    given: dict[str, Any] = {"tools": office.tools(), "response_format": Answer}
    loop = way.loop(fake, **given)
    while (step := await anext(loop, None)) is not None:
        steps.append(step)
        loop = moved(loop, fake.async_client(middleware=[]), **given)
        if step.type == "waiting":
            [first, *_] = loop.waiting  # one at a time
            await loop.submit(answers_of([first]))
            loop = moved(loop, fake.async_client(middleware=[]), **given)
    assert sorted(office.ran) == RAN
    assert fake.pending == 0
    assert len(fake.requests) == 4
    assert steps[-1].parsed == Answer(said="done")
    assert loop.final == steps[-1]
    assert loop.usage.calls == 4
    check_history(steps[-1].messages)
    texts, others = told(await go_to_the_end(way.loop(script(), tools=Office().tools(), response_format=Answer)))
    assert told(steps)[0] == texts
    assert sorted(told(steps)[1], key=str) == sorted(others, key=str)


async def go_to_the_end(loop: ToolLoop) -> list[Any]:
    steps: list[Any] = []
    while not loop.final:
        async for step in loop:
            steps.append(step)
        await loop.submit(answers_of(loop.waiting))
    return steps


async def run_until(stop: int, loop: ToolLoop) -> list[Any]:
    """The first steps, after which the loop is left where it is."""
    steps: list[Any] = []
    while True:
        async for step in loop:
            steps.append(step)
            if len(steps) > stop:
                await loop.aclose()
                return steps
        await loop.submit(answers_of(loop.waiting))


@pytest.mark.parametrize("way", [way for way in WAYS if way.stream], ids=["chat", "responses"])
async def test_a_loop_can_move_in_the_middle_of_any_stream(way: Way) -> None:
    for stop in range(len(await go_to_the_end(way.loop(script(), tools=Office().tools())))):
        office = Office()
        first = way.loop(script(), tools=office.tools())
        before = await run_until(stop, first)
        state = json.loads(json.dumps(first.save()))
        rest = script(state["steps"])
        again = ToolLoop.resume(rest.async_client(middleware=[]), state, tools=office.tools())
        after = await go_to_the_end(again)
        assert sorted(office.ran) == RAN
        assert (rest.pending, again.usage.calls) == (0, 4)
        results = [(step.call, step.text) for step in results_of(before + after)]
        assert len(results) == len(set(results)) == 9
        assert again.final is not None
        check_history(again.final.messages)


@ways
async def test_a_finished_loop_can_be_resumed_for_its_answer(way: Way) -> None:
    fake = FakeOpenAI().reply('{"said": "hi"}')
    loop = way.loop(fake, response_format=Answer)
    final = (await all_of(loop))[-1]
    again = moved(loop, fake.async_client(middleware=[]), response_format=Answer)
    assert await all_of(again) == []
    assert again.final is not None
    assert again.final.parsed == Answer(said="hi")
    assert again.final.reply.to_dict() == final.reply.to_dict()
    assert type(again.final.reply) is type(final.reply)
    assert again.final.messages == final.messages


@ways
async def test_a_crash_in_a_batch_loses_no_tool_that_had_finished(way: Way) -> None:
    """The process dies (a BaseException) while one of three tools runs; the other two had stored their results."""
    stored: list[dict[str, Any]] = []
    ran: list[str] = []

    def quick(name: str) -> str:
        """Finish."""
        ran.append(name)
        return name

    async def dies() -> str:
        """Die the first time."""
        ran.append("dies")
        if ran.count("dies") == 1:
            while len(stored) < 3:
                await asyncio.sleep(0)
            raise KeyboardInterrupt
        return "lived"

    fake = FakeOpenAI().reply(tool_calls=[("quick", {"name": "a"}), ("dies", {}), ("quick", {"name": "b"})])
    fake.reply("Done.")
    tools: list[Any] = [quick, dies]

    def store(state: dict[str, Any]) -> None:
        stored.append(json.loads(json.dumps(state)))

    loop = way.loop(fake, tools=tools, checkpoint=store)
    with pytest.raises(KeyboardInterrupt):
        await all_of(loop)
    again = ToolLoop.resume(fake.async_client(middleware=[]), stored[-1], tools=tools)
    await all_of(again)
    assert sorted(ran) == ["a", "b", "dies", "dies"]
    assert outputs(again.messages) == ["a", "lived", "b"]
    check_history(again.messages)


@ways
async def test_a_checkpoint_is_made_of_each_thing_that_must_not_be_done_twice(way: Way) -> None:
    states: list[dict[str, Any]] = []

    async def checkpoint(state: dict[str, Any]) -> None:
        states.append(state)

    office = Office()
    loop = way.loop(script(1), tools=office.tools(), checkpoint=checkpoint)
    await all_of(loop)
    assert len(states) == 2  # the reply, one tool
    await loop.submit(answers_of(loop.waiting))
    assert len(states) == 3
    await all_of(loop)
    assert len(states) == 8  # two payments, of which one is denied; a reply; two errors
    done = [sum(one["result"] is not None for one in state["calls"]) for state in states]
    assert done[:3] == [0, 1, 2]
    assert (sorted(done[:5]), done[4], done[5], done[7]) == (done[:5], 4, 0, 2)  # two that end at once may be in one


@ways
async def test_a_slow_checkpoint_is_never_overtaken_by_a_later_one(way: Way) -> None:
    stored: list[int] = []

    async def checkpoint(state: dict[str, Any]) -> None:
        done = sum(one["result"] is not None for one in state["calls"])
        for _ in range(0 if done == 2 else 20):
            await asyncio.sleep(0)
        stored.append(done)

    await all_of(way.loop(script(), tools=Office().tools(), checkpoint=checkpoint))
    assert stored[:3] in ([0, 1, 2], [0, 2, 2])


@ways
async def test_what_a_tool_returned_is_saved_as_the_model_reads_it_only(way: Way) -> None:
    def look() -> Answer:
        """Look."""
        return Answer(said="seen")

    fake = FakeOpenAI().reply(tool_calls=[("look", {}), ("search", {})])
    loop = way.loop(fake, tools=[look, SEARCH])
    [result] = results_of(await all_of(loop))
    assert result.value == Answer(said="seen")
    assert "value" not in loop.save()["calls"][0]["result"]


@ways
async def test_a_checkpoint_that_fails_stops_the_loop_but_loses_no_result(way: Way) -> None:
    failures = iter([None, OSError("full"), OSError("full")])

    def checkpoint(_: object) -> None:
        if failure := next(failures, None):
            raise failure

    office = Office()
    loop = way.loop(script(), tools=office.tools(), checkpoint=checkpoint)
    steps: list[Any] = []

    async def read() -> None:
        async for step in loop:
            steps.append(step)

    with pytest.raises(OSError, match="full"):
        await read()
    assert sorted(office.ran) == ["look a", "look b"]
    await read()
    assert [step.text for step in results_of(steps)][:2] == ["a seen", "b seen"]
    assert sorted(office.ran) == ["look a", "look b", "look c"]


PROCESS = """
import asyncio, json, sys
from llmkit.testing import FakeOpenAI
from llmkit.tools.loop.loop import ToolLoop
from llmkit.tools.definition import tool

def look(place: str) -> str:
    "Look at a place."
    print("ran look", place)
    return f"{place} seen"

@tool(needs_approval=True)
def pay(amount: int) -> str:
    "Pay an amount."
    print("ran pay", amount)
    return f"paid {amount}"

async def main(path):
    fake = FakeOpenAI().reply("Done.")
    loop = ToolLoop.resume(fake.async_client(), json.load(open(path)), tools=[look, pay])
    await loop.submit({call.id: True for call in loop.waiting})
    async for step in loop:
        print(step.type)
    print(json.dumps(loop.final.messages))

asyncio.run(main(sys.argv[1]))
"""


@ways
async def test_another_process_goes_on(way: Way, tmp_path: Path) -> None:
    office = Office()
    fake = FakeOpenAI().reply(tool_calls=[("look", {"place": "a"}), ("pay", {"amount": 1})])
    loop = way.loop(fake, tools=office.tools())
    await all_of(loop)
    assert office.ran == ["look a"]
    path = tmp_path / "state.json"
    path.write_text(json.dumps(loop.save()))
    done = subprocess.run([sys.executable, "-c", PROCESS, str(path)], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("ran")] == ["ran pay 1"]
    assert lines[-2] == "final"
    history = json.loads(lines[-1])
    check_history(history)
    assert outputs(history) == ["a seen", "paid 1"]


# --- what a state holds ---


@ways
async def test_options_are_saved_and_secrets_are_not(way: Way) -> None:
    fake = FakeOpenAI().reply(tool_calls=[("search", {})]).reply("Done.")
    server = {"type": "mcp", "server_label": "x", "authorization": CANARY, "headers": {"x-key": CANARY}}
    tools: list[Any] = [SEARCH, *([server] if way.api == "responses" else [])]
    secrets: dict[str, Any] = {name: {"x-key": CANARY} for name in ("extra_headers", "extra_query", "extra_body")}
    loop = way.loop(
        fake, tools=tools, temperature=0.5, max_steps=4, tool_choice="required", max_cost="0.5", timeout=30, **secrets
    )
    await all_of(loop)
    state = json.dumps(loop.save())
    assert CANARY not in state
    assert "sk-fake" not in state
    assert CANARY not in repr(loop)
    again = moved(loop, fake.async_client(middleware=[]), tools=tools, temperature=0.7)
    await again.submit({again.waiting[0].id: "found"})
    await all_of(again)
    body = fake.requests[1].body
    assert (body["temperature"], body["tool_choice"]) == (0.7, "auto")
    assert "x-key" not in body
    assert again.save()["settings"]["limits"]["max_cost"] == "0.5"


@ways
async def test_an_option_that_is_no_json_is_given_again(way: Way) -> None:
    fake = FakeOpenAI().reply("Hi.")
    loop = way.loop(fake, metadata={"now": object()})
    assert "metadata" not in loop.save()["settings"]["options"]


@ways
async def test_a_loop_at_its_ceiling_goes_on_with_a_higher_one(way: Way) -> None:
    office = Office()
    fake = script()
    loop = way.loop(fake, tools=office.tools(), max_steps=1)
    with pytest.raises(ToolLoopLimit):
        await all_of(loop)
    with pytest.raises(ToolLoopLimit):
        await all_of(loop)
    again = moved(loop, fake.async_client(middleware=[]), tools=office.tools(), max_steps=2)
    assert (await all_of(again))[-1].type == "waiting"
    assert office.ran == ["look a", "look b", "look c"]


async def test_a_state_that_cannot_be_resumed_says_why() -> None:
    client = FakeOpenAI().async_client()
    fake = FakeOpenAI().reply(tool_calls=[("search", {}), ("nowhere", {})])
    loop = WAYS[0].loop(fake, tools=[SEARCH], response_format=Answer)
    await all_of(loop)
    state = loop.save()
    with pytest.raises(InvalidState, match="the state has calls of search: give tools= that have these"):
        ToolLoop.resume(client, state, response_format=Answer)
    with pytest.raises(InvalidState, match="the answer is to be a Answer: give response_format= again"):
        ToolLoop.resume(client, state, tools=[SEARCH])
    with pytest.raises(TypeError, match="the state has the messages already"):
        ToolLoop.resume(client, state, tools=[SEARCH], response_format=Answer, messages=[])
    with pytest.raises(InvalidState, match="is no state of a ToolLoop"):
        ToolLoop.resume(client, {"messages": []})
    with pytest.raises(InvalidState, match="is no state of a ToolLoop"):
        ToolLoop.resume(client, "state")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidState, match="has version 99, a newer llmkit's"):
        ToolLoop.resume(client, {**state, "version": 99})
    with pytest.raises(InvalidState, match="damaged at 'history'"):
        ToolLoop.resume(client, {**state, "history": CANARY})


async def test_the_error_of_a_damaged_state_shows_nothing_of_it() -> None:
    state = {**WAYS[0].loop(FakeOpenAI()).save(), "usage": CANARY}
    with pytest.raises(InvalidState) as caught:
        ToolLoop.resume(FakeOpenAI().async_client(), state)
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__


def places(value: Any) -> list[tuple[Any, ...]]:
    """The paths of all that is in some JSON."""
    kind = type(value).__name__
    keys: Any = list(value) if kind == "dict" else range(len(value)) if kind == "list" else ()
    return [path for key in keys for path in [(key,), *((key, *more) for more in places(value[key]))]]


def damaged(state: Any, path: tuple[Any, ...], *value: Any) -> Any:
    """The state with another value at a path, or with none."""
    copy: Any = json.loads(json.dumps(state))
    inner: Any = copy
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    if value:
        inner.update({path[-1]: value[0]}) if hasattr(inner, "update") else inner.insert(path[-1], value[0])
    return copy


@pytest.mark.parametrize("way", [way for way in WAYS if not way.stream], ids=["chat", "responses"])
async def test_whatever_is_damaged_in_a_state_is_found_when_it_is_resumed(way: Way) -> None:
    office, states = Office(), list[Any]()
    loop = way.loop(script(1), tools=office.tools(), response_format=Answer, checkpoint=states.append)
    await go_to_the_end(loop)
    client = FakeOpenAI().async_client(middleware=[])
    damages: tuple[tuple[Any, ...], ...] = ((), (None,), (5,), ({},), ([],))
    for state in (states[2], loop.save()):
        for path in places(state):
            for value in damages:
                bad = damaged(state, path, *value)
                with suppress(InvalidState, InvalidAnswer):
                    found = ToolLoop.resume(client, bad, tools=office.tools(), response_format=Answer)
                    assert isinstance(found.messages + list(found.waiting), list)
                    assert found.final is None or found.final.text is not None


@ways
async def test_keys_that_a_server_repeats_are_not_saved(way: Way) -> None:
    server = {"type": "mcp", "server_label": "x", "authorization": CANARY, "headers": {"x-key": CANARY}}
    loop = way.loop(FakeOpenAI().reply("Hi."))
    final: Any = (await all_of(loop))[-1]
    body = {**final.reply.to_dict(mode="json"), "tools": [server]}
    loop = way.loop(FakeOpenAI().respond(httpx2.Response(200, json=body)), stream=False)
    await all_of(loop)
    assert CANARY not in json.dumps(loop.save())
    assert loop.save()["reply"]["tools"] == [{"type": "mcp", "server_label": "x"}]


@ways
async def test_half_a_surrogate_pair_can_be_saved(way: Way) -> None:
    fake = FakeOpenAI().reply("\ud83d cut")
    loop = way.loop(fake)
    final = (await all_of(loop))[-1]
    json.dumps(final.messages, ensure_ascii=False).encode()
    assert moved(loop, fake.async_client(middleware=[])).final is not None
