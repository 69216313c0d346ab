"""Watching an answer that is still open, until it ends: exactly once, and when it is closed at the latest."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import pydantic

from llmkit.deadlines import Deadlines
from llmkit.record import CallRecord
from llmkit.streaming import facts, hints
from llmkit.streaming.received import Received
from llmkit.structure import read_json
from llmkit.tokens import count_text, estimate_tokens
from llmkit.tokens.vocabulary import is_loaded

_QUICK = 50_000
"""Characters that are counted in about 5 ms."""
_OF_TEXT = frozenset({"chat.completions", "completions", "responses"})
"""Streams of pictures and sound cannot be counted."""
_PROMPT_KEYS = ("messages", "input", "instructions", "prompt", "tools")


class Watch:
    """Everything an open response tells, whoever reads it: the SDK's stream or the user, line by line.

    `hides_usage` drops the extra usage chunk that llmkit asked for and the caller did not.
    """

    def __init__(
        self, record: CallRecord, body: Mapping[str, Any], *, hides_usage: bool, on_end: Callable[[], None]
    ) -> None:
        self.record = record
        self.hides_usage = hides_usage
        self.reading = False
        """The SDK's stream is taking the next event; a close in that time is its own, not the caller's."""
        self.typed = False
        """The SDK's stream reports events here, so bytes need no look."""
        self.deadlines: Deadlines | None = None
        """How long the SDK's stream may be waited for."""
        self.received = Received(None, None)
        """What takes in the bytes, for those who want a copy."""
        self._body = body
        self._on_end = on_end
        self._answer: defaultdict[int, bytearray] = defaultdict(bytearray)  # UTF-8: the least memory
        self._reasons: dict[int, str] = {}
        self._whole_answer: object = None  # what the last event of a Responses stream carries
        self._seen = self._announces_end = self._final = self._ended = self._refused = False

    def saw(self, event: Any) -> bool:
        """Take in one event, a model or plain JSON; False when the caller must not see it."""
        if not self._ended:
            self._note(event)
            if self.record.on_event is not None:
                self.record.on_event(event)
        return not (self.hides_usage and self._strip_usage(event))

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
            answer = read_json(content)
        except ValueError:
            return
        facts.note_answer(self.record, answer)
        self.record.hint = hints.answer_hint(self.record, answer)
        self._note_text(0, facts.answer_text(answer))

    def closed(self) -> None:
        """The response was closed: the end, unless the SDK's stream is about to report a better one."""
        if not self.reading:
            self.end(whole=False)

    def end(self, *, whole: bool, error: BaseException | None = None) -> None:
        """Report the end; only the first time counts. `whole` says that the body was read to its end."""
        if self._ended:
            return
        self._ended = True
        record = self.record
        if error is not None:
            record.error = type(error).__name__
            record.error_code = getattr(error, "code", None)
            hints.advise(record, error)
        if record.stream:  # a body's end proves nothing where the last event says so: proxies close cleanly, too
            whole = self._final or (whole and self._seen and not self._announces_end)
        record.complete = whole and record.error is None
        if record.stream and error is None:
            record.hint = self._hint()
        if record.stream and record.operation in _OF_TEXT and not self._body.get("background"):
            self._complete_figures(whole)
        if record.capture_content:
            record.answer = self._text()
        self._on_end()

    @property
    def empty(self) -> bool:
        """Whether no event has arrived."""
        return not self._seen

    def _hint(self) -> str | None:
        if self._whole_answer is not None:
            return hints.answer_hint(self.record, self._whole_answer)
        said = self._answer or self._body.get("audio")  # sound is no text
        return hints.stream_hint(self.record, said=bool(said), refused=self._refused)

    def _text(self) -> str:
        return b"\n".join(self._answer[index] for index in sorted(self._answer)).decode(errors="replace")

    def _note(self, event: Any) -> None:
        texts, news = facts.glance(event)
        for index, text in texts:
            self._note_text(index, text)
            self._refused = self._refused or text.__class__ is facts.Refusal
        if self._seen and not news:
            return
        self._seen = True
        self._announces_end = self._announces_end or facts.announces_its_end(event)
        self._final = self._final or facts.is_final(event)
        facts.note_answer(self.record, event, self._reasons)
        if self._final:
            self._whole_answer = facts.values_of(event).get("response")

    def _strip_usage(self, event: Any) -> bool:
        if facts.is_usage_chunk(event):
            return True
        if isinstance(event, pydantic.BaseModel) and vars(event).get("usage") is None:
            event.model_fields_set.discard("usage")  # include_usage adds `"usage": null` to every chunk
        return False

    def _note_text(self, index: int, text: str) -> None:
        record = self.record
        if record.time_to_first_token is None and record.stream:
            record.time_to_first_token = record.elapsed()
        self._answer[index] += text.encode(errors="replace")

    def _complete_figures(self, whole: bool) -> None:
        """Estimate what the server has not told: all, or the output since it last did."""
        record = self.record
        if record.input_tokens is None:
            if any(key in self._body for key in _PROMPT_KEYS):
                self._estimate()
            return
        if whole or record.from_cache or record.earlier:
            return
        counted = output_tokens(self._text(), str(record.model or ""))
        if counted > (record.output_tokens or 0):
            record.output_tokens, record.total_tokens = counted, record.input_tokens + counted
            record.estimated = True

    def _estimate(self) -> None:
        record = self.record
        record.input_tokens = record.predicted_tokens
        if record.input_tokens is None:
            prompt = " ".join(text for key in _PROMPT_KEYS for text in _texts(self._body.get(key)))
            record.input_tokens = estimate_tokens(prompt)
        record.output_tokens = output_tokens(self._text(), str(record.model or ""))  # a caller may give anything
        record.total_tokens = record.input_tokens + record.output_tokens
        record.estimated = True


def output_tokens(text: str, model: str) -> int:
    """Counted when that takes no time to speak of, for this runs where the stream was closed; else estimated."""
    if not text:
        return 0
    if len(text) < _QUICK and is_loaded(model):
        return count_text(text, model=model)
    return estimate_tokens(text)


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
