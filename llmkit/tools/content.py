"""What a tool returned, as parts that can be sent to a model."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Callable, Mapping, MappingView, Sequence, Set
from typing import Any, Final

from pydantic_core import to_json, to_jsonable_python

from llmkit.tools.drain import STOPPED, Taken, ended
from llmkit.tools.failures import NoData
from llmkit.tools.parts import ImagePart, Part, TextPart, written_part

_IMAGES: Final = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF87a": "gif", b"GIF89a": "gif"}
_NOTHING: Final = (None, type(None), "None")
_BINARY: Final = (bytes, bytearray, memoryview)
_DATA: Final = frozenset({str, int, float, bool, list, tuple, type(None)})


def parts_of(value: Any, *, function: Callable[..., Any] | None = None) -> tuple[Part, ...]:
    """The parts of a result; raises `NoData` for what is no text, image or JSON data.

    `function` is what returned it: of one that is annotated to return None, None means that it is done.
    """
    if type(value) is str:
        return (TextPart(text=value),)
    if value is None:
        return (TextPart(text="Done." if function is not None and _returns_nothing(function) else "null"),)
    if isinstance(value, Taken) and value.stopped:
        return _listed([*value, STOPPED])
    return _listed(value) if issubclass(type(value), list | tuple) else (_part(value),)


def _listed(value: Sequence[Any]) -> tuple[Part, ...]:
    """Each item a part if one of them is an image or was written as a part; else all of them one JSON text."""
    if any(_is_part(item) for item in value):
        return tuple(map(_part, value))
    return (TextPart(text=json_text(value)),)


def _part(value: Any) -> Part:
    if isinstance(value, str):
        return TextPart(text=str.__str__(value))
    if issubclass(type(value), _BINARY):
        return _binary(bytes(value))
    return written_part(value) or TextPart(text=json_text(value))


def _is_part(item: Any) -> bool:
    if type(item) in _DATA:
        return False
    return image_kind(item) is not None or written_part(item) is not None


def _binary(data: bytes) -> Part:
    if kind := image_kind(data):
        return ImagePart(url=f"data:image/{kind};base64,{base64.b64encode(data).decode()}")
    return TextPart(text=_decoded(data))


def image_kind(value: Any) -> str | None:
    """The type of an image's bytes as its first bytes tell it; None for all else."""
    if not issubclass(type(value), _BINARY):
        return None
    head = bytes(value[:12])
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in _IMAGES.items() if head.startswith(magic)), None)


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"[{len(data):,} bytes of binary data]"


def json_text(value: Any) -> str:
    """The value as compact JSON; raises `NoData` naming the type that is none."""
    unknown: list[str] = []

    def known(item: Any) -> Any:
        """What pydantic does not know, as what it does."""
        if issubclass(type(item), Mapping):
            return dict(item)
        if hasattr(item, "columns"):  # a table of pandas or polars, which would else be the names of its columns
            return item.to_dicts() if hasattr(item, "to_dicts") else item.to_dict("records")
        if callable(as_list := getattr(item, "tolist", None)):  # numpy, pandas
            return as_list()
        if issubclass(type(item), Sequence | Set | MappingView):
            return list(item)
        unknown.append(type(item).__qualname__)
        raise TypeError

    try:
        value = ended(value)
    except Exception:  # noqa: BLE001 - an iterator may raise anything
        raise NoData(type(value).__qualname__) from None
    try:
        return str(to_json(value, inf_nan_mode="strings", fallback=known), "utf-8")
    except Exception:  # noqa: BLE001, S110 - bytes that are no text, half a surrogate pair, or an unknown type
        pass
    try:
        plain = to_jsonable_python(value, inf_nan_mode="strings", bytes_mode="base64", fallback=known)
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    except Exception:  # noqa: BLE001 - a serializer of the user's may raise anything
        raise NoData(unknown[0] if unknown else type(value).__qualname__) from None


def _returns_nothing(function: Callable[..., Any]) -> bool:
    try:
        return inspect.signature(function).return_annotation in _NOTHING
    except (TypeError, ValueError, NameError):
        return False
