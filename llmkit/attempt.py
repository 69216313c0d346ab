"""One pass from the stack into the SDK: what it sends and what comes back, as the client's own methods see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from llmkit import _sdk
from llmkit.errors import InvalidResponse
from llmkit.request import Request
from llmkit.structure import invalid_response, missing_in, read_json, unreadable

_NOTHING = object()
"""An empty body, as test doubles send; who asked for a raw response gets it."""

current: ContextVar[Attempt | None] = ContextVar("llmkit_attempt", default=None)


class Uploads:
    """Where the files of a call stood before they were sent."""

    __slots__ = ("_replay",)

    def __init__(self) -> None:
        self._replay: _sdk.Replay | None = None

    def note(self, options: _sdk.Options) -> None:
        """Note where they stand now, before they are sent."""
        self._replay = _sdk.Replay(options)

    def rewind(self) -> bool:
        """Put them back; False when the body was a one-shot stream."""
        return self._replay is None or self._replay.rewind()


class Attempt:
    """One pass into the SDK, which may send several requests when no Retry is in the stack."""

    __slots__ = ("_checked", "_record", "_request", "_uploads", "response")

    def __init__(self, request: Request, uploads: Uploads) -> None:
        self._request = request
        self._record = request.record
        self._uploads = uploads
        self.response: Any = None
        """The HTTP answer that is being parsed, or has been."""
        self._checked = False

    @classmethod
    def of(cls, client: Any) -> Attempt | None:
        """The attempt running here; None when `client` is another's, in a call inside the call."""
        attempt = current.get()
        return attempt if attempt is not None and attempt._request.client is client else None

    def starts(self, options: _sdk.Options, retries_taken: int) -> int:
        """Note an HTTP request about to be built from `options`; returns its retry count."""
        self._record.attempts += 1
        self._uploads.note(options)
        deadlines = self._request.deadlines
        if deadlines is not None and not _sdk.is_async_client(self._request.client.__class__):
            options.timeout = deadlines.shortened(self._request.timeout)
        return self._request.retries_taken + retries_taken

    def answered(self, response: Any) -> None:
        """Note a successful answer before it is parsed."""
        self._record.headers = response.headers
        self.response = response

    def unused(self) -> object:
        """An answer in which something is wrong, for it is billed all the same; None when there is none in memory."""
        if self.response is None or not self.response.is_closed:
            return None
        try:
            return read_json(self.response.content)
        except (ValueError, RuntimeError):  # no JSON, or closed before it was read
            return None

    def check(self, answer: Any, body: Mapping[str, Any], *, strictly: bool = False) -> Any:
        """The answer to `body`, once; `InvalidResponse` when it lacks what the SDK's types promise."""
        if not self._checked:
            raw = _sdk.raw_body(answer)
            given = answer if raw is None else read_json(raw) if raw else _NOTHING
            missing = missing_in(given, operation=self._record.operation, body=body, strictly=strictly)
            if missing is not None:
                raise self._invalid(missing, given)
            self._checked = True
        return answer

    def checking(self, parser: Callable[[Any], Any], body: Mapping[str, Any]) -> Callable[[Any], Any]:
        """The method's own parser, which takes a good answer for granted, behind the check."""
        return lambda answer: parser(self.check(answer, body, strictly=True))

    def unreadable(self, error: Exception) -> InvalidResponse | None:
        """What to raise in place of an error that says that the body cannot be read; None for any other."""
        # What fails after the check is the method's parser, on what the model wrote.
        missing = None if self._checked or self.response is None else unreadable(error)
        return None if missing is None else self._invalid(missing)

    def _invalid(self, missing: str, answer: object = None) -> InvalidResponse:
        return invalid_response(missing, self.response, operation=self._record.operation, answer=answer)
