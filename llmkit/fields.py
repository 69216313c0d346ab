"""The fields of the SDK's models and of plain JSON, read alike. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import pydantic

Fields: TypeAlias = Mapping[str, Any]


def values_of(value: object) -> Fields:
    """The fields of one of the SDK's models or of a JSON object; none of anything else."""
    if value.__class__ is dict:
        return cast("dict[str, Any]", value)
    try:
        extra = cast("pydantic.BaseModel", value).__pydantic_extra__  # many times as fast as isinstance
    except AttributeError:
        return {}
    return {**vars(value), **extra} if extra else vars(value)
