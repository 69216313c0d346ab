from __future__ import annotations

import logging
from contextvars import ContextVar

import pytest

from llmkit import CallRecord
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
    assert "broken failed with OSError: disk full" in caplog.text


def test_sinks_run_in_the_context_the_call_was_made_in() -> None:
    seen: list[str] = []
    token = place.set("inside")
    record = new_record()
    place.reset(token)
    record.add_done_callback(lambda _: seen.append(place.get()))
    record.finish()
    assert seen == ["inside"]


def test_duration_is_measured_from_the_call_to_its_end() -> None:
    clock = VirtualClock()
    record = CallRecord(operation="responses", model=None, runtime=clock)
    began = clock.time()
    clock.advance(2.5)
    record.finish()
    assert record.duration == 2.5
    assert record.started_at == began
