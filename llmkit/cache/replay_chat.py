"""Chat and legacy completions in chunks: as few as the readers of streams expect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from llmkit.streaming.facts import Fields, parts_of, values_of
from llmkit.streaming.merging import Merged

_HEAD: Final = ("id", "object", "created", "model", "service_tier", "system_fingerprint")
"""What each chunk says: the SDK's `.stream()` believes the first one, or the last."""
_TEXTS: Final = ("content", "refusal")
_OF_A_MESSAGE: Final = frozenset({"role", "tool_calls", *_TEXTS})
_OF_A_CHOICE: Final = frozenset({"index", "message", "logprobs", "finish_reason"})


def chat_chunks(answer: Fields) -> Iterator[Fields]:
    """The chunks that a ChatCompletion is streamed in; the last has the usage, if it is known."""
    choices = [choice for found in _by_index(answer) for choice in _choice_deltas(*found)]
    return _chunks({**answer, "object": "chat.completion.chunk"}, choices)


def completion_chunks(answer: Fields) -> Iterator[Fields]:
    """The chunks that a legacy Completion is streamed in."""
    return _chunks(answer, [{**choice, "index": index} for index, choice in _by_index(answer)])


def completion_of(chunks: Iterable[Fields]) -> dict[str, Any]:
    """The legacy Completion that chunks add up to; choices that are not finished have no `finish_reason`."""
    rest, choices = Merged(continues=False), dict[int, Merged]()
    reasons: dict[int, Any] = {}
    for chunk in chunks:
        rest.add((name, value) for name, value in chunk.items() if name != "choices")
        for index, choice in _by_index(chunk):
            reasons[index] = choice.get("finish_reason") or reasons.get(index)
            said = choices.setdefault(index, Merged(continues=True))
            said.add((name, value) for name, value in choice.items() if name != "finish_reason")
    made = [{**choices[index].to_dict(), "finish_reason": reasons[index]} for index in sorted(choices)]
    return {**rest.to_dict(), "choices": made}


def _by_index(answer: Fields) -> list[tuple[int, Fields]]:
    """The choices in their order, in which the SDK's `.stream()` wants to meet them."""
    found = [(choice.get("index"), choice) for choice in parts_of(answer, "choices")]
    placed = [(index if isinstance(index, int) else place, choice) for place, (index, choice) in enumerate(found)]
    return sorted(placed, key=lambda each: each[0])


def _chunks(answer: Fields, choices: Iterable[Fields]) -> Iterator[Fields]:
    head = {name: answer[name] for name in _HEAD if name in answer}
    extras = {name: value for name, value in answer.items() if name not in ("choices", "usage")}
    for choice in choices:
        yield {**head, **extras, "choices": [choice]}
        extras = {}
    if answer.get("usage") is not None:
        yield {**head, "choices": [], "usage": answer["usage"]}


def _choice_deltas(index: int, choice: Fields) -> Iterator[Fields]:
    """A choice in its parts: who speaks, the provider's own fields, the text, the tool calls, and why it ended."""
    message, logprobs = values_of(choice.get("message")), choice.get("logprobs")
    own = {name: value for name, value in message.items() if name not in _OF_A_MESSAGE}
    text = {name: message[name] for name in _TEXTS if message.get(name)}
    begin = {"role": message.get("role") or "assistant"}
    begin |= {name: "" if isinstance(message[name], str) else None for name in _TEXTS if name in message}
    begin |= {name: value for name, value in own.items() if not value}
    yield _delta(index, begin)
    if said := {name: value for name, value in own.items() if value}:
        yield _delta(index, said)
    if text:
        yield _delta(index, text, logprobs)
    for place, call in enumerate(parts_of(message, "tool_calls")):
        yield _delta(index, {"tool_calls": [{"type": "function", **call, "index": place}]})
    rest = {name: value for name, value in choice.items() if name not in _OF_A_CHOICE}
    yield _delta(index, {}, None if text else logprobs) | rest | {"finish_reason": choice.get("finish_reason")}


def _delta(index: int, delta: Fields, logprobs: Any = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
