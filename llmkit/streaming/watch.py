"""Watching an answer that is still open, until it ends: exactly once, and when it is closed at the latest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from llmkit.record import CallRecord
from llmkit.streaming.facts import answer_text, error_in, is_final, is_usage_chunk, note_answer, text_of, view
from llmkit.streaming.sse import BlockSplitter, data_of
from llmkit.tokens.estimate import estimate_tokens

_MAX_KEPT = 16 * 1024 * 1024
_PROMPT_KEYS = ("messages", "input", "instructions", "prompt", "tools")


class Watch:
    """Everything an open response tells, whoever reads it: the SDK's stream or the user, line by line.

    `hide_usage` drops the extra usage chunk that llmkit asked for and the caller did not.
    """

    def __init__(
        self, record: CallRecord, body: Mapping[str, Any], *, hide_usage: bool, on_end: Callable[[], None]
    ) -> None:
        self.record = record
        self.reading = False
        """The SDK's stream is taking the next event; a close in that time is its own, not the caller's."""
        self.typed = False
        """The SDK's stream reports events here, so bytes need no look."""
        self._hide_usage = hide_usage
        self._body = body
        self._on_end = on_end
        self._answer: list[str] = []
        self._answer_bytes = 0
        self._final = False
        self._seen = False
        self._ended = False

    @property
    def hides(self) -> bool:
        """Whether something must be kept from the reader."""
        return self._hide_usage

    def saw(self, event: Any) -> bool:
        """Take in one event, a model or plain JSON; False when the caller must not see it."""
        event = view(event)
        if not self._ended:
            self._note(event)
        return not (self._hide_usage and self._strip_usage(event))

    def _note(self, event: Any) -> None:
        if text := text_of(event):
            self._note_text(text)
        if self._seen and not _is_news(event):
            return
        self._seen = True
        before = self.record.finish_reasons
        note_answer(self.record, event)
        if before and self.record.finish_reasons is not before:
            self.record.finish_reasons = (*before, *self.record.finish_reasons)
        self._final = self._final or is_final(event)
        if (failure := error_in(event)) is not None:
            self.record.error, self.record.error_code = "APIError", getattr(failure, "code", None)

    def saw_data(self, data: bytes) -> bool:
        """Take in the data of one raw event; False when the caller must not see it."""
        if data.startswith(b"[DONE]"):
            self._final = True
            return True
        try:
            event = json.loads(data)
        except ValueError:
            return True  # the reader's own parser will complain
        return self.saw(event)

    def saw_json(self, content: bytes) -> None:
        """Take in a whole JSON answer."""
        try:
            answer = view(json.loads(content))
        except ValueError:
            return
        note_answer(self.record, answer)
        if text := answer_text(answer):
            self._note_text(text)

    def closed(self) -> None:
        """The response was closed: the end, unless the SDK's stream is about to report a better one."""
        if not self.reading:
            self.end(whole=False)

    def end(self, *, whole: bool, error: BaseException | None = None) -> None:
        """Report the end; only the first time counts."""
        if self._ended:
            return
        self._ended = True
        record = self.record
        if error is not None:
            record.error = type(error).__name__
            record.error_code = getattr(error, "code", None)
        record.complete = (whole or self._final) and record.error is None
        if record.input_tokens is None and record.stream:
            self._estimate()
        if record.capture_content:
            record.answer = "".join(self._answer)
        self._on_end()

    def _strip_usage(self, event: Any) -> bool:
        if is_usage_chunk(event):
            return True
        if getattr(event, "usage", None) is None:  # include_usage adds `"usage": null` to every chunk
            getattr(event, "model_fields_set", set[str]()).discard("usage")
        return False

    def _note_text(self, text: str) -> None:
        record = self.record
        if record.time_to_first_token is None and record.stream:
            record.time_to_first_token = record.elapsed()
        self._answer_bytes += len(text.encode(errors="replace"))
        if record.capture_content:
            self._answer.append(text)

    def _estimate(self) -> None:
        record = self.record
        prompt = " ".join(text for key in _PROMPT_KEYS for text in _texts(self._body.get(key)))
        record.input_tokens = estimate_tokens(prompt)
        record.output_tokens = -(-self._answer_bytes // 4)
        record.total_tokens = record.input_tokens + record.output_tokens
        record.estimated = True


def _is_news(event: Any) -> bool:
    """Whether a stream event says more than a piece of text."""
    choices = getattr(event, "choices", None)
    if not choices:
        return not isinstance(getattr(event, "delta", None), str)
    if getattr(event, "usage", None) is not None:
        return True
    return any(getattr(choice, "finish_reason", None) for choice in choices)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if not value.startswith("data:"):  # an inline image is not billed by its base64
            yield value
    elif isinstance(value, Mapping):
        for item in cast("Mapping[str, Any]", value).values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in cast("list[Any]", value):
            yield from _texts(item)


class ByteReader:
    """Looks at the bytes of an open response on their way to a caller who reads them without the SDK's stream."""

    def __init__(self, watch: Watch, *, content_type: str, encoded: bool) -> None:
        self.watch = watch
        self._events = None if encoded or "event-stream" not in content_type else BlockSplitter()
        self._kept: list[bytes] | None = [] if "json" in content_type else None
        self._size = 0

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to hand on: `chunk`, less what must be hidden."""
        if self.watch.typed:
            return chunk
        if self._events is not None:
            seen = [block for block in self._events.feed(chunk) if self._shows(block)]
            return b"".join(seen) if self.watch.hides else chunk
        if self._kept is not None:
            self._kept.append(chunk)
            self._size += len(chunk)
            if self._size > _MAX_KEPT:
                self._kept = None
        return chunk

    def flush(self) -> bytes:
        """The bytes still to hand on when the body is at its end."""
        if self._events is None or self.watch.typed:
            return b""
        rest = self._events.flush()
        shown = self._shows(rest)
        return rest if shown and self.watch.hides else b""

    @property
    def content(self) -> bytes | None:
        """The whole JSON body as it came, still encoded; None when it is something else."""
        return None if self._kept is None else b"".join(self._kept)

    def _shows(self, block: bytes) -> bool:
        data = data_of(block)
        return not data or self.watch.saw_data(data)
