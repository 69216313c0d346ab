from __future__ import annotations

import json
import os
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from usage.records import finished

import llmkit
from llmkit import CallRecord, UsageLog
from llmkit.runtime import SYNC
from llmkit.testing import FakeOpenAI, virtual_time
from llmkit.usage.anomalies import Unusual, UnusualUsage
from llmkit.usage.ledger import LedgerSink

MONDAY = 1_767_571_200.0
HOUR, DAY = 3600, 86_400
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "PRIVATE"}]}


class Sent:
    """The same record again and again, at other times."""

    def __init__(self, sink: UnusualUsage) -> None:
        self.sink = sink
        self.record = CallRecord(operation="chat.completions", model="gpt-4o", runtime=SYNC)
        self.record.complete, self.record.attempts, self.record.latency = True, 1, 0.5
        self.record.total_tokens, self.record.cost = 100, Decimal("0.001")

    def hours(self, first: int, end: int, calls: int, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self.record, name, value)
        for hour in range(first, end):
            for number in range(calls):
                self.record.started_at = MONDAY + HOUR * (hour + number / calls)
                self.sink(self.record)


def learnt(**options: Any) -> tuple[Sent, list[Unusual]]:
    """A sink that knows 20 calls an hour, and what it tells."""
    found: list[Unusual] = []
    sent = Sent(UnusualUsage(on_unusual=found.append, learning_days=4, format="json", **options))
    sent.hours(0, 4 * 24, 20)
    return sent, found


def test_what_is_unusual_is_logged_and_handed_to_the_hook(capsys: pytest.CaptureFixture[str]) -> None:
    sent, found = learnt(per="user")
    sent.hours(4 * 24, 4 * 24 + 2, 600)
    [unusual] = found
    assert (unusual.measure, unusual.tags, unusual.model, unusual.expected) == ("requests", {}, "gpt-4o", 20.0)
    event = json.loads(capsys.readouterr().err)
    assert event.pop("event") == "unusual_usage"
    assert event.pop("level") == "warning"
    assert event.pop("timestamp")
    assert event == unusual.fields()


def test_each_value_of_the_tags_and_each_model_is_a_series(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[Unusual] = []
    sent = Sent(UnusualUsage(per=("user", "feature"), on_unusual=found.append, learning_days=4))
    for user, calls in (("alice", 20), ("bob", 400)):
        sent.hours(0, 4 * 24, calls, tags={"user": user, "request": "1"})
    for user in ("alice", "bob"):
        sent.hours(4 * 24, 4 * 24 + 1, 400, tags={"user": user})
    assert [(unusual.tags, unusual.value < 100) for unusual in found] == [({"user": "alice"}, True)]
    assert capsys.readouterr().err.count("unusual_usage") == 1


@pytest.mark.parametrize(
    ("fields", "measure"),
    [
        ({"error": "APIError", "complete": False}, "error_rate"),
        ({"error": "BudgetExceeded", "attempts": 0, "complete": False}, "error_rate"),
        ({"error": "CancelledError", "complete": False}, None),
        ({"cache": "hit", "total_tokens": 0, "cost": Decimal(0)}, None),
        ({"total_tokens": 10_000}, "tokens"),
        ({"cost": Decimal(1)}, "cost"),
        ({"cost": None}, None),
        ({"cost": None, "total_tokens": None}, None),
    ],
)
def test_what_counts_as_what(fields: dict[str, Any], measure: str | None) -> None:
    sent, found = learnt()
    sent.hours(4 * 24, 4 * 24 + 1, 20, **fields)
    assert [unusual.measure for unusual in found] == ([measure] if measure else [])


def test_a_series_is_of_the_model_that_was_asked_in_the_end_or_else_of_the_one_that_answered() -> None:
    for fields in ({"sent_model": "gpt-5"}, {"model": None, "response_model": "gpt-5"}):
        found: list[Unusual] = []
        sent = Sent(UnusualUsage(on_unusual=found.append, learning_days=4, format="json"))
        sent.hours(0, 4 * 24, 20, **fields)
        sent.hours(4 * 24, 4 * 24 + 1, 400)
        assert {unusual.model for unusual in found} == {"gpt-5"}


def test_the_past_is_learnt_from_a_ledger(tmp_path: Path) -> None:
    ledger = LedgerSink(tmp_path / "usage.db")
    for hour in range(15 * 24):
        ledger(finished(at=MONDAY + hour * HOUR, tags={"user": "alice"}, total_tokens=100, cost=Decimal("0.001")))
    ledger.close()
    found: list[Unusual] = []
    sink = UnusualUsage(per="user", ledger=tmp_path / "usage.db", on_unusual=found.append)
    Sent(sink).hours(15 * 24, 15 * 24 + 1, 100, tags={"user": "alice"})
    assert [(unusual.tags, unusual.measure, unusual.expected) for unusual in found] == [
        ({"user": "alice"}, "requests", 1.0)
    ]


def test_a_hook_that_fails_fails_no_call(caplog: pytest.LogCaptureFixture) -> None:
    def fail(unusual: Unusual) -> None:
        raise RuntimeError("PRIVATE")

    sink = UnusualUsage(on_unusual=fail, learning_days=1, format="json")
    Sent(sink).hours(0, 5 * 24, 1)
    with virtual_time(start=MONDAY + 5 * DAY):
        client = FakeOpenAI().client(middleware=[UsageLog(sinks=[sink])])
        for _ in range(40):
            client.chat.completions.create(**CHAT)
    assert caplog.text.count("sink UnusualUsage failed with RuntimeError") == 1
    assert "PRIVATE" not in caplog.text


async def test_calls_of_an_async_client_are_watched_under_their_tags(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[Unusual] = []
    sink = UnusualUsage(per="user", on_unusual=found.append, learning_days=1)
    Sent(sink).hours(0, 5 * 24, 1, tags={"user": "alice"})
    with virtual_time(start=MONDAY + 5 * DAY):
        client = FakeOpenAI().async_client(middleware=[UsageLog(sinks=[sink])])
        with llmkit.tags(user="alice", other="PRIVATE"):
            for _ in range(40):
                await client.chat.completions.create(**CHAT)
    assert [(unusual.tags, unusual.value) for unusual in found] == [({"user": "alice"}, 32.0)]
    err = capsys.readouterr().err
    assert "unusual_usage" in err
    assert "PRIVATE" not in err


def test_the_least_recent_series_are_forgotten() -> None:
    sink = UnusualUsage(per="user", most_series=2)
    sent = Sent(sink)
    for user in ("alice", "bob", "alice", "carol"):
        sent.hours(0, 1, 1, tags={"user": user})
    assert [user for user, _ in sink._series] == ["alice", "carol"]


def test_no_call_of_any_thread_is_lost() -> None:
    sink = UnusualUsage()
    threads = [threading.Thread(target=Sent(sink).hours, args=(0, 1, 2_000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [series] = sink._series.values()
    assert series._now.usage[0] == 8_000


def test_what_was_being_counted_at_a_fork_is_forgotten() -> None:
    sink = UnusualUsage(per="user")
    for user in ("alice", "bob"):
        Sent(sink).hours(0, 1, 1, tags={"user": user})
    sink._inside = ("bob", "gpt-4o")
    sink.begin()
    assert list(sink._series) == [("alice", "gpt-4o")]


def test_without_a_hook_it_logs(capsys: pytest.CaptureFixture[str]) -> None:
    sent = Sent(UnusualUsage(learning_days=4, format="console"))
    sent.hours(0, 4 * 24, 20)
    sent.hours(4 * 24, 4 * 24 + 1, 600)
    assert capsys.readouterr().err.count("unusual_usage") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_knows_what_was_learnt_but_for_what_was_under_way() -> None:
    sink = UnusualUsage(per="user")
    sent = Sent(sink)
    sent.hours(0, 1, 1, tags={"user": "alice"})
    sent.hours(0, 1, 1, tags={"user": "bob"})
    sink._inside = ("bob", "gpt-4o")
    sink._lock.acquire()
    child = os.fork()
    if child == 0:
        sent.hours(1, 2, 1, tags={"user": "alice"})
        os._exit(0 if list(sink._series) == [("alice", "gpt-4o")] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sink._lock.release()
    assert len(sink._series) == 2


async def hook(unusual: Unusual) -> None: ...


class Hook:
    async def __call__(self, unusual: Unusual) -> None: ...


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"per": ("user", "user")}, ValueError, "per="),
        ({"per": 5}, ValueError, "per=5 must be the name of a tag or a tuple of them"),
        ({"on_unusual": "print"}, TypeError, "on_unusual='print' is no function"),
        ({"on_unusual": hook}, TypeError, "on_unusual=hook is async; it is called when nothing can be awaited; pass a"),
        ({"on_unusual": Hook()}, TypeError, "on_unusual=Hook is async;"),
        ({"ledger": "postgresql://u:secret@h/d"}, ValueError, "ledger is the address of a server"),
        ({"timezone": "Europe/Berlin"}, TypeError, "timezone='Europe/Berlin' is no time zone"),
        ({"working_hours": (19, 8)}, ValueError, r"working_hours=\(19, 8\) must be two hours"),
        ({"sensitivity": 0}, ValueError, "sensitivity=0 must be above 0"),
        ({"least_usd": "1"}, TypeError, "least_usd='1' is of type str"),
        ({"learning_days": -1}, ValueError, "learning_days=-1 must be above 0"),
        ({"format": "xml"}, ValueError, "format is 'xml'"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        UnusualUsage(**options)
