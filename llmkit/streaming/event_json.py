"""Stream events as JSON for a browser."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python


def event_json(event: Any) -> str:
    """An event as one line of JSON: an SDK model as the API sent it, a dataclass without the fields its repr hides."""
    try:
        if isinstance(event, BaseModel):
            return event.model_dump_json(exclude_unset=True, by_alias=True, warnings=False)
        return to_json(_plain(event), **_ODD).decode()
    except PydanticSerializationError:  # half of a surrogate pair, which JSON can escape and UTF-8 cannot hold
        return json.dumps(to_jsonable_python(_plain(event), **_ODD))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(exclude_unset=True, by_alias=True, warnings=False))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value


def _name(value: Any) -> str:
    """What is no data, such as an exception, goes by the name of its class."""
    return type(value).__name__


_ODD: Final[dict[str, Any]] = {"inf_nan_mode": "null", "bytes_mode": "base64", "fallback": _name}
