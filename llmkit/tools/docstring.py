"""What a docstring says of a function and of its arguments: Google, NumPy, Sphinx and Epydoc styles."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from llmkit.tools.hints import is_partial

_MARKS: Final = {
    "GOOGLE": re.compile(
        r"^(Args?|Arguments|Parameters|Params|Keyword Args|Returns?|Raises?|Yields?|Examples?|Attributes):[ \t]*$", re.M
    ),
    "NUMPYDOC": re.compile(r"^[A-Z][A-Za-z ]+\n-{3,}[ \t]*$", re.M),
    "REST": re.compile(r"^:(param|parameter|arg|argument|key|keyword|returns?|raises?|rtype|type|yields?)\b", re.M),
    "EPYDOC": re.compile(r"^@(param|keyword|kwarg|returns?|raises?|rtype|type|yields?)\b", re.M),
}
"""What each style cannot be without: a docstring with none of them is text from end to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Docstring:
    """The text above the sections of a docstring, and what it says of each argument."""

    summary: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])


def read_docstring(function: Callable[..., Any]) -> Docstring:
    """The docstring of a function, a method, a partial or an object that can be called."""
    text = _text(function)
    styles = [style for style, mark in _MARKS.items() if mark.search(text)]
    found = [docstring for style in styles if (docstring := _parsed(text, style))]
    return max(found, key=lambda docstring: len(docstring.arguments), default=Docstring(summary=text))


def one_line(text: str) -> str:
    """Text without line breaks and indentation."""
    return " ".join(text.split())


def _text(function: Any) -> str:
    while is_partial(function) and function.__doc__ == functools.partial.__doc__:
        function = function.func
    if (
        not inspect.isroutine(function)
        and not inspect.isclass(function)
        and "__doc__" not in getattr(function, "__dict__", ())
    ):
        kind = cast("Any", type(function))
        function = kind.__call__ if kind.__call__.__doc__ else kind
    text = (inspect.getdoc(function) or "").strip()
    return "" if inspect.isclass(function) and text.startswith(f"{function.__name__}(") else text  # a dataclass's own


def _parsed(text: str, style: str) -> Docstring | None:
    from docstring_parser import DocstringStyle, parse

    try:
        found = parse(text, DocstringStyle[style])
    except Exception:  # noqa: BLE001 - whatever is wrong with a docstring, its text is still worth showing
        return None
    arguments = {
        name.strip().lstrip("*"): one_line(each.description)
        for each in found.params
        for name in each.arg_name.split(",")
        if each.description
    }
    parts = [part.strip() for part in (found.short_description, found.long_description) if part]
    return Docstring(summary="\n\n".join(parts), arguments=arguments)
