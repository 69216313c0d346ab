from __future__ import annotations

import copy
import dataclasses
import logging
import pickle
from contextvars import ContextVar
from typing import Any

import pytest

from llmkit import CallRecord, InvalidSink, StructlogSink, UsageLog
from llmkit.testing import VirtualClock

place: ContextVar[str] = ContextVar("place", default="outside")


def new_record() -> CallRecord:
    return CallRecord(operation="chat.completions", model="gpt-4o", runtime=VirtualClock())


def test_sinks_are_told_once_in_the_order_they_were_added() -> None:
    record, told = new_record(), list[str]()
    record.add_done_callback(lambda _: told.append("a"))
    record.add_done_callback(lambda _: told.append("b"))
    record.finish()
    record.finish()
    assert told == ["a", "b"]
    assert record.over


def test_a_broken_sink_fails_neither_the_call_nor_the_next_sink(caplog: pytest.LogCaptureFixture) -> None:
    def broken(record: CallRecord) -> None:
        raise OSError("disk full")

    record, told = new_record(), list[CallRecord]()
    record.add_done_callback(broken)
    record.add_done_callback(told.append)
    with caplog.at_level(logging.WARNING, logger="llmkit"):
        record.finish()
    assert told == [record]
    assert "broken failed with OSError at" in caplog.text
    assert "test_record.py" in caplog.text
    assert "disk full" not in caplog.text  # it might have been a prompt


def test_a_sink_added_twice_is_told_once() -> None:
    record, told = new_record(), list[CallRecord]()
    record.add_done_callback(told.append)
    record.add_done_callback(told.append)
    record.finish()
    assert len(told) == 1


def test_a_record_can_be_turned_into_data_by_its_sink() -> None:
    record, made = new_record(), list[object]()
    record.add_done_callback(lambda record: made.append(dataclasses.asdict(record)))
    record.add_done_callback(lambda record: made.append(copy.deepcopy(record)))
    record.add_done_callback(lambda record: made.append(pickle.loads(pickle.dumps(record))))
    record.finish()
    as_dict, copied, unpickled = made
    assert isinstance(as_dict, dict)
    assert as_dict["operation"] == "chat.completions"
    assert copied == unpickled == record


async def asynchronous(record: CallRecord) -> None: ...


class AsynchronousObject:
    async def __call__(self, record: CallRecord) -> None: ...


@pytest.mark.parametrize(
    ("sinks", "message"),
    [
        ("sink", "sinks is a str"),
        (print, "sinks is a builtin_function_or_method"),
        ([asynchronous], "sink asynchronous is async"),
        ([AsynchronousObject()], "sink AsynchronousObject is async"),
        ([StructlogSink], "sink StructlogSink is not a function"),
        ([3], "sink int is not a function"),
    ],
)
def test_what_cannot_be_a_sink_is_refused_by_name(sinks: Any, message: str) -> None:
    with pytest.raises(InvalidSink, match=message):
        UsageLog(sinks=sinks)


def test_sinks_run_in_the_context_the_call_was_made_in() -> None:
    seen: list[str] = []
    token = place.set("inside")
    record = new_record()
    place.reset(token)
    record.add_done_callback(lambda _: seen.append(place.get()))
    record.finish()
    assert seen == ["inside"]


def test_latency_is_measured_from_the_call_to_its_end() -> None:
    clock = VirtualClock()
    record = CallRecord(operation="responses", model=None, runtime=clock)
    began = clock.time()
    clock.advance(2.5)
    record.finish()
    assert record.latency == record.elapsed() == 2.5
    assert record.started_at == began


@pytest.mark.parametrize(
    ("outcome", "facts"),
    [
        ("ok", {"complete": True, "attempts": 1}),
        ("ok", {"complete": True}),  # a middleware answered by itself
        ("cached", {"complete": True, "cache": "hit"}),
        ("cached", {"cache": "semantic"}),
        ("cut", {"attempts": 1}),
        ("failed", {"attempts": 2, "error": "RateLimitError"}),
        ("refused", {"error": "BudgetExceeded"}),
        ("cancelled", {"attempts": 1, "error": "CancelledError"}),
        ("cancelled", {"error": "Cancelled"}),
    ],
)
def test_how_a_call_ended_has_one_name(outcome: str, facts: dict[str, Any]) -> None:
    record = new_record()
    for name, value in facts.items():
        setattr(record, name, value)
    assert record.outcome == outcome
