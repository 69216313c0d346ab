"""What an answer says about itself. Reads the SDK's models and plain JSON alike, and never fails on odd data."""

from __future__ import annotations

import re
from typing import Any

import pydantic

from llmkit.fields import Fields as Fields
from llmkit.fields import values_of as values_of
from llmkit.record import CallRecord
from llmkit.usage.looks import is_new_usage
from llmkit.usage.tokens import FIGURES, read_usage

_LAST_OF_A_RESPONSE = frozenset({"response.completed", "response.incomplete", "response.failed"})
_BEFORE_THE_END = (".delta", ".partial_image")
_NOT_ENDED = frozenset({"queued", "in_progress"})
_PLAIN = re.compile(r"[\w.:/@$\[\]-]{1,80}")
"""What a code, a parameter or a model looks like; a sentence has spaces."""


class Refusal(str):
    """The text by which a model refuses to answer."""

    __slots__ = ()


def plain(value: object) -> str | None:
    """A name as it came; None when it is no name, but text that may quote anything."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else None


def note_answer(record: CallRecord, answer: object, reasons: dict[int, str] | None = None) -> None:
    """Record ids, served model, finish reasons, failure and usage of a whole answer or of one stream event.

    `reasons` collects the finish reasons of a stream, by choice.
    """
    outer = values_of(answer)
    fields = _inner(outer)
    failure = _failure(outer, fields, in_stream=reasons is not None)
    reasons = {} if reasons is None else reasons
    reasons.update(_finish_reasons(fields))
    record.finish_reasons = tuple(reasons[index] for index in sorted(reasons))
    record.response_id = _text(fields, "id") or record.response_id
    record.response_model = _text(fields, "model") or record.response_model
    record.service_tier = _text(fields, "service_tier") or record.service_tier
    if failure:
        record.error, record.error_code = "APIError", _text(values_of(failure), "code")
    if (usage := fields.get("usage")) is not None and is_new_usage(record, fields):
        note_usage(record, usage)


def note_usage(record: CallRecord, usage: object) -> None:
    """Record the figures of an answer, on top of those of earlier attempts that were billed.

    None of an answer from a cache, which was billed when it was made, and no zeros of a stream that are yet to become
    more.
    """
    if record.from_cache:
        return
    counts = read_usage(usage)
    if counts is None or (record.stream and counts.total_tokens == 0):
        return
    for name in FIGURES:
        setattr(record, name, getattr(counts, name))
    for name, before in record.earlier.items():
        setattr(record, name, (getattr(record, name) or 0) + before)
    record.estimated = record.estimated and bool(record.earlier)


def is_usage_chunk(event: object) -> bool:
    """Whether `event` is the extra last chunk of `include_usage`: usage, no choices, and no moderation result."""
    fields = values_of(event)
    if fields.get("choices") != [] or fields.get("usage") is None:
        return False
    return "moderation" not in (event.model_fields_set if isinstance(event, pydantic.BaseModel) else fields)


def is_final(event: object) -> bool:
    """Whether the answer is whole once `event` is in, even if the stream is closed right after it."""
    fields = values_of(event)
    if fields.get("choices") is not None:
        return bool(_finish_reasons(fields)) or is_usage_chunk(event)
    kind = _text(fields, "type") or ""
    return kind in _LAST_OF_A_RESPONSE if kind.startswith("response.") else kind.endswith((".done", ".completed"))


def announces_its_end(event: object) -> bool:
    """Whether streams of events like this one say when they are over, so that silence means a cut."""
    fields = values_of(event)
    kind = _text(fields, "type") or ""
    return fields.get("choices") is not None or kind.startswith("response.") or kind.endswith(_BEFORE_THE_END)


def glance(event: object) -> tuple[list[tuple[int, str]], bool]:
    """The text that a stream event adds, with the choice it belongs to, and whether the event says more than that.

    Content, refusal and arguments are text alike.
    """
    fields = values_of(event)
    choices = fields.get("choices")
    if choices is None:
        return _delta_text(fields), not isinstance(fields.get("delta"), str)
    texts: list[tuple[int, str]] = []
    news = not choices or fields.get("usage") is not None
    for choice in map(values_of, _items(choices)):
        if text := _choice_text(choice):
            texts.append((_number(choice, "index") or 0, text))
        news = news or choice.get("finish_reason") is not None
    return texts, news


def _delta_text(fields: Fields) -> list[tuple[int, str]]:
    delta = _text(fields, "delta")
    if not delta or (_text(fields, "type") or "").endswith("audio.delta"):  # base64, not text
        return []
    return [(_number(fields, "output_index") or 0, delta)]


def answer_text(answer: object) -> str:
    """The text of a whole answer, one line for each choice or output item."""
    fields = _inner(values_of(answer))
    texts = [_choice_text(choice) for choice in parts_of(fields, "choices")]
    texts += [_output_text(item) for item in parts_of(fields, "output")]
    return "\n".join(text for text in texts if text)


def parts_of(fields: Fields, name: str) -> list[Fields]:
    """The fields of each item of the list under `name`; none when there is something else."""
    return [values_of(item) for item in _items(fields.get(name))]


def _inner(fields: Fields) -> Fields:
    """The response that a Responses event carries, the run that an Assistants event carries, else the answer."""
    for name in ("response", "data"):
        inner = fields.get(name)
        if inner is not None and not isinstance(inner, list | str):
            return values_of(inner)
    return fields


def _failure(outer: Fields, fields: Fields, *, in_stream: bool) -> object:
    if _text(outer, "type") == "error":
        return outer
    if _text(fields, "object") == "response":
        failed = _text(fields, "status") == "failed"
        return fields.get("error") or (fields if failed else None)
    return outer.get("error") if in_stream else None


def _finish_reasons(fields: Fields) -> dict[int, str]:
    choices = fields.get("choices")
    if choices is not None:
        found = [(_number(item, "index"), _text(item, "finish_reason")) for item in map(values_of, _items(choices))]
        return {index or 0: reason for index, reason in found if reason}
    status = _text(fields, "status")
    if status is None or status in _NOT_ENDED or _text(fields, "object") != "response":
        return {}
    return {0: _text(values_of(fields.get("incomplete_details")), "reason") or status}


def _output_text(item: Fields) -> str:
    parts = [_text(part, "text") or _text(part, "refusal") or "" for part in parts_of(item, "content")]
    return (_text(item, "arguments") or "") + "".join(parts)


def _choice_text(choice: Fields) -> str:
    message = choice.get("delta") or choice.get("message")
    if message is None:
        return _text(choice, "text") or ""
    fields = values_of(message)
    text = _text(fields, "content") or ""
    if not text and (refusal := _text(fields, "refusal")):
        text = Refusal(refusal)
    if fields.get("tool_calls"):
        calls = parts_of(fields, "tool_calls")
        text += "".join(_text(values_of(call.get("function")), "arguments") or "" for call in calls)
    return text


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def _text(fields: Fields, name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _number(fields: Fields, *names: str) -> int | None:
    for name in names:
        value = fields.get(name)
        if isinstance(value, int):
            return value
    return None
