"""The parts of a tool's result, and their shapes in Chat and Responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import openai


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """Text that the model reads."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """An image that the model sees: a `data:` or https URL, or the id of an uploaded file."""

    url: str | None = None
    detail: str | None = None
    file_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A file that the model reads: base64 data with a name, the id of an uploaded file, or a URL (Responses only)."""

    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None


Part: TypeAlias = TextPart | ImagePart | FilePart

_MARKS: Final = frozenset({"type", "annotations", "logprobs", "prompt_cache_breakpoint"})
_FILE: Final = frozenset({"file_data", "file_id", "file_url", "filename"})
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "text": _MARKS | {"text"},
    "input_text": _MARKS | {"text"},
    "output_text": _MARKS | {"text"},
    "image_url": _MARKS | {"image_url"},
    "input_image": _MARKS | {"image_url", "file_id", "detail"},
    "file": _MARKS | {"file"},
    "input_file": _MARKS | _FILE | {"detail"},
}
_KINDS: Final = tuple(_FIELDS)  # of any type may be what is looked for here, also such as cannot be hashed


def written_part(value: Any) -> Part | None:
    """The part that a tool wrote as a dict or as an object of the SDK; None for any other data."""
    if isinstance(value, TextPart | ImagePart | FilePart):
        return value
    if not isinstance(value, dict):
        if getattr(value, "type", None) not in _KINDS or not isinstance(value, openai.BaseModel):
            return None
        value = value.to_dict()
    fields = cast("dict[Any, Any]", value)
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS or not fields.keys() <= _FIELDS[kind]:
        return None
    if kind.endswith("text"):
        return TextPart(text=fields["text"]) if isinstance(fields.get("text"), str) else None
    return _file(fields) if kind.endswith("file") else _image(fields)


def _image(fields: dict[str, Any]) -> ImagePart | None:
    url: Any = fields.get("image_url")
    inner: dict[str, Any] = cast("dict[str, Any]", url) if isinstance(url, dict) else {"url": url, **fields}
    texts = {name: inner.get(name) for name in ("url", "detail", "file_id")}
    if not _are_texts(texts) or not (texts["url"] or texts["file_id"]):
        return None
    return ImagePart(**texts)


def _file(fields: dict[str, Any]) -> FilePart | None:
    inner: Any = fields.get("file", fields)
    named = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    texts = {name: named.get(name) for name in _FILE}
    if not _are_texts(texts) or not any(texts.get(name) for name in _FILE - {"filename"}):
        return None
    return FilePart(**texts)


def _are_texts(fields: Mapping[str, Any]) -> bool:
    return all(value is None or isinstance(value, str) for value in fields.values())


def label(part: Part) -> str:
    """A part in words; text as it is."""
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, FilePart):
        return f"[file {part.filename or part.file_id or part.file_url or 'without a name'}]"
    if part.url is None:
        return f"[image {part.file_id}]"
    if not part.url.startswith("data:"):
        return f"[image {part.url}]"
    head, _, data = part.url.partition(",")
    size = len(data) * 3 // 4 - data[-2:].count("=")
    return f"[{head[5:].partition(';')[0] or 'image'}, {size:,} bytes]"


def chat_part(part: Part) -> dict[str, Any]:
    """A part as Chat takes it in a user message; in words where Chat has nothing for it."""
    if isinstance(part, ImagePart) and part.url is not None:
        return {"type": "image_url", "image_url": _given(url=part.url, detail=part.detail)}
    if isinstance(part, ImagePart):
        return {"type": "file", "file": {"file_id": part.file_id}}
    if isinstance(part, FilePart) and (part.file_data or part.file_id):
        return {"type": "file", "file": _given(file_data=part.file_data, file_id=part.file_id, filename=part.filename)}
    return {"type": "text", "text": label(part)}


def responses_part(part: Part) -> dict[str, Any]:
    """A part as Responses takes it in the output of a call."""
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, ImagePart):
        fields = _given(image_url=part.url, file_id=part.file_id)
        return {"type": "input_image", "detail": part.detail or "auto", **fields}
    names = ("file_data", "file_id", "file_url", "filename")
    return {"type": "input_file", **_given(**{name: getattr(part, name) for name in names})}


def _given(**fields: str | None) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
