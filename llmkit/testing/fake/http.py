"""The fake API as an httpx2 transport, sync and async, with bodies that arrive in network chunks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any

import httpx2

from llmkit import runtime
from llmkit.sync import drive
from llmkit.testing.fake.arguments import check_delay, cut_sizes
from llmkit.testing.fake.records import Answer, FakeRequest, as_object


class Network:
    """How bodies travel: the sizes of their chunks, the wait before each, and how many are open."""

    def __init__(self, *, cut: int | Sequence[int] | None, delay: float) -> None:
        check_delay(delay)
        self._sizes = cut_sizes(cut)
        self._delay = delay
        self.open: set[Body] = set()

    def chunks(self, parts: Sequence[bytes]) -> Iterator[bytes]:
        """`parts` as they are, or all their bytes cut anew."""
        if not self._sizes:
            yield from parts
            return
        body, start, sizes = b"".join(parts), 0, cycle(self._sizes)
        while start < len(body):
            end = start + next(sizes)
            yield body[start:end]
            start = end

    async def wait(self, *, is_async: bool) -> None:
        """Wait before a chunk, on the caller's clock."""
        if self._delay:
            await runtime.current(is_async=is_async).sleep(self._delay)


class Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The body of one answer, which counts as open until it is closed."""

    def __init__(self, answer: Answer, network: Network) -> None:
        self._answer = answer
        self._network = network
        network.open.add(self)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._network.chunks(self._answer.parts):
            drive(self._network.wait(is_async=False))
            yield chunk
        self._break_off()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._network.chunks(self._answer.parts):
            await self._network.wait(is_async=True)
            yield chunk
        self._break_off()

    def close(self) -> None:
        """Count the body as closed."""
        self._network.open.discard(self)

    async def aclose(self) -> None:
        """Count the body as closed."""
        self.close()

    def _break_off(self) -> None:
        if self._answer.error is not None:
            raise self._answer.error


class FakeTransport(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Carries requests of a sync or an async httpx2 client to the fake API."""

    def __init__(self, handle: Callable[[FakeRequest], Answer], network: Network) -> None:
        self._handle = handle
        self._network = network

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request of a sync client."""
        request.read()
        return self._respond(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request of an async client."""
        await request.aread()
        return self._respond(request)

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        answer = self._handle(fake_request(request.method, request.url, request.headers, request.content))
        body = Body(answer, self._network)
        return httpx2.Response(answer.status, headers=answer.headers, stream=body)


def fake_request(method: str, url: httpx2.URL, headers: httpx2.Headers, content: bytes) -> FakeRequest:
    """The record of a request, its body decoded when it is JSON."""
    return FakeRequest(
        method=method,
        path=url.path,
        query=dict(url.params),
        headers=headers,
        body=as_object(_decoded(content)),
        content=content,
    )


def _decoded(content: bytes) -> Any:
    with suppress(ValueError):  # no body, or one that is not JSON, such as a form
        return json.loads(content)
    return None
