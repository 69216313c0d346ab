"""Makes vcrpy replay like a network: streams in chunks, and a clear stop at what was never recorded."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
from typing import TYPE_CHECKING, Any, cast

import anyio.lowlevel
import httpx2
import pytest

from llmkit.testing.cassettes.bodies import body_differences, json_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator, Sequence


def cut(body: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Cut `body` into pieces of these sizes, over and over; a size below 1 raises `ValueError`."""
    if not sizes or min(sizes) < 1:
        raise ValueError(f"recut_sizes are numbers of bytes above 0, or None for no cuts: got {sizes!r}")
    start = 0
    pieces = itertools.cycle(sizes)
    while start < len(body):
        end = start + next(pieces)
        yield body[start:end]
        start = end


class ReplayedStream(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A response body that arrives in the given pieces, as it would from a network."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await anyio.lowlevel.checkpoint()  # a network read lets other tasks run, and can be cancelled
            yield piece


def recut(response: httpx2.Response, sizes: Sequence[int] | None) -> httpx2.Response:
    """Cut the body of a replayed event stream; leave any other response as it is."""
    streamed = response.headers.get("content-type", "").startswith("text/event-stream")
    if sizes is None or not streamed:
        return response
    # vcrpy leaves the whole body in a ByteStream, replayed or recorded.
    body = b"".join(cast("httpx2.ByteStream", response.stream))
    response.stream = ReplayedStream(tuple(cut(body, sizes)))
    return response


@contextlib.contextmanager
def network_like(sizes: Sequence[int] | None, nodeid: str) -> Generator[None]:
    """Wrap what vcrpy put on the transports of httpx2, for every client made in any way."""
    replay, replay_async = httpx2.HTTPTransport.handle_request, httpx2.AsyncHTTPTransport.handle_async_request

    @functools.wraps(replay)
    def handle_request(self: httpx2.HTTPTransport, request: httpx2.Request) -> httpx2.Response:
        with _stop_if_unrecorded(nodeid):
            return recut(replay(self, request), sizes)

    @functools.wraps(replay_async)
    async def handle_async_request(self: httpx2.AsyncHTTPTransport, request: httpx2.Request) -> httpx2.Response:
        with _stop_if_unrecorded(nodeid):
            return recut(await replay_async(self, request), sizes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx2.HTTPTransport, "handle_request", handle_request)
        patch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", handle_async_request)
        yield


@contextlib.contextmanager
def _stop_if_unrecorded(nodeid: str) -> Generator[None]:
    errors: Any = importlib.import_module("vcr.errors")  # vcrpy has no types
    try:
        yield
    except errors.CannotOverwriteExistingCassetteException as error:
        # Not an Exception: code under test that retries or wraps every Exception cannot swallow it.
        # Without its cause: vcrpy's own message shows the whole query.
        raise pytest.fail.Exception(_explanation(error, nodeid), pytrace=False) from None


def _explanation(error: Any, nodeid: str) -> str:
    request = error.failed_request
    return "\n".join(
        (
            f"{request.method} {request.path} was not replayed: {_reason(error)}",
            f"  cassette: {error.cassette.path}",
            f"  to record it: pytest '{nodeid}' --record-mode=rewrite",
            "  (the fixtures recording_api_key and recording_base_url read OPENAI_API_KEY and LLMKIT_RECORD_BASE_URL)",
        )
    )


def _reason(error: Any) -> str:
    if error.reason == "cassette_not_found":
        return "there is no cassette"
    if error.reason == "already_played":
        return "it is in the cassette, but was played already"
    if not error.similar_requests:
        return "no recorded request resembles it"
    failed = _closest(error)
    return "it differs from the closest recorded request in " + "; ".join(_difference(*each) for each in failed)


def _closest(error: Any) -> list[tuple[str, str]]:
    """How the request differs from the recorded one with the fewest differences, one not yet played if it can be."""
    cassette = error.cassette
    sent = cassette.filter_request(error.failed_request)
    played = {id(request): cassette.play_counts[index] > 0 for index, (request, _) in enumerate(cassette.data)}

    def distance(similar: tuple[Any, object, list[tuple[str, str]]]) -> tuple[int, bool]:
        recorded, _, failed = similar
        counts = (body_differences(sent, recorded) if name == json_body.__name__ else 1 for name, _ in failed)
        return sum(counts), played[id(recorded)]

    similar: list[tuple[Any, object, list[tuple[str, str]]]] = error.similar_requests
    return min(similar, key=distance)[2]


def _difference(matcher: str, detail: str) -> str:
    """A query may hold a credential: name it without its values."""
    return matcher if matcher == "query" else f"{matcher}: {detail}"
