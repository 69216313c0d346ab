"""Count what a request will be billed for, before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from llmkit.tokens.chat import add_chat
from llmkit.tokens.families import family_of
from llmkit.tokens.memory import MEMORIES, ByteRuler, Memory
from llmkit.tokens.plain import is_list, listed, plain_mapping
from llmkit.tokens.responses import add_responses
from llmkit.tokens.tally import Tally, TokenCount


def count_request(body: Mapping[str, Any], *, operation: str) -> TokenCount:
    """Count the input tokens of a request's body.

    `operation` is "chat.completions", "responses", "embeddings" or "completions". A TypeError or ValueError names
    what in the body cannot be counted. The first count loads the vocabulary (0.3 s, once): see
    `llmkit.tokens.vocabulary.is_loaded`.
    """
    body = plain_mapping(body, "body")
    return _count(body, operation, MEMORIES[family_of(_model(body)).vocabulary])


def count_tokens(
    messages: Iterable[Any],
    *,
    model: str,
    tools: Iterable[Any] | None = None,
    response_format: Mapping[str, Any] | None = None,
) -> TokenCount:
    """Count chat messages, with the tools and the response format they are sent with.

    Takes what `client.chat.completions.create` takes: dicts or the SDK's own message objects, in a list or tuple.
    """
    body = {"model": model, "messages": messages, "tools": tools, "response_format": response_format}
    return count_request(body, operation="chat.completions")


def count_text(text: str, *, model: str) -> int:
    """Count the tokens of one text, as it is: no message around it, special tokens as plain text."""
    _require_text(text, "text")
    _require_text(model, "model")
    return MEMORIES[family_of(model).vocabulary].text(text)


def upper_bound(body: Mapping[str, Any], *, operation: str | None = None) -> int:
    """Return a figure that `count_request` never exceeds, from the UTF-8 bytes of the texts: nothing is tokenised.

    About four times the count for English. Without `operation`, the body's keys tell it.
    """
    return _count(body, operation or _operation(body), ByteRuler()).total


def _require_text(value: object, where: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{where} is a {type(value).__name__}: give a string")


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    return model if isinstance(model, str) else ""


def _operation(body: Mapping[str, Any]) -> str:
    if "messages" in body:
        return "chat.completions"
    if isinstance(body.get("prompt"), str | list | tuple):
        return "completions"
    items = body.get("input")
    first = items[0] if is_list(items) and items else None
    if isinstance(first, str | int | list | tuple) or _model(body).startswith("text-embedding"):
        return "embeddings"
    return "responses"


def _count(body: Mapping[str, Any], operation: str, memory: Memory | ByteRuler) -> TokenCount:
    family = family_of(_model(body))
    if operation in _TEXTS:
        total = _texts(body.get(_TEXTS[operation]), _TEXTS[operation], memory)
        return TokenCount(total=total, messages=total)
    if operation not in _CONVERSATIONS:
        known = ", ".join([*_CONVERSATIONS, *_TEXTS])
        raise ValueError(f"{operation!r} requests cannot be counted: operation is one of {known}")
    add, where = _CONVERSATIONS[operation]
    costs = family.responses if operation == "responses" else family.chat
    tally = Tally(family=family, costs=costs, memory=memory, where=where)
    add(tally, body)
    return tally.done()


def _texts(value: object, where: str, memory: Memory | ByteRuler) -> int:
    """Count one text, one list of token ids, or a list of either."""
    if isinstance(value, str):
        return memory.text(value)
    return sum(_text(item, where, memory) for item in listed(value, where))


def _text(item: object, where: str, memory: Memory | ByteRuler) -> int:
    if isinstance(item, str):
        return memory.text(item)
    return 1 if isinstance(item, int) else len(listed(item, f"an item of {where}"))


_CONVERSATIONS: Final[dict[str, tuple[Callable[[Tally, Mapping[str, Any]], None], str]]] = {
    "chat.completions": (add_chat, "messages"),
    "responses": (add_responses, "input"),
}
_TEXTS: Final = {"embeddings": "input", "completions": "prompt"}
