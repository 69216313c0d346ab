"""A Response put together from the events of a Responses stream."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple, cast

from openai import BaseModel
from openai.types.responses import Response

from llmkit.streaming.fragments import fields_of
from llmkit.streaming.surrogates import joined

_STARTS = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class Place(NamedTuple):
    """Where streamed text goes: a field of an output item, or of a part in one of the item's lists."""

    item_type: str
    field: str
    parts: str = ""
    part_type: str = ""


PLACES = {
    "response.output_text": Place("message", "text", "content", "output_text"),
    "response.refusal": Place("message", "refusal", "content", "refusal"),
    "response.reasoning_text": Place("reasoning", "text", "content", "reasoning_text"),
    "response.reasoning_summary_text": Place("reasoning", "text", "summary", "summary_text"),
    "response.function_call_arguments": Place("function_call", "arguments"),
    "response.mcp_call_arguments": Place("mcp_call", "arguments"),
    "response.custom_tool_call_input": Place("custom_tool_call", "input"),
    "response.code_interpreter_call_code": Place("code_interpreter_call", "code"),
}
"""By the events that carry the text, which are called so with ".delta" and ".done" behind it."""
PARTS = {"response.content_part": "content", "response.reasoning_summary_part": "summary"}
"""The lists of parts, by the events with which a part begins and ends."""
INDEX_OF = {"content": "content_index", "summary": "summary_index"}
"""What an event calls the place of a part in its list."""
_BLANK: dict[str, dict[str, Any]] = {
    "message": {"role": "assistant", "content": []},
    "reasoning": {"summary": []},
    "output_text": {"annotations": []},
}
"""What an item or a part needs besides its text, when the server does not announce it."""


class ResponseGatherer:
    """Follows a Responses stream: the Response that its last event carries, before that one made of the events so far.

    Unknown events are passed over. An `error` event ends the answer as a failed one.
    """

    def __init__(self) -> None:
        self.finished = False
        """Whether the last event is in."""
        self.sequence_number: int | None = None
        """Of the last event that had one: what `starting_after` wants."""
        self._response: dict[str, Any] = {}
        self._whole: Response | None = None
        self._items: dict[int, _Item] = {}

    @property
    def response_id(self) -> str | None:
        """The response's id."""
        return self._response.get("id")

    @property
    def background(self) -> bool:
        """Whether the response goes on at the server when the connection is lost."""
        return self._response.get("background") is True

    @property
    def response(self) -> Response:
        """The response so far."""
        if self._whole is not None:
            return self._whole
        made = [self._items[index].to_dict() for index in sorted(self._items)]
        output = made or self._response.get("output") or []
        fields: dict[str, Any] = {**self._response, "output": output}
        return Response.construct(None, **fields)

    def add(self, event: object) -> None:
        """Take in a `ResponseStreamEvent`, or the same as a dict."""
        fields = fields_of(event)
        number = fields.get("sequence_number")
        self.sequence_number = number if isinstance(number, int) else self.sequence_number
        kind = fields.get("type") or ""
        stem, _, step = kind.rpartition(".")
        if stem in PLACES:
            self._item(fields, PLACES[stem].item_type).write(PLACES[stem], step, fields)
        elif kind in _STARTS or kind in _ENDS:
            self._follow(kind, fields.get("response"))
        elif stem == "response.output_item" and fields.get("item"):
            self._items[fields.get("output_index") or 0] = _Item(_data(fields["item"]))
        elif stem in PARTS:
            self._item(fields, "message").set_part(PARTS[stem], fields)
        elif kind == "response.output_text.annotation.added":
            self._item(fields, "message").annotate(fields)
        elif kind == "error":
            self._fail(fields)

    def _follow(self, kind: str, response: object) -> None:
        self._response = _data(response)
        self.finished = kind in _ENDS
        if self.finished and self._response.get("output"):  # some servers leave it out of their last event
            self._items.clear()
            self._whole = response if isinstance(response, Response) else None

    def _item(self, fields: Mapping[str, Any], item_type: str) -> _Item:
        index = fields.get("output_index") or 0
        if index not in self._items:
            begun = {"id": fields.get("item_id") or "", "type": item_type, "status": "in_progress"}
            self._items[index] = _Item(begun | _BLANK.get(item_type, {}))
        return self._items[index]

    def _fail(self, fields: Mapping[str, Any]) -> None:
        said = fields_of(fields.get("error")) or fields
        error = {"code": said.get("code") or "server_error", "message": said.get("message") or ""}
        self._response = {**self._response, "status": "failed", "error": error}
        self.finished = True


class _Item:
    """An output item and the text that streams into it."""

    def __init__(self, item: dict[str, Any]) -> None:
        self._item = item
        self._parts = {name: dict(enumerate(_objects(item.get(name)))) for name in INDEX_OF}
        self._texts: dict[tuple[Place, int], list[str]] = {}

    def write(self, place: Place, step: str, fields: Mapping[str, Any]) -> None:
        """Take in a `.delta`, or the `.done` that says it all once more."""
        text = fields.get("delta" if step == "delta" else place.field)
        if not isinstance(text, str):
            return
        index = self._part_at(place, fields) if place.parts else 0
        if step == "delta":
            self._texts.setdefault((place, index), []).append(text)
        else:
            self._texts[place, index] = [text]

    def set_part(self, parts: str, fields: Mapping[str, Any]) -> None:
        """Take in a part as it begins or as it ends."""
        index = fields.get(INDEX_OF[parts]) or 0
        part = _data(fields.get("part"))
        self._parts[parts][index] = part
        for place in PLACES.values():
            if place.part_type == part.get("type") and place.field in part:
                self._texts[place, index] = [part[place.field]]

    def annotate(self, fields: Mapping[str, Any]) -> None:
        """Take in an annotation of a text part."""
        index = self._part_at(PLACES["response.output_text"], fields)
        self._parts["content"][index].setdefault("annotations", []).append(_data(fields.get("annotation")))

    def to_dict(self) -> dict[str, Any]:
        """The item so far."""
        item = dict(self._item)
        parts = {name: {index: dict(part) for index, part in found.items()} for name, found in self._parts.items()}
        for (place, index), texts in self._texts.items():
            target = parts[place.parts][index] if place.parts else item
            target[place.field] = joined("".join(texts))
        lists = {name: [found[index] for index in sorted(found)] for name, found in parts.items() if found}
        return {**item, **lists}

    def _part_at(self, place: Place, fields: Mapping[str, Any]) -> int:
        """The index of the part that an event is about, which is made if the server did not announce it."""
        index: int = fields.get(INDEX_OF[place.parts]) or 0
        self._parts[place.parts].setdefault(
            index, {"type": place.part_type} | deepcopy(_BLANK.get(place.part_type, {}))
        )
        return index


def _data(value: object) -> dict[str, Any]:
    """An SDK model or a dict as a dict of our own."""
    return value.to_dict() if isinstance(value, BaseModel) else deepcopy(dict(fields_of(value)))


def _objects(value: object) -> list[dict[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
