"""Refuses what a test queues by mistake where it is queued, so that the traceback points at the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from llmkit.testing.fake.records import ToolCall, json_text

_FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call")
_COUNTS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens")
_DETAILS = tuple(f"{kind}_tokens_details" for kind in ("prompt", "completion", "input", "output"))
_PAIRS = "(name, arguments) pairs, such as [('get_weather', {'city': 'Paris'})]"


def type_name(value: object) -> str:
    """The type of `value` as a message names it."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def check_count(name: str, value: object, *, least: int) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type_name(value)}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def check_text(name: str, value: object) -> None:
    """Refuse what is neither a string nor None."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type_name(value)}")


def check_exception(name: str, value: object) -> None:
    """Refuse what cannot be raised, and a class in place of its instance."""
    if isinstance(value, type):
        raise TypeError(f"{name} must be an exception, not a class: call {value.__name__} with its message")
    if not isinstance(value, Exception):
        raise TypeError(f"{name} must be an exception, not {type_name(value)}")


def check_finish_reason(value: object) -> None:
    """Refuse a finish reason that the API does not have."""
    if value is not None and value not in _FINISH_REASONS:
        raise ValueError(f"finish_reason must be one of {', '.join(_FINISH_REASONS)}, not {value!r}")


def check_usage(value: object) -> None:
    """Refuse a key that no operation's usage has, and a value of the wrong shape under one that some has."""
    if not isinstance(value, Mapping):
        raise TypeError(f"usage must be a mapping, not {type_name(value)}")
    for key, figure in cast("Mapping[object, object]", value).items():
        if key in _COUNTS:
            check_count(f"usage[{key!r}]", figure, least=0)
        elif key not in _DETAILS:
            raise ValueError(f"usage has no {key!r}, only {', '.join((*_COUNTS, *_DETAILS))}")
        elif not isinstance(figure, Mapping):
            raise TypeError(f"usage[{key!r}] must be a mapping, not {type_name(figure)}")


def cut_sizes(value: object) -> tuple[int, ...]:
    """The sizes in bytes that `cut` gives, none for None."""
    if value is None:
        return ()
    if isinstance(value, int):
        check_count("cut", value, least=1)
        return (value,)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise TypeError(f"cut must be an int, a sequence of them or None, not {type_name(value)}")
    sizes = tuple(cast("Sequence[int]", value))
    if not sizes:
        raise ValueError(f"cut must have at least one size, not {value!r}; None cuts nothing")
    for index, size in enumerate(sizes):
        check_count(f"cut[{index}]", size, least=1)
    return sizes


def check_delay(value: object) -> None:
    """Refuse a wait that is no number of seconds, or less than none."""
    if not isinstance(value, int | float):
        raise TypeError(f"delay must be a number of seconds, not {type_name(value)}")
    if not value >= 0:
        raise ValueError(f"delay must be at least 0 seconds, not {value}")


def tool_calls(value: object) -> tuple[ToolCall, ...]:
    """Tool calls with their arguments as JSON text."""
    given = type_name(value)
    if isinstance(value, Mapping | str) or not isinstance(value, Iterable):
        raise TypeError(f"tool_calls must be {_PAIRS}, not {given}")
    return tuple(_tool_call(index, pair) for index, pair in enumerate(cast("Iterable[object]", value)))


def _tool_call(index: int, pair: object) -> ToolCall:
    place = f"tool_calls[{index}]"
    if not isinstance(pair, tuple | list):
        raise TypeError(f"tool_calls must be {_PAIRS}: {place} is of type {type_name(pair)}")
    parts = cast("Sequence[object]", pair)
    if len(parts) != 2:
        raise ValueError(f"tool_calls must be {_PAIRS}: {place} has a length of {len(parts)}")
    name, arguments = parts
    if not isinstance(name, str):
        raise TypeError(f"the name in {place} must be a string, not {type_name(name)}")
    if isinstance(arguments, str):
        return ToolCall(name=name, arguments=arguments)
    if not isinstance(arguments, Mapping):
        raise TypeError(f"the arguments in {place} must be a mapping or JSON text, not {type_name(arguments)}")
    return ToolCall(name=name, arguments=json_text(dict(cast("Mapping[str, object]", arguments))))
