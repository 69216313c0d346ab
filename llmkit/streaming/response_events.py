"""The events in which the Responses API streams a response."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from llmkit.streaming.facts import Fields, parts_of
from llmkit.streaming.gather_responses import INDEX_OF, PARTS, PLACES

Pieces: TypeAlias = Callable[[str], Iterable[str]]
Texts: TypeAlias = dict[str, str]
"""The fields of an item or of a part that are streamed, by their events."""

_KNOWN_AT_ITS_END: Final = ("usage", "completed_at", "incomplete_details")
_WITH_PARTS: Final = tuple({place.item_type for place in PLACES.values() if place.parts})
_LISTS: Final = {parts: event for event, parts in PARTS.items()}


def in_one(text: str) -> Iterable[str]:
    """A text in one piece, or in none."""
    return (text,) if text else ()


def response_events(response: Fields, pieces: Pieces = in_one) -> Iterator[Fields]:
    """The events of a response that has ended, numbered from 0; each text comes in `pieces`."""
    for number, event in enumerate(_events(response, pieces)):
        yield {**event, "sequence_number": number}


def _events(response: Fields, pieces: Pieces) -> Iterator[Fields]:
    unknown = {name: None for name in _KNOWN_AT_ITS_END if name in response}
    started: Fields = {**response, "status": "in_progress", "output": [], **unknown}
    if response.get("background"):
        queued = {**started, "status": "queued"}
        yield {"type": "response.created", "response": queued}
        yield {"type": "response.queued", "response": queued}
    else:
        yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    for index, item in enumerate(parts_of(response, "output")):
        yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
        yield from _item_events(item, {"item_id": item.get("id") or "", "output_index": index}, pieces)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{response.get('status')}", "response": response}


def _item_events(item: Fields, at: Fields, pieces: Pieces) -> Iterator[Fields]:
    yield from _text_events(item, _texts(item, item), at, pieces)
    for parts in _lists(item):
        for place, part in enumerate(parts_of(item, parts)):
            texts, here = _texts(item, part, parts), {**at, INDEX_OF[parts]: place}
            yield {"type": f"{_LISTS[parts]}.added", **here, "part": _emptied(part, texts)}
            yield from _text_events(part, texts, here, pieces)
            for number, annotation in enumerate(parts_of(part, "annotations")):
                added = {"annotation_index": number, "annotation": annotation}
                yield {"type": "response.output_text.annotation.added", **here, **added}
            yield {"type": f"{_LISTS[parts]}.done", **here, "part": part}


def _text_events(source: Fields, texts: Texts, at: Fields, pieces: Pieces) -> Iterator[Fields]:
    for event, name in texts.items():
        # the SDK's `.stream()` reads the logprobs of each event of a text, be there any or not
        extra: Fields = {"logprobs": source.get("logprobs") or []} if event == "response.output_text" else {}
        for piece in pieces(source[name]):
            yield {"type": f"{event}.delta", **at, **extra, "delta": piece}
        yield {"type": f"{event}.done", **at, **extra, name: source[name]}


def _begun(item: Fields) -> dict[str, Any]:
    """An output item before anything is said in it."""
    status = {"status": "in_progress"} if item.get("status") else {}
    empty: Fields = {name: [] for name in _lists(item)}
    return {**_emptied(item, _texts(item, item)), **status, **empty}


def _emptied(source: Fields, texts: Texts) -> dict[str, Any]:
    filled: Fields = {name: [] for name in ("annotations", "logprobs") if source.get(name)}
    return {**source, **filled, **dict.fromkeys(texts.values(), "")}


def _lists(item: Fields) -> list[str]:
    """The lists of an item whose parts are streamed."""
    return [name for name in _LISTS if item.get("type") in _WITH_PARTS and isinstance(item.get(name), list)]


def _texts(item: Fields, source: Fields, parts: str = "") -> Texts:
    """What is streamed of `source`, which is the item itself, or a part in one of its lists."""
    kind = (item.get("type"), parts, source.get("type") if parts else "")
    return {
        event: place.field
        for event, place in PLACES.items()
        if (place.item_type, place.parts, place.part_type) == kind and isinstance(source.get(place.field), str)
    }
