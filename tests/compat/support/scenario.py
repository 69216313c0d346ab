"""What the compat scripts share: llmkit clients on a fresh FakeOpenAI, and the checks every scenario ends with."""

from __future__ import annotations

import asyncio
import inspect
import sys
import traceback
from collections.abc import Callable
from typing import Any

from llmkit import AsyncOpenAI, CallRecord, OpenAI, Retry, UsageLog
from llmkit.testing import FakeOpenAI

_scenarios: dict[str, Callable[[], Any]] = {}
_network: list[str] = []


class Kit:
    """A fake API, llmkit clients on it, and the records of their calls."""

    def __init__(self) -> None:
        self.fake = FakeOpenAI()
        self.records: list[CallRecord] = []
        self._middleware = [UsageLog(sinks=[self.records.append]), Retry()]

    def async_client(self, **options: Any) -> AsyncOpenAI:
        return self.fake.async_client(middleware=self._middleware, **options)

    def client(self, **options: Any) -> OpenAI:
        return self.fake.client(middleware=self._middleware, **options)

    @property
    def tokens(self) -> tuple[int, int]:
        """The input and output tokens logged, to compare with what the library counted."""
        return sum(r.input_tokens or 0 for r in self.records), sum(r.output_tokens or 0 for r in self.records)

    def check(self, *, calls: int, failed: int = 0) -> None:
        """Every call is logged once, whole and with the server's own token figures; nothing stays open."""
        assert len(self.records) == calls, self.records
        assert sum(record.attempts for record in self.records) == len(self.fake.requests), self.records
        assert all(not record.complete and record.error for record in self.records[:failed]), self.records
        for record in self.records[failed:]:
            assert record.complete, record
            assert record.error is None, record
            assert record.input_tokens, record
            assert record.output_tokens, record
            assert not record.estimated, record
        assert self.fake.open_streams == 0


def scenario(*, calls: int, failed: int = 0, **arguments: Any) -> Callable[..., Any]:
    """Register a function that makes `calls` calls with the kit it is given, the first `failed` of them in vain.

    `arguments` are passed on, so that one function can be registered several times.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        async def run_async(kit: Kit) -> None:
            await function(kit, **arguments)

        def run() -> None:
            kit = Kit()
            if inspect.iscoroutinefunction(function):
                asyncio.run(run_async(kit))
            else:
                function(kit, **arguments)
            kit.check(calls=calls, failed=failed)
            assert not _network, _network

        given = [f"{name}={getattr(value, '__name__', value)}" for name, value in arguments.items()]
        _scenarios[" ".join([function.__name__, *given])] = run
        return function

    return register


def main() -> None:
    """Run the scenarios registered; exit with 1 when one failed."""
    sys.addaudithook(_forbid_network)
    passed = [_passes(name, run) for name, run in _scenarios.items()]
    sys.exit(0 if passed and all(passed) else 1)


def _passes(name: str, run: Callable[[], Any]) -> bool:
    try:
        run()
    except Exception:  # noqa: BLE001 - the other scenarios run all the same
        traceback.print_exc()
        sys.stderr.flush()
        sys.stdout.write(f"fail {name}\n")
        return False
    sys.stdout.write(f"pass {name}\n")
    return True


def _forbid_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.getaddrinfo"}:
        _network.append(f"{event} {arguments}")  # a library may swallow the exception
        raise ConnectionRefusedError("compat scripts stay off the network")
