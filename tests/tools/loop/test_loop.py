"""ToolLoop: waiting for people and for tools that run elsewhere."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest
from tools.loop.loops import WAYS, Way, all_of, check_history, moved, of_type, outputs, results_of, streams, ways

from llmkit.testing import FakeOpenAI
from llmkit.tools.approval import Allow, Deny, Edit
from llmkit.tools.definition import declared, tool
from llmkit.tools.loop.errors import InvalidSubmission, NoReply, ToolLoopBusy
from llmkit.tools.loop.loop import ToolLoop
from llmkit.tools.loop.steps import Final
from llmkit.tools.parts import TextPart
from llmkit.tools.registry import ToolRegistry
from llmkit.tools.result import ToolResult

NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
SEARCH = declared("search", parameters=NOTHING, description="Runs elsewhere.")


class Till:
    """A tool that needs approval, and what it has paid."""

    def __init__(self) -> None:
        self.paid: list[int] = []

    def tools(self) -> list[Any]:
        @tool(needs_approval=True)
        def pay(amount: int) -> str:
            """Pay an amount."""
            self.paid.append(amount)
            return f"paid {amount}"

        def get_balance() -> int:
            """Look up the balance."""
            return 100

        return [pay, get_balance, SEARCH]


def one_of_each() -> FakeOpenAI:
    fake = FakeOpenAI()
    fake.reply(tool_calls=[("search", {}), ("get_balance", {}), ("pay", {"amount": 3})])
    return fake.reply("Done.")


def ids(loop: ToolLoop) -> dict[str, str]:
    return {call.name: call.id for call in loop.waiting}


@ways
async def test_what_can_run_runs_before_the_loop_waits_for_the_rest(way: Way) -> None:
    async with way.loop(one_of_each(), tools=Till().tools()) as loop:
        steps = await all_of(loop)
        assert [step.text for step in results_of(steps)] == ["100"]
        waiting = steps[-1]
        assert waiting.type == "waiting"
        assert waiting.calls == loop.waiting
        assert {call.name: waiting.reasons[call.id] for call in waiting.calls} == {
            "search": "external",
            "pay": "approval",
        }
        assert loop.final is None


@ways
async def test_results_and_decisions_are_submitted_and_the_loop_goes_on(way: Way) -> None:
    till = Till()
    fake = one_of_each()
    async with way.loop(fake, tools=till.tools()) as loop:
        await all_of(loop)
        assert till.paid == []
        waiting = ids(loop)
        await loop.submit({waiting["search"]: {"found": [1, 2]}, waiting["pay"]: Allow()})
        assert loop.waiting == ()
        steps = await all_of(loop)
    assert till.paid == [3]
    assert [step.text for step in results_of(steps)] == ['{"found":[1,2]}', "paid 3"]
    final = steps[-1]
    assert isinstance(final, Final)
    assert outputs(final.messages) == ['{"found":[1,2]}', "100", "paid 3"]
    check_history(final.messages)
    assert loop.final == final
    assert loop.messages == final.messages
    assert loop.usage == final.usage


@ways
async def test_submitting_inside_the_iteration_goes_on_without_a_stop(way: Way) -> None:
    till, kinds = Till(), list[str]()
    async with way.loop(one_of_each(), tools=till.tools()) as loop:
        async for step in loop:
            kinds.append(step.type)
            if step.type == "waiting":
                await loop.submit({call.id: True if call.name == "pay" else "found" for call in step.calls})
    assert kinds[-1] == "final"
    assert kinds.count("waiting") == 1
    assert till.paid == [3]


@ways
async def test_a_part_can_be_submitted_and_the_loop_waits_for_the_rest(way: Way) -> None:
    till = Till()
    async with way.loop(one_of_each(), tools=till.tools()) as loop:
        await all_of(loop)
        waiting = ids(loop)
        await loop.submit({waiting["pay"]: True})
        steps = await all_of(loop)
        assert [step.type for step in steps] == ["tool_result", "waiting"]
        assert [call.name for call in steps[-1].calls] == ["search"]
        assert till.paid == [3]
        await loop.submit({waiting["search"]: "found"})
        assert (await all_of(loop))[-1].text == "Done."


@ways
async def test_a_new_iteration_tells_again_what_is_waited_for(way: Way) -> None:
    async with way.loop(one_of_each(), tools=Till().tools()) as loop:
        first = (await all_of(loop))[-1]
        assert await all_of(loop) == [first]
        await loop.submit({})
        assert await all_of(loop) == [first]


@ways
@pytest.mark.parametrize(
    ("decision", "paid", "said"),
    [
        (Deny("too much"), [], "too much"),
        (False, [], "not"),
        (Edit({"amount": 2}), [2], "paid 2"),
        (Edit({"amount": "many"}), [], "amount"),
    ],
)
async def test_a_person_can_deny_and_edit(way: Way, decision: Any, paid: list[int], said: str) -> None:
    till = Till()
    fake = FakeOpenAI().reply(tool_calls=[("pay", {"amount": 3})]).reply("So be it.")
    async with way.loop(fake, tools=till.tools()) as loop:
        await all_of(loop)
        await loop.submit({ids(loop)["pay"]: decision})
        steps = await all_of(loop)
    assert till.paid == paid
    assert said in results_of(steps)[0].text
    check_history(steps[-1].messages)


@ways
async def test_whoever_runs_a_tool_elsewhere_can_refuse(way: Way) -> None:
    fake = FakeOpenAI().reply(tool_calls=[("search", {}), ("search", {})]).reply("So be it.")
    async with way.loop(fake, tools=[SEARCH]) as loop:
        await all_of(loop)
        first, second = loop.waiting
        await loop.submit({first.id: Deny("no network"), second.id: Deny()})
        results = results_of(await all_of(loop))
    assert [result.text for result in results] == ["Error: search was not run: no network", "Error: search was not run"]
    assert [result.error for result in results] == ["denied", "denied"]


@ways
async def test_a_result_can_be_a_tool_result(way: Way) -> None:
    fake = FakeOpenAI().reply(tool_calls=[("search", {}), ("pay", {"amount": 3})]).reply("So be it.")
    till = Till()
    async with way.loop(fake, tools=till.tools()) as loop:
        await all_of(loop)
        found, paid = (ToolResult(call=call, content=(TextPart(text=call.name),)) for call in loop.waiting)
        with pytest.raises(InvalidSubmission, match="was given the ToolResult of the call"):
            await loop.submit({found.call.id: paid})
        await loop.submit({found.call.id: found, paid.call.id: paid})
        assert results_of(await all_of(loop)) == [found, paid]
    assert till.paid == []


@ways
async def test_what_is_submitted_is_cut_as_a_tools_result_is(way: Way) -> None:
    fake = FakeOpenAI().reply(tool_calls=[("search", {}), ("lookup", {})]).reply("Long.")
    lookup = declared("lookup", parameters=NOTHING, max_result_tokens=50)
    registry = ToolRegistry([SEARCH, lookup], max_result_tokens=100)
    async with way.loop(fake, tools=registry) as loop:
        await all_of(loop)
        await loop.submit({call.id: "word " * 1000 for call in loop.waiting})
        results = results_of(await all_of(loop))
    assert [result.truncated for result in results] == [True, True]
    assert len(results[1].text) < len(results[0].text) < 1000


@ways
async def test_a_submission_that_fits_nothing_is_refused_whole(way: Way) -> None:
    async with way.loop(one_of_each(), tools=Till().tools()) as loop:
        await all_of(loop)
        waiting = ids(loop)
        search, pay = waiting["search"], waiting["pay"]
        with pytest.raises(InvalidSubmission, match="'call_x' is no call of the last reply; waiting: 'call_"):
            await loop.submit({search: "found", "call_x": 1})
        with pytest.raises(InvalidSubmission, match=r"waits for approval: submit Allow\(\).* not a str"):
            await loop.submit({search: "found", pay: "yes"})
        with pytest.raises(InvalidSubmission, match="runs elsewhere, so Allow has nothing to run"):
            await loop.submit({search: Allow()})
        with pytest.raises(InvalidSubmission, match="runs elsewhere, so Edit has nothing to run"):
            await loop.submit({search: Edit({})})
        assert ids(loop) == waiting
        await loop.submit({search: "found", pay: True})
        for call_id in (search, pay):
            with pytest.raises(InvalidSubmission, match="has been answered already; waiting: nothing"):
                await loop.submit({call_id: "again"})


@ways
async def test_what_is_no_json_data_cannot_be_submitted(way: Way) -> None:
    async with way.loop(one_of_each(), tools=Till().tools()) as loop:
        await all_of(loop)
        waiting = ids(loop)
        search, pay = waiting["search"], waiting["pay"]
        for call_id, value in {search: object(), pay: Edit({"amount": object()})}.items():
            with pytest.raises(InvalidSubmission, match=f"what '{call_id}' was given has a object, which is not JSON"):
                await loop.submit({call_id: value})
        for arguments in ("amount", None):
            with pytest.raises(InvalidSubmission, match=r"Edit\(a dict of arguments\)"):
                await loop.submit({pay: Edit(arguments)})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidSubmission, match="give a dict of results by call id, not a list"):
            await loop.submit(["found"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert ids(loop) == waiting


@ways
@pytest.mark.parametrize("decision", [Deny(None), Edit({"amount": 2, "note": "\ud83d"})])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def test_any_decision_that_was_taken_can_be_saved(way: Way, decision: Any) -> None:
    till = Till()
    fake = FakeOpenAI().reply(tool_calls=[("pay", {"amount": 3})]).reply("So be it.")
    loop = way.loop(fake, tools=till.tools())
    await all_of(loop)
    await loop.submit({ids(loop)["pay"]: decision})
    again = moved(loop, fake.async_client(middleware=[]), tools=till.tools())
    assert (await all_of(again))[-1].text == "So be it."
    assert till.paid == []


async def test_of_two_submissions_at_once_the_first_counts() -> None:
    fake = FakeOpenAI().reply(tool_calls=[("search", {})]).reply("Done.")
    async with WAYS[0].loop(fake, tools=[SEARCH]) as loop:
        await all_of(loop)
        call_id = loop.waiting[0].id
        long = "é" * 50_000  # counted in a thread
        outcomes = await asyncio.gather(
            loop.submit({call_id: long}), loop.submit({call_id: "second"}), return_exceptions=True
        )
        [refused] = [outcome for outcome in outcomes if outcome is not None]
        assert isinstance(refused, InvalidSubmission)
        assert outputs((await all_of(loop))[-1].messages) == ["second"]


@ways
async def test_a_call_that_nobody_could_run_asks_nobody(way: Way) -> None:
    till = Till()
    fake = FakeOpenAI().reply(tool_calls=[("pay", {"amount": "x"}), ("pay", "{"), ("nowhere", {})]).reply("Sorry.")
    steps = await all_of(way.loop(fake, tools=till.tools()))
    assert [step.error for step in results_of(steps)] == [
        "invalid_arguments",
        "invalid_json",
        "unknown_tool",
    ]


@ways
async def test_with_a_hook_nobody_else_is_asked(way: Way) -> None:
    till = Till()
    fake = FakeOpenAI().reply(tool_calls=[("pay", {"amount": 3})]).reply("Paid.")
    steps = await all_of(way.loop(fake, tools=till.tools(), approve=bool))
    assert not of_type(steps, "waiting")
    assert till.paid == [3]


@ways
async def test_a_hook_that_raises_denies(way: Way) -> None:
    def approve(_: Any) -> bool:
        raise RuntimeError("no terminal")

    till = Till()
    fake = FakeOpenAI().reply(tool_calls=[("pay", {"amount": 3})]).reply("Not paid.")
    steps = await all_of(way.loop(fake, tools=till.tools(), approve=approve))
    assert [step.error for step in results_of(steps)] == ["denied"]
    assert till.paid == []


async def test_messages_are_a_valid_history_at_every_step() -> None:
    for way in WAYS:
        async with way.loop(one_of_each(), tools=Till().tools()) as loop:
            async for step in loop:
                check_history(loop.messages)
                if step.type == "waiting":
                    assert len(loop.messages) == 1
                    await loop.submit({call.id: True if call.name == "pay" else "found" for call in step.calls})
                    check_history(loop.messages)
            assert outputs(loop.messages) == ["found", "100", "paid 3"]


async def test_results_of_tools_elsewhere_are_in_the_messages_once_all_are_there() -> None:
    fake = FakeOpenAI().reply(tool_calls=[("search", {})]).reply("Done.")
    async with WAYS[0].loop(fake, tools=[SEARCH]) as loop:
        await all_of(loop)
        await loop.submit({loop.waiting[0].id: "found"})
        assert outputs(loop.messages) == ["found"]


@ways
async def test_a_finished_loop_says_nothing_more(way: Way) -> None:
    async with way.loop(FakeOpenAI().reply("Hi.")) as loop:
        assert (await all_of(loop))[-1].type == "final"
        assert await all_of(loop) == []
        with pytest.raises(StopAsyncIteration):
            await anext(loop)


@ways
async def test_after_an_error_of_the_api_the_loop_can_be_iterated_on(way: Way) -> None:
    ran: list[str] = []

    def look() -> str:
        ran.append("look")
        return "seen"

    fake = FakeOpenAI().reply(tool_calls=[("look", {})]).error(400, message="odd").reply("Done.")
    async with way.loop(fake, tools=[look]) as loop:
        with pytest.raises(openai.BadRequestError):
            await all_of(loop)
        assert outputs(loop.messages) == ["seen"]
        assert (await all_of(loop))[-1].text == "Done."
    assert ran == ["look"]


CHOICE: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
COMPLETION: dict[str, Any] = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}


@pytest.mark.parametrize("way", [way for way in WAYS if not way.stream], ids=["chat", "responses"])
@pytest.mark.parametrize(
    "body",
    [
        {**COMPLETION, "choices": []},
        {**COMPLETION, "choices": [{**CHOICE, "message": None}]},
        {"error": {"message": "overloaded"}},
        "<html>A gateway</html>",
    ],
    ids=["no-choice", "no-message", "error", "html"],
)
async def test_an_answer_that_is_none_can_be_asked_for_again(way: Way, body: Any) -> None:
    answer: dict[str, Any] = (
        {"text": body, "headers": {"content-type": "text/html"}} if isinstance(body, str) else {"json": body}
    )
    fake = FakeOpenAI().respond(httpx2.Response(200, **answer)).reply("Here.")
    loop = way.loop(fake)
    with pytest.raises(NoReply, match="see that base_url is right, and iterate the loop again"):
        await all_of(loop)
    assert (await all_of(loop))[-1].text == "Here."


async def test_an_answer_in_parts_has_their_text() -> None:
    parts = [{"type": "text", "text": "It is "}, {"type": "reference"}, {"type": "text", "text": "18."}]
    message = {"role": "assistant", "content": parts}
    fake = FakeOpenAI().respond(httpx2.Response(200, json={**COMPLETION, "choices": [{**CHOICE, "message": message}]}))
    steps = await all_of(WAYS[0].loop(fake))
    assert of_type(steps, "text_delta")[0].text == steps[-1].text == "It is 18."


@streams
async def test_a_loop_is_not_closed_under_the_task_that_iterates_it(way: Way) -> None:
    fake = FakeOpenAI(delay=3600).reply("Never.")
    loop = way.loop(fake)
    task = asyncio.create_task(all_of(loop))
    while not fake.open_streams:
        await asyncio.sleep(0)
    with pytest.raises(ToolLoopBusy, match="cancel the task that does"):
        await loop.aclose()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fake.open_streams == 0


async def test_only_one_task_iterates_a_loop() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> str:
        begun.set()
        await go_on.wait()
        return "waited"

    fake = FakeOpenAI().reply(tool_calls=[("wait", {})]).reply("Done.")
    loop = WAYS[0].loop(fake, tools=[wait])
    task = asyncio.create_task(all_of(loop))
    await begun.wait()
    with pytest.raises(ToolLoopBusy):
        await anext(loop)
    go_on.set()
    assert (await task)[-1].text == "Done."


async def test_a_result_from_elsewhere_can_come_while_tools_run_here() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> str:
        begun.set()
        await go_on.wait()
        return "waited"

    fake = FakeOpenAI().reply(tool_calls=[("wait", {}), ("search", {})]).reply("Done.")
    loop = WAYS[0].loop(fake, tools=[wait, SEARCH])
    task = asyncio.create_task(all_of(loop))
    await begun.wait()
    await loop.submit({loop.waiting[0].id: "found"})
    go_on.set()
    steps = await task
    assert not of_type(steps, "waiting")
    assert outputs(steps[-1].messages) == ["waited", "found"]


@ways
async def test_a_result_is_a_step_as_soon_as_it_is_there_and_the_model_gets_them_in_order(way: Way) -> None:
    go, told = asyncio.Event(), list[str]()

    async def slow() -> str:
        await go.wait()
        return "slow"

    async def quick() -> str:
        return "quick"

    fake = FakeOpenAI().reply(tool_calls=[("slow", {}), ("quick", {})]).reply("Done.")
    loop = way.loop(fake, tools=[quick, slow])
    async for step in loop:
        if step.type == "tool_result":
            told.append(step.text)
            go.set()
    assert told == ["quick", "slow"]
    assert outputs(loop.messages) == ["slow", "quick"]


async def test_leaving_while_tools_run_cancels_them() -> None:
    cancelled = asyncio.Event()

    async def slow() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "never"

    async def quick() -> str:
        return "quick"

    fake = FakeOpenAI().reply(tool_calls=[("slow", {}), ("quick", {})])
    async with WAYS[0].loop(fake, tools=[quick, slow]) as loop:
        async for step in loop:
            if step.type == "tool_result":
                break
    assert cancelled.is_set()


async def test_a_cancelled_batch_keeps_what_has_finished() -> None:
    ran: list[str] = []
    quick_is_done, begun = asyncio.Event(), asyncio.Event()

    async def quick() -> str:
        ran.append("quick")
        quick_is_done.set()
        return "quick"

    async def slow() -> str:
        ran.append("slow")
        begun.set()
        if ran.count("slow") == 1:
            await asyncio.Event().wait()
        return "slow"

    fake = FakeOpenAI().reply(tool_calls=[("slow", {}), ("quick", {})]).reply("Done.")
    loop = WAYS[0].loop(fake, tools=[quick, slow])
    task = asyncio.create_task(all_of(loop))
    await quick_is_done.wait()
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    steps = await all_of(loop)
    assert [step.text for step in results_of(steps)] == ["slow", "quick"]
    assert sorted(ran) == ["quick", "slow", "slow"]
    assert json.loads(json.dumps(loop.save()))["told"] is True
