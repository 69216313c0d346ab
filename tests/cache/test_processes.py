"""Identical calls of several processes, with a real server, real files and a real Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

import llmkit
from llmkit.testing import FakeOpenAI

CALLER = Path(__file__).with_name("caller.py")


def started(store: str, base_url: str, *, calls: int, stream: bool = False) -> subprocess.Popen[str]:
    """A process that is ready to call."""
    command = [sys.executable, str(CALLER), store, base_url, str(calls), *(["stream"] if stream else [])]
    path = os.pathsep.join([str(Path(llmkit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(output)


def until(condition: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never was so")


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        server = request.getfixturevalue("local_redis")
        return server.url
    return f"sqlite:{tmp_path / 'cache.db'}"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_three_processes_of_50_identical_calls_are_one_call(store: str, stream: bool) -> None:
    fake = FakeOpenAI(delay=0.3 if not stream else 0.05)
    with fake.serve() as base_url:
        processes = [started(store, base_url, calls=50, stream=stream) for _ in range(3)]
        go(*processes)
        results = [said(process) for process in processes]
    assert len(fake.requests) == 1
    assert [result["answers"] for result in results] == [["You said: Name a colour."]] * 3
    assert Counter(cache for result in results for cache in result["caches"]) == {"miss": 1, "hit": 149}


def test_when_the_process_that_asks_is_killed_another_asks(store: str) -> None:
    killed = threading.Event()

    def hang(_: object) -> httpx2.Response:
        killed.wait(60)
        return httpx2.Response(500)

    fake = FakeOpenAI().respond(hang)
    with fake.serve() as base_url:
        leader, *others = [started(store, base_url, calls=5) for _ in range(3)]
        go(leader)
        until(lambda: len(fake.requests) == 1)
        leader.kill()
        leader.communicate()
        killed.set()
        go(*others)
        results = [said(process) for process in others]
    assert len(fake.requests) == 2
    assert [result["answers"] for result in results] == [["You said: Name a colour."]] * 2
