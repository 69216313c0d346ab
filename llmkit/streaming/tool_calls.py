"""Tool calls put together from the fragments of a Chat stream, also where the SDK's own accumulation goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from llmkit.streaming.fragments import Fragment, fragment_of
from llmkit.streaming.partial import begins_json, partial_json
from llmkit.streaming.surrogates import joined


@dataclass(slots=True, kw_only=True, eq=False)
class AssembledCall:
    """A tool call as far as it has arrived."""

    index: int
    """Counts calls in the order in which they first appeared, and never changes."""
    place: int | None
    """The index that the server gave; several calls may share it."""
    id: str | None = None
    type: Literal["function", "custom"] = "function"
    name: str = ""
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    """What else the provider sent with the call, such as Gemini's `extra_content` with its thought signature."""
    named_again: bool = field(default=False, repr=False)
    """The name came again after complete arguments: the next ones are another call's."""
    _cumulative: bool = field(default=False, repr=False)
    """Each fragment says all the arguments so far."""
    _pieces: list[str] = field(default_factory=list[str], repr=False)

    @property
    def arguments(self) -> str:
        """The JSON text of the arguments; the input text of a custom tool's call."""
        if len(self._pieces) > 1:
            self._pieces = [joined("".join(self._pieces))]
        return self._pieces[0] if self._pieces else ""

    @property
    def partial(self) -> Any:
        """The arguments so far as a Python value, see `partial_json`; a custom tool's input is text."""
        return self.arguments if self.type == "custom" else partial_json(self.arguments)

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are a whole JSON object."""
        return self.type == "function" and _whole_object(self.arguments) is not None

    def begins_another(self, fragment: Fragment) -> bool:
        """Whether `fragment`, sent to this call's place or with its id, belongs to a new call.

        A new call brings an id of its own or a name, or after whole arguments another object. An id alone is no proof
        while arguments go on: some servers make up another for each fragment.
        """
        fresh = bool(fragment.arguments.strip())
        if not fragment.name:
            announced = self.named_again or bool(fragment.id and self.id and fragment.id != self.id)
            return fresh and (self._is_followed_by(fragment.arguments) or (announced and self.is_complete))
        renamed = bool(self.name) and fragment.name != self.name
        if fragment.id and self.id:
            return fragment.id != self.id or (renamed and self.is_complete)
        if not self._pieces or not renamed:
            return fresh and self.is_complete and not (self.id and self._is_repeated_by(fragment.arguments))
        return renamed

    def extend(self, fragment: Fragment) -> bool:
        """Take in a fragment of this call; False when it says nothing new."""
        before = (self.id, self.name, self.type)
        self.id = self.id or fragment.id or None
        self.type = fragment.type or self.type
        if fragment.name == self.name:  # some servers repeat it in each fragment
            self.named_again = bool(fragment.name) and self.is_complete
        else:
            self.name += fragment.name
        adds = self._write(fragment.arguments)
        self.extra.update(fragment.extra)
        return adds or bool(fragment.extra) or before != (self.id, self.name, self.type)

    def _write(self, arguments: str) -> bool:
        """Take in a piece of the arguments; False when it says nothing new."""
        if not arguments or self._is_repeated_by(arguments):
            return False
        if self._is_replaced_by(arguments):
            self._cumulative = arguments.startswith(self.arguments)
            self._pieces = []
        self._pieces.append(arguments)
        return True

    def _is_repeated_by(self, arguments: str) -> bool:
        """Whether these are all the arguments once more, as some servers send them at the end."""
        if self.type == "custom" or not _opens_object(arguments):
            return False
        said = _whole_object(self.arguments)
        return said is not None and _whole_object(arguments) == said

    def _is_replaced_by(self, arguments: str) -> bool:
        """Whether these are all the arguments so far and more, or the real ones after a placeholder `{}`."""
        if self.type == "custom" or not _opens_object(arguments):
            return False
        before = self.arguments
        if arguments.startswith(before):
            return self._cumulative or (_opens_object(before) and not begins_json(before + arguments))
        return _whole_object(before) == {}

    def _is_followed_by(self, arguments: str) -> bool:
        """Whether these are another object after a whole one, which cannot be one call's."""
        return (
            _opens_object(arguments)
            and self.is_complete
            and not (self._is_repeated_by(arguments) or self._is_replaced_by(arguments))
        )


def _opens_object(text: str) -> bool:
    return text.lstrip().startswith("{")


def _whole_object(text: str) -> dict[str, Any] | None:
    """The JSON object that `text` is; None when it is none, or not all of one."""
    if not text.rstrip().endswith("}"):
        return None
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


class ToolCallAssembler:
    """Collects the `tool_calls` deltas of one choice: `add(chunk.choices[0].delta.tool_calls)`.

    A fragment belongs to the call of its index; a new id or a new name at the same index begins another call, an
    identical repetition of the name does not. Without an index it belongs to the call of its id, else to the last one.
    Arguments that come again, as a whole or with each fragment, count once.
    """

    def __init__(self) -> None:
        self._calls: list[AssembledCall] = []
        self._at: dict[int | None, AssembledCall] = {}
        self._by_id: dict[tuple[int | None, str], AssembledCall] = {}
        self._announced: dict[int | None, str] = {}

    @property
    def calls(self) -> list[AssembledCall]:
        """The calls, by the server's index where each has its own, else in the order of their first fragments."""
        places = {call.place for call in self._calls}
        if None in places or len(places) < len(self._calls):
            return list(self._calls)
        return sorted(self._calls, key=lambda call: call.place or 0)

    def add(self, deltas: Iterable[object] | None) -> list[AssembledCall]:
        """Take in the deltas of one chunk, the SDK's objects or plain dicts; the calls that changed, in order."""
        changed: dict[int, AssembledCall] = {}
        for delta in deltas or ():
            fragment = self._announcing(fragment_of(delta))
            call = self._call_of(fragment)
            if call is None:
                continue
            if call.extend(fragment):
                changed[call.index] = call
            self._remember(call, fragment)
        return list(changed.values())

    def _announcing(self, fragment: Fragment) -> Fragment:
        """`fragment` with the id that came by itself before it."""
        announced = self._announced.pop(fragment.place, "")
        return fragment if fragment.id else fragment._replace(id=announced)

    def _call_of(self, fragment: Fragment) -> AssembledCall | None:
        """The call that a fragment belongs to, made for it if need be; None when there is nothing in the fragment."""
        current = self._by_id.get((fragment.place, fragment.id)) or self._at.get(fragment.place)
        if current is None:
            return self._new(fragment, name="") if fragment.says_something else None
        if fragment.is_only_an_id and current.id not in (None, fragment.id):  # of a call to come, or made up
            self._announced[fragment.place] = fragment.id
            return None
        if current.begins_another(fragment):
            inherits = not fragment.name and (current.named_again or fragment.id in ("", current.id))
            return self._new(fragment, name=current.name if inherits else "")
        return current

    def _new(self, fragment: Fragment, *, name: str) -> AssembledCall:
        call = AssembledCall(index=len(self._calls), place=fragment.place, name=name)
        self._calls.append(call)
        return call

    def _remember(self, call: AssembledCall, fragment: Fragment) -> None:
        self._at[fragment.place] = self._at[None] = call
        if call.id:
            self._by_id[call.place, call.id] = self._by_id[None, call.id] = call
