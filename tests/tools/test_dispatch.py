from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest

from llmkit import tags
from llmkit.testing import virtual_time
from llmkit.tools.call import ToolCall
from llmkit.tools.context import ToolContext
from llmkit.tools.errors import ToolError
from llmkit.tools.registry import ToolRegistry
from llmkit.tools.result import ToolResult

PNG = b"\x89PNG\r\n\x1a\n"


def call(name: str, arguments: str = "{}", id: str = "c1") -> ToolCall:
    return ToolCall(id=id, name=name, arguments=arguments)


async def result_of(function: Callable[..., Any], arguments: str = "{}", **options: Any) -> ToolResult:
    registry = ToolRegistry()
    registry.add(function, name="it", **options)
    [result] = await registry.dispatch([call("it", arguments)])
    return result


class Meter:
    """Counts how many are inside at the same time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *error: object) -> None:
        self.now -= 1


# --- results


async def test_a_plain_function_runs_in_a_thread_with_the_callers_tags() -> None:
    def where(context: ToolContext[Any]) -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), dict(context.tags)]

    with tags(user="alice"):
        assert (await result_of(where)).value == [False, {"user": "alice"}]


async def test_a_tool_learns_of_its_call() -> None:
    seen: list[ToolContext[Any]] = []

    async def look(context: ToolContext[str], number: int) -> None:
        seen.append(context)

    registry = ToolRegistry(timeout=60)
    registry.add(look)
    registry.add(look, name="quick", timeout=5)
    with virtual_time() as clock:
        clock.advance(100)
        await registry.dispatch([call("look", '{"number":1}')], dependencies="db")
        await registry.dispatch([call("quick", '{"number":1}', id="c2")], dependencies="db")
    first, second = seen
    assert (first.call_id, first.tool_name, first.attempt, first.dependencies) == ("c1", "look", 1, "db")
    assert (first.deadline, second.deadline) == (160, 105)
    assert first.runtime is clock


async def test_without_a_timeout_there_is_no_deadline() -> None:
    def look(context: ToolContext[Any]) -> Any:
        return context.deadline

    assert (await result_of(look)).value is None


async def test_a_generator_gives_a_list_of_what_it_yields() -> None:
    threads: set[bool] = set()

    def numbers() -> Iterator[int]:
        for number in range(3):
            threads.add(threading.current_thread() is threading.main_thread())
            yield number

    async def anumbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async def awaited() -> Iterator[int]:
        return numbers()

    for function in (numbers, anumbers, awaited):
        result = await result_of(function)
        assert (result.text, result.value, result.truncated) == ("[0,1,2]", [0, 1, 2], False)
    assert threads == {False}


async def test_an_endless_generator_stops_at_the_cap() -> None:
    def endless() -> Iterator[str]:
        yield from map(str, itertools.count())

    async def aendless() -> AsyncIterator[str]:
        for number in itertools.count():
            yield str(number)

    for function in (endless, aendless):
        result = await result_of(function, max_result_tokens=100)
        assert result.truncated
        assert "stopped here" in result.text


async def test_a_plain_function_may_return_an_awaitable() -> None:
    async def inner() -> str:
        return "inner"

    def outer() -> Awaitable[str]:
        return inner()

    assert (await result_of(outer)).text == "inner"


async def test_an_image_is_sent_beside_its_result() -> None:
    registry = ToolRegistry([photo])
    messages = await registry.run(
        {"tool_calls": [{"id": id, "function": {"name": "photo", "arguments": "{}"}} for id in "ab"]}
    )
    assert [message["role"] for message in messages] == ["tool", "tool", "user", "user"]
    assert messages[0]["content"] == "[image/png, 8 bytes]"


async def photo() -> bytes:
    return PNG


async def test_what_is_no_data_is_an_error_that_names_the_type(caplog: pytest.LogCaptureFixture) -> None:
    async def odd() -> object:
        return object()

    result = await result_of(odd)
    assert (result.error, result.text) == ("invalid_result", "Error: it returned a object, which is not JSON data")
    assert "tool it returned a object, which is not JSON data" in caplog.text


async def test_an_exceptions_text_is_shown_where_the_tool_allows_it(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("no such row")

    assert (await result_of(fail, show_errors=True)).text == "Error: it failed (ValueError: no such row)"
    assert "no such row" not in caplog.text


async def test_a_tool_error_is_told_to_the_model_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ToolError("no city of that name")

    result = await result_of(fail, max_retries=3)
    assert (result.error, result.text) == ("exception", "Error: no city of that name")
    assert not caplog.records


async def test_a_tool_that_fails_in_its_time_has_failed() -> None:
    def fail() -> None:
        raise ValueError

    assert (await result_of(fail, timeout=60)).error == "exception"


async def test_a_broken_exception_is_told_like_any_other() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fail() -> None:
        raise Broken

    assert (await result_of(fail, show_errors=True)).text == "Error: it failed (Broken: Broken)"


async def test_a_validator_that_raises_is_a_tool_that_failed() -> None:
    from typing import Annotated

    from pydantic import AfterValidator

    def refuse(value: int) -> int:
        raise KeyError("canary")

    async def number(a: Annotated[int, AfterValidator(refuse)]) -> None: ...

    for options in ({}, {"needs_approval": True}):
        result = await result_of(number, '{"a":1}', **options)
        assert result.error in ("exception", "invalid_arguments")
        assert "canary" not in result.text


async def test_a_call_of_a_tool_that_runs_elsewhere_is_answered_by_an_error() -> None:
    registry = ToolRegistry()
    registry.declare("remote", parameters={"type": "object", "properties": {}})
    [result] = await registry.dispatch([call("remote")])
    assert (result.error, result.text) == (
        "runs_elsewhere",
        "Error: remote runs elsewhere, and its result was not given",
    )


async def test_an_unknown_name_is_told_the_nearest_of_many() -> None:
    registry = ToolRegistry()
    for index in range(200):
        registry.declare(f"tool_number_{index}", parameters={})
    registry.declare("get_weather", parameters={})
    [result] = await registry.dispatch([call("getweather")])
    assert "the tools are get_weather, tool_number_" in result.text
    assert result.text.endswith(" and 151 more")
    [result] = await ToolRegistry().dispatch([call("x")])
    assert result.text == "Error: there is no tool of that name; there are no tools"


# --- cancellation


async def never() -> str:
    await anyio.sleep_forever()
    return "never"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("timeout", [None, 60.0])
async def test_cancelling_the_run_cancels_its_tools(count: int, timeout: float | None) -> None:
    started, ended = anyio.Event(), Meter()

    async def wait() -> None:
        with ended:
            started.set()
            await anyio.sleep_forever()

    registry = ToolRegistry([wait], timeout=timeout)
    calls = [call("wait", id=f"c{index}") for index in range(count)]
    task = asyncio.create_task(registry.dispatch(calls))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.now == 0

    with anyio.CancelScope() as scope:
        scope.cancel()
        await registry.dispatch(calls)
    assert scope.cancelled_caught


@pytest.mark.parametrize("timeout", [None, 60.0])
async def test_cancelling_the_run_does_not_wait_for_threads(timeout: float | None) -> None:
    started, release = anyio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block() -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait()

    task = asyncio.create_task(ToolRegistry([block], timeout=timeout).dispatch([call("block")]))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()


async def test_a_cancellation_that_a_tool_makes_something_else_of_still_ends_the_run() -> None:
    started = anyio.Event()

    async def stubborn() -> None:
        try:
            started.set()
            await anyio.sleep_forever()
        except BaseException:  # noqa: BLE001
            raise ValueError from None

    registry = ToolRegistry([stubborn])
    task = asyncio.create_task(registry.dispatch([call("stubborn")]))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with anyio.create_task_group() as group:
        started = anyio.Event()
        group.start_soon(registry.dispatch, [call("stubborn")])
        await started.wait()
        group.cancel_scope.cancel()

    [result] = await ToolRegistry([stubborn], timeout=0.01).dispatch([call("stubborn")])
    assert result.error == "timeout"


async def test_results_that_were_there_before_a_cancellation_have_been_told() -> None:
    told: list[str] = []
    first = anyio.Event()

    async def quick() -> str:
        return "quick"

    async def tell(result: ToolResult) -> None:
        told.append(result.text)
        first.set()

    registry = ToolRegistry([quick, never])
    task = asyncio.create_task(registry.dispatch([call("never"), call("quick", id="c2")], on_result=tell))
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["quick"]


async def test_a_run_in_a_task_that_was_cancelled_before_goes_on() -> None:
    async def cleanup() -> list[ToolResult]:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            return await ToolRegistry([cancels_itself]).dispatch([call("cancels_itself")])
        raise AssertionError

    task = asyncio.create_task(cleanup())
    await anyio.lowlevel.checkpoint()
    task.cancel()
    assert [result.error for result in await task] == ["cancelled"]


async def cancels_itself() -> None:
    raise asyncio.CancelledError


async def test_a_tool_that_cancels_its_own_task_among_siblings_ends_alone() -> None:
    async def suicidal() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anyio.sleep_forever()

    async def fine() -> str:
        return "fine"

    registry = ToolRegistry([suicidal, fine])
    results = await registry.dispatch([call("fine"), call("suicidal", id="c2"), call("fine", id="c3")])
    assert [result.error for result in results] == [None, "cancelled", None]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("siblings", [0, 2])
async def test_leaving_the_program_ends_the_run_and_cancels_the_siblings(
    error: type[BaseException], in_thread: bool, siblings: int
) -> None:
    meter = Meter()

    async def wait() -> None:
        with meter:
            await anyio.sleep_forever()

    async def leave() -> None:
        raise error

    def leave_thread() -> None:
        raise error

    registry = ToolRegistry([wait])
    registry.add(leave_thread if in_thread else leave, name="leave")
    calls = [*(call("wait", id=f"c{index}") for index in range(siblings)), call("leave")]
    with pytest.raises(error):
        await registry.dispatch(calls)
    assert meter.now == 0


# --- on_result


async def test_each_result_is_told_as_soon_as_it_is_there() -> None:
    told: list[str] = []
    go = anyio.Event()

    async def slow() -> str:
        await go.wait()
        return "slow"

    async def fast() -> str:
        return "fast"

    def tell(result: ToolResult) -> None:
        told.append(result.text)
        go.set()

    registry = ToolRegistry([slow, fast])
    results = await registry.dispatch([call("slow"), call("fast", id="c2"), call("nope", id="c3")], on_result=tell)
    assert [result.text for result in results][:2] == ["slow", "fast"]
    assert told[-1] == "slow"
    assert len(told) == 3


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_what_on_result_raises_reaches_the_caller_as_it_is(count: int, error: type[BaseException]) -> None:
    async def fast() -> str:
        return "fast"

    def tell(result: ToolResult) -> None:
        raise error("told")

    with pytest.raises(error, match="told"):
        await ToolRegistry([fast]).dispatch([call("fast", id=f"c{n}") for n in range(count)], on_result=tell)


# --- concurrency


@pytest.mark.parametrize("in_thread", [False, True])
async def test_no_more_calls_run_at_once_than_allowed(in_thread: bool) -> None:
    meter, full, loop = Meter(), anyio.Event(), asyncio.get_running_loop()

    async def work() -> None:
        with meter:
            if meter.now == 3:
                full.set()
            await full.wait()
            await anyio.lowlevel.checkpoint()

    def work_in_thread() -> None:
        asyncio.run_coroutine_threadsafe(work(), loop).result()

    registry = ToolRegistry(max_concurrency=3)
    registry.add(work_in_thread if in_thread else work, name="work")
    results = await registry.dispatch([call("work", id=f"c{index}") for index in range(200)])
    assert [result.error for result in results] == [None] * 200
    assert meter.most == 3


async def test_waiting_for_a_place_takes_none_of_the_time() -> None:
    release = anyio.Event()
    finished: list[ToolResult] = []

    async def first() -> str:
        await release.wait()
        return "first"

    async def second() -> str:
        return "second"

    registry = ToolRegistry(max_concurrency=1)
    registry.add(first)
    registry.add(second, timeout=1e-9)
    with anyio.move_on_after(0.02):
        await registry.dispatch([call("first"), call("second", id="c2")], on_result=finished.append)
    assert finished == []


async def test_an_abandoned_thread_keeps_no_place() -> None:
    release = threading.Event()
    results: list[str | None] = []

    def block() -> None:
        release.wait()

    registry = ToolRegistry([block], timeout=0.005, max_concurrency=50)
    try:
        for _ in range(2):
            calls = [call("block", id=f"c{index}") for index in range(41)]
            results += [result.error for result in await registry.dispatch(calls)]
    finally:
        release.set()
    assert results == ["timeout"] * 82


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_tool_may_run_tools_of_its_own_registry(in_thread: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmkit.tools.registry._THREADS", 1)
    registry = ToolRegistry(max_concurrency=1)
    loop = asyncio.get_running_loop()

    async def nest(depth: int) -> str:
        if depth == 0:
            return "bottom"
        text = f'{{"depth":{depth - 1}}}'
        results = await registry.dispatch([call("nest", text), call("nest", text, id="c2")])
        return results[0].text + str(len(results))

    def nest_in_thread(depth: int) -> Any:
        return asyncio.run_coroutine_threadsafe(nest(depth), loop).result()

    registry.add(nest_in_thread if in_thread else nest, name="nest")
    results = await registry.dispatch([call("nest", '{"depth":3}'), call("nest", '{"depth":1}', id="c2")])
    assert [result.text for result in results] == ["bottom222", "bottom2"]


async def test_one_registry_serves_two_event_loops_at_once() -> None:
    barrier = threading.Barrier(2, timeout=30)

    def meet() -> str:
        barrier.wait()
        return "met"

    registry = ToolRegistry([meet], max_concurrency=1)

    def loop() -> list[str]:
        return [result.text for result in asyncio.run(registry.dispatch([call("meet")]))]

    texts: list[list[str]] = []
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(lambda: collect(texts, loop))
    assert texts == [["met"], ["met"]]


async def collect(texts: list[list[str]], loop: Callable[[], list[str]]) -> None:
    texts.append(await anyio.to_thread.run_sync(loop))


async def test_a_task_that_a_tool_leaves_behind_goes_on_after_its_result() -> None:
    go, ended = anyio.Event(), anyio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def background() -> None:
        await go.wait()
        ended.set()

    async def spawn() -> str:
        tasks.append(asyncio.create_task(background()))
        return "spawned"

    assert (await result_of(spawn)).text == "spawned"
    go.set()
    await ended.wait()
    await tasks[0]


async def test_calls_without_ids_or_with_the_same_have_a_result_each() -> None:
    async def fine() -> str:
        return "fine"

    results = await ToolRegistry([fine]).dispatch([call("fine", id=""), call("fine", id=""), call("fine", id="x")])
    assert len(results) == 3
    assert await ToolRegistry().dispatch([]) == []


# --- retries


async def test_a_tool_is_retried_as_often_as_it_asked_with_growing_waits() -> None:
    attempts: list[int] = []

    async def flaky(context: ToolContext[Any]) -> str:
        attempts.append(context.attempt)
        if context.attempt < 4:
            raise ConnectionError
        return "at last"

    def flaky_in_thread(context: ToolContext[Any]) -> Any:
        return flaky(context)

    for function in (flaky, flaky_in_thread):
        attempts.clear()
        with virtual_time() as clock:
            result = await result_of(function, max_retries=3)
        assert (result.text, attempts) == ("at last", [1, 2, 3, 4])
        assert len(clock.sleeps) == 3
        assert all(0 < wait <= 0.5 * 2**n for n, wait in enumerate(clock.sleeps))


async def test_the_last_failure_is_the_result(caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[int] = []

    async def slow(context: ToolContext[Any]) -> None:
        attempts.append(context.attempt)
        await anyio.sleep_forever()

    with virtual_time(), caplog.at_level(logging.WARNING):
        result = await result_of(slow, max_retries=2, timeout=0.01)
    assert (result.error, attempts) == ("timeout", [1, 2, 3])
    assert len(caplog.records) == 1


@pytest.mark.parametrize("arguments", ["{", '{"number":"x"}'])
async def test_bad_arguments_are_not_retried(arguments: str) -> None:
    async def fine(number: int) -> None: ...

    with virtual_time() as clock:
        assert (await result_of(fine, arguments, max_retries=3)).error is not None
    assert clock.sleeps == []


async def test_the_exception_is_there_for_a_log_of_ones_own_and_shown_nowhere() -> None:
    error = ValueError("hunter2")

    def breaks() -> None:
        raise error

    [result] = await ToolRegistry([breaks]).dispatch([call("breaks")])
    assert result.exception is error
    assert "hunter2" not in repr(result) + str(result.message)
