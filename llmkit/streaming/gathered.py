"""What has arrived of a stream, whichever API it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from llmkit.streaming.facts import answer_text
from llmkit.streaming.fragments import field_of
from llmkit.streaming.gather_chat import ChatGatherer
from llmkit.streaming.gather_responses import ResponseGatherer
from llmkit.streaming.watch import output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensSoFar:
    """The tokens of an answer that was not finished."""

    output_tokens: int
    input_tokens: int | None = None
    """None: the server had not said yet."""
    estimated: bool = True
    """Whether `output_tokens` was counted here, on the text that had arrived."""


class Gathered:
    """Adds up the events of a Chat or a Responses stream, those of the SDK's `.stream()` helpers included."""

    def __init__(self) -> None:
        self.begun = False
        """Whether an event has arrived."""
        self._gatherer: ChatGatherer | ResponseGatherer | None = None

    def add(self, event: object) -> None:
        """Take in an event; what the helpers add to the server's events is passed over."""
        self.begun = True
        if field_of(event, "type") == "chunk":
            event = field_of(event, "chunk")
        kind = _kind_of(event)
        if self._gatherer is None and kind is not None:
            self._gatherer = kind()
        if self._gatherer is not None and kind is type(self._gatherer):
            self._gatherer.add(event)

    @property
    def finished(self) -> bool:
        """Whether the answer is whole; streams of other kinds are whole when they end."""
        return self._gatherer.finished if self._gatherer is not None else self.begun

    @property
    def answer(self) -> ChatCompletion | Response | None:
        """The answer so far; None when nothing of a known kind has arrived."""
        if isinstance(self._gatherer, ResponseGatherer):
            return self._gatherer.response
        return None if self._gatherer is None else self._gatherer.completion

    @property
    def response_id(self) -> str | None:
        """The id of the answer."""
        if isinstance(self._gatherer, ResponseGatherer):
            return self._gatherer.response_id
        return None if self._gatherer is None else self._gatherer.completion.id or None

    @property
    def sequence_number(self) -> int | None:
        """Of the last event of a Responses stream."""
        return self._gatherer.sequence_number if isinstance(self._gatherer, ResponseGatherer) else None

    @property
    def resumable(self) -> bool:
        """Whether the server goes on with the answer and can send the events that are missing."""
        found = self._gatherer
        if not isinstance(found, ResponseGatherer) or found.response_id is None:
            return False
        return found.background and found.sequence_number is not None


def text_of(answer: ChatCompletion | Response | None) -> str:
    """The text for the user: that of the first choice."""
    if isinstance(answer, Response):
        return answer.output_text
    return (answer.choices[0].message.content or "") if answer and answer.choices else ""


def tokens_of(answer: ChatCompletion | Response | None) -> TokensSoFar:
    """What the server says the answer has cost so far, else the tokens in it."""
    if answer is None:
        return TokensSoFar(output_tokens=0)
    usage: Any = answer.usage
    given, made = (
        ("input_tokens", "output_tokens") if isinstance(answer, Response) else ("prompt_tokens", "completion_tokens")
    )
    if usage is not None and getattr(usage, made, None) is not None:
        return TokensSoFar(
            input_tokens=getattr(usage, given, None), output_tokens=getattr(usage, made), estimated=False
        )
    text = "".join((answer_text(answer), *_reasoning(answer)))
    return TokensSoFar(output_tokens=output_tokens(text, answer.model))


def _reasoning(answer: ChatCompletion | Response) -> list[str]:
    """Reasoning in a provider's own fields, such as `reasoning_content`."""
    choices = [] if isinstance(answer, Response) else answer.choices
    extras = [choice.message.model_extra or {} for choice in choices]
    return [text for extra in extras for text in extra.values() if isinstance(text, str)]


def _kind_of(event: object) -> type[ChatGatherer | ResponseGatherer] | None:
    if isinstance(field_of(event, "choices"), list):
        return ChatGatherer
    kind = field_of(event, "type")
    if isinstance(kind, str) and (kind.startswith("response.") or kind == "error"):
        return ResponseGatherer
    return None
