"""Elements of HTML and SVG; all text that is not markup already is escaped. Pure."""

from __future__ import annotations

from html import escape
from typing import Final, Literal

from llmkit.unseen import printable

Value = str | float | Literal[True] | None

_VOID: Final = frozenset({"meta", "link", "br"})


class Markup(str):
    """HTML that goes onto a page as it is."""

    __slots__ = ()


def text(content: str) -> Markup:
    """`content` as a browser shows it, whatever it is, with what is not seen written out; markup stays markup."""
    return content if isinstance(content, Markup) else Markup(escape(printable(content)))


def joined(*parts: str) -> Markup:
    """The parts, one after the other."""
    return Markup("".join(map(text, parts)))


def element(name: str, /, *inside: str, **attributes: Value) -> Markup:
    """`<name>` with what is inside; `data_x` is the attribute "data-x", `class_` is "class"; None is none."""
    given = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    end = "" if name in _VOID else f"{joined(*inside)}</{name}>"
    return Markup(f"<{name}{given}>{end}")


def _attribute(name: str, value: Value) -> str:
    key = name.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{text(str(value))}"'
