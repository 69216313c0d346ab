"""The server and the clients under test, each a process of its own, on CPUs of their own where there are two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parent
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """A measure failed in its process: the text is its traceback."""


def cpus() -> tuple[int, int] | None:
    """The CPUs of the clients and of the server; None when they cannot have one each."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (allowed[0], allowed[-1]) if len(allowed) > 1 else None


def allow_many_connections() -> None:
    """As many open files as this process may have."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Process:
    """A script beside this file that answers each line of JSON with one."""

    def __init__(self, script: str, *arguments: str, cpu: int | None) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "LLMKIT_")) and not name.lower().endswith("_proxy")
        }
        environment["PYTHONHASHSEED"] = "0"  # else two processes of the same code differ by some percent
        self._process = subprocess.Popen(
            [sys.executable, HERE / script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        if cpu is not None:
            os.sched_setaffinity(self._process.pid, {cpu})

    def read(self) -> dict[str, Any]:
        """The next answer."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"a process of the benchmark ended early, with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """End it: both scripts stop when their input does."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        self.close()


class Server(Process):
    """The mock server, once it listens."""

    def __init__(self) -> None:
        pair = cpus()
        super().__init__("server.py", cpu=pair and pair[1])
        self.url = f"http://127.0.0.1:{self.read()['port']}"

    def digest(self) -> str:
        """What was asked since the last time."""
        with _DIRECT.open(f"{self.url}/digest") as answer:
            digest: str = json.load(answer)["digest"]
        return digest


class Client(Process):
    """A worker with one kind of client: "raw", "llmkit" or "aiohttp"."""

    def __init__(self, kind: str, server: Server) -> None:
        pair = cpus()
        self.kind = kind
        self._server = server
        super().__init__("worker.py", kind, server.url, cpu=pair and pair[0])

    def measure(self, name: str, *, seed: int, factor: float) -> tuple[dict[str, float], str]:
        """The figures of one round of a measure, and the digest of what it sent."""
        answer = self.ask(name=name, seed=seed, factor=factor)
        if "error" in answer:
            raise Failed(f"{name} failed with {self.kind}:\n{answer['error']}")
        return answer["figures"], self._server.digest()
