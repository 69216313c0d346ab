from __future__ import annotations

import asyncio
import io
import json
import math
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

import llmkit
from llmkit import Budget, BudgetExceeded, Cache, CallRecord, UsageLog
from llmkit.runtime import SyncRuntime
from llmkit.testing import FakeOpenAI
from llmkit.usage import writer
from llmkit.usage.access_log import AccessLog, line

CHAT: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "the patient is called Rosalind"}]}
ROOT = Path(llmkit.__file__).parent.parent


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that coverage sees: it follows those that `threading` starts."""

    def start(work: Callable[..., None], args: tuple[Any, ...]) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()

    monkeypatch.setattr(writer, "start_new_thread", start)


def record(**values: Any) -> CallRecord:
    made = CallRecord(operation="chat.completions", model="gpt-4o", runtime=SyncRuntime())
    for name, value in values.items():
        setattr(made, name, value)
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text, parse_constant=pytest.fail) for text in path.read_text().splitlines()]


def test_every_call_has_a_line_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    fake, log = FakeOpenAI(), AccessLog(path)
    client = fake.client(middleware=[UsageLog(sinks=[log]), Cache()], max_retries=0)
    poor = fake.client(middleware=[UsageLog(sinks=[log]), Budget(daily_tokens=1)])
    usage = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
    with llmkit.tags(user="alice"):
        fake.reply("she has the Zanzibar fever", usage=usage)
        for _ in range(2):
            client.chat.completions.create(**CHAT)
        fake.error(500, code="overloaded")
        with pytest.raises(openai.InternalServerError):
            client.embeddings.create(model="text-embedding-3-small", input="Rosalind")
        with pytest.raises(BudgetExceeded):
            poor.chat.completions.create(**CHAT)
        fake.reply("she has the Zanzibar fever")
        with client.chat.completions.create(**CHAT, seed=1, stream=True) as stream:
            next(iter(stream))
    log.close()
    written = lines(path)
    assert [(entry["outcome"], entry["operation"], entry["attempts"]) for entry in written] == [
        ("ok", "chat.completions", 1),
        ("cached", "chat.completions", 0),
        ("failed", "embeddings", 1),
        ("refused", "chat.completions", 0),
        ("cut", "chat.completions", 1),
    ]
    assert {entry["host"] for entry in written} == {"fake.openai.test"}
    assert [entry["tags"] for entry in written] == [{"user": "alice"}] * 5
    assert (written[0]["input_tokens"], written[0]["output_tokens"], written[0]["cost"]) == (9, 12, 0.0001425)
    assert (written[2]["error"], written[2]["error_code"]) == ("InternalServerError", "overloaded")
    assert written[2]["status_code"] == 500
    assert written[3]["error"] == "BudgetExceeded"
    text = path.read_text()
    assert "Rosalind" not in text
    assert "Zanzibar" not in text


async def test_a_cancelled_call_has_a_line(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log, asked = AccessLog(path), asyncio.Event()

    async def never(request: Any, call_next: Any) -> Any:
        asked.set()
        await asyncio.sleep(3_600)

    client = FakeOpenAI().async_client(middleware=[UsageLog(sinks=[log]), never])
    call = asyncio.create_task(client.chat.completions.create(**CHAT))
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    log.close()
    (entry,) = lines(path)
    assert (entry["outcome"], entry["error"]) == ("cancelled", "CancelledError")


def test_a_line_has_what_is_known_under_the_names_of_the_record() -> None:
    whole = record(
        started_at=1_790_000_000.25,
        stream=True,
        tags={"user": "alice", "paid": True},
        base_url="https://api.openai.com/v1",
        sent_to="https://me:secret@spare.test:8443/v1",
        key="...wxyz",
        sent_model="gpt-4o-mini",
        response_model="gpt-4o-mini-2024-07-18",
        request_id="req_1",
        latency=1.23456789,
        attempts=2,
        cost=Decimal("0.000000123"),
        estimated=True,
        complete=True,
        prompt="the patient is called Rosalind",
        body={"messages": ["Rosalind"]},
        answer="Zanzibar",
        hint="Rosalind",
    )
    text = line(whole)
    assert text.endswith("}\n")
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "time": "2026-09-21T14:13:20.250+00:00",
        "outcome": "ok",
        "operation": "chat.completions",
        "host": "spare.test:8443",
        "model": "gpt-4o",
        "sent_model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18",
        "tags": {"user": "alice", "paid": True},
        "key": "...wxyz",
        "request_id": "req_1",
        "latency": 1.234568,
        "attempts": 2,
        "cost": 1.23e-07,
        "stream": True,
        "estimated": True,
    }


def test_a_line_is_one_line_of_json_whatever_the_tags_are() -> None:
    odd = {"a": "two\nlines \u2028 \ud800", "b": math.nan, "c": -math.inf, "d": 0.5}
    text = line(record(tags=odd))
    assert text.count("\n") == 1
    assert text.encode()
    entry = json.loads(text, parse_constant=pytest.fail)
    assert entry["tags"] == {"a": "two\nlines \u2028 \ufffd", "b": None, "c": None, "d": 0.5}
    assert "host" not in entry


def test_the_file_is_for_its_owner_alone_and_is_kept_as_it_is_when_it_is_there(tmp_path: Path) -> None:
    new, old = tmp_path / "new.log", tmp_path / "old.log"
    old.write_text('{"time": "before"}\n')
    old.chmod(0o640)
    for path in (new, old):
        log = AccessLog(str(path))
        log(record())
        log.close()
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert [entry.get("operation") for entry in lines(old)] == [None, "chat.completions"]


def renamed(path: Path) -> None:
    path.rename(path.with_suffix(".1"))


def truncated(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("rotate", [renamed, Path.unlink, truncated])
def test_a_log_that_was_rotated_goes_on_in_a_file_of_the_same_name(
    rotate: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path)
    for attempts in (1, 2):
        log(record(attempts=attempts))
        assert log.flush(20)
        if attempts == 1:
            rotate(path)
    log.close()
    assert [entry["attempts"] for entry in lines(path)] == [2]
    assert not path.with_suffix(".1").exists() or len(lines(path.with_suffix(".1"))) == 1


def test_no_line_of_several_processes_is_torn_or_lost(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    script = """
import sys
from llmkit import CallRecord
from llmkit.runtime import SyncRuntime
from llmkit.usage.access_log import AccessLog

log = AccessLog(sys.argv[1])
for number in range(3_000):
    record = CallRecord(operation="chat.completions", model="gpt-4o", runtime=SyncRuntime())
    record.tags = {"worker": sys.argv[2], "number": number, "padding": "x" * (number % 997)}
    log(record)
    if number % 50 == 0:
        log.flush()
"""
    commands = [[sys.executable, "-c", script, str(path), str(worker)] for worker in range(4)]
    workers = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    assert [worker.wait() for worker in workers] == [0, 0, 0, 0]
    tags = [entry["tags"] for entry in lines(path)]
    for worker in range(4):
        assert [tag["number"] for tag in tags if tag["worker"] == str(worker)] == [*range(3_000)]


def test_what_a_full_disk_did_not_take_whole_is_written_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path)
    log(record(attempts=1))
    assert log.flush(20)
    before = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before + 10, limits[1]))
    try:
        for attempts in (2, 3):
            log(record(attempts=attempts))
            assert not log.flush(20)
            assert path.stat().st_size == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.flush(20)
    log.close()
    assert [entry["attempts"] for entry in lines(path)] == [1, 2, 3]
    assert [entry.getMessage().split(";")[0] for entry in caplog.records] == [
        f"the access log {path} failed with OSError"
    ]


def test_lines_are_written_where_files_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    log = AccessLog(tmp_path / "access.log")
    log(record())
    log.close()
    assert len(lines(tmp_path / "access.log")) == 1


def test_what_a_full_disk_did_not_take_of_a_stream_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "out"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with path.open("w") as stream:
        log = AccessLog(stream)
        stream.write('{"attempts": 1}\n')
        log(record(attempts=2))
        assert log.flush(20)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limits[1]))
        try:
            for attempts in (3, 4):
                log(record(attempts=attempts))
                assert not log.flush(20)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert log.flush(20)
    assert [entry["attempts"] for entry in lines(path)] == [1, 2, 3, 4]


def test_a_time_that_no_clock_says_costs_no_line() -> None:
    assert json.loads(line(record(started_at=1e30)))["time"] is None


def test_a_stream_takes_the_lines() -> None:
    stream = io.StringIO()
    log = AccessLog(stream)
    log(record(attempts=1))
    log(record(attempts=2))
    log.close()
    assert [json.loads(text)["attempts"] for text in stream.getvalue().splitlines()] == [1, 2]


def test_a_process_that_is_told_to_end_has_written_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    script = """
import sys, time
from llmkit import CallRecord
from llmkit.runtime import SyncRuntime
from llmkit.usage.access_log import AccessLog

log = AccessLog(sys.argv[1])
log(CallRecord(operation="chat.completions", model="gpt-4o", runtime=SyncRuntime()))
print("logged", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        process.terminate()
        assert process.wait() == -signal.SIGTERM
    assert len(lines(path)) == 1


def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "access.log"):
        with pytest.raises(ValueError, match="cannot be a file; give a name in a folder that is there"):
            AccessLog(path)
    with pytest.raises(ValueError, match=r"^target is the address of a server; give the path of a file") as caught:
        AccessLog("https://u:kingfisher@h/d")
    assert "kingfisher" not in str(caught.value)


def test_it_is_shown_with_where_its_lines_go(tmp_path: Path) -> None:
    stream = io.StringIO()
    assert repr(AccessLog(tmp_path / "access.log")) == f"AccessLog('{tmp_path}/access.log')"
    assert repr(AccessLog(stream)) == f"AccessLog({stream!r})"


def test_what_is_neither_a_path_nor_a_stream_is_refused() -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match="target=3 is of type int; give a path or a stream of text"):
        AccessLog(wrong)
