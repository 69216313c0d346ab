"""Tool calls put together from the fragments of a Chat stream, also where the SDK's own accumulation goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from llmkit.streaming.fragments import Fragment, fragment_of
from llmkit.streaming.partial import partial_json
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
        arguments = self.arguments.rstrip()
        if not arguments.endswith("}"):
            return False
        try:
            return isinstance(json.loads(arguments), dict)
        except (ValueError, RecursionError):
            return False

    def begins_another(self, fragment: Fragment) -> bool:
        """Whether `fragment`, sent to this call's place, belongs to a new call.

        A new call brings an id of its own or a name. An id alone is no proof while arguments go on: some servers make
        up another for each fragment.
        """
        fresh = bool(fragment.arguments.strip())
        if fragment.id and self.id:
            return bool(fragment.name) or not fresh or self.is_complete
        if not fragment.name:
            return self.named_again and fresh
        if not self._pieces or not self.name:
            return False
        return fragment.name != self.name or (fresh and self.is_complete)

    def extend(self, fragment: Fragment) -> bool:
        """Take in a fragment of this call; False when it says nothing new."""
        before = (self.id, self.name, self.type)
        self.id = self.id or fragment.id or None
        self.type = fragment.type or self.type
        if fragment.name == self.name:  # some servers repeat it in each fragment
            self.named_again = bool(fragment.name) and self.is_complete
        else:
            self.name += fragment.name
        adds = bool(fragment.arguments) and not self._repeats(fragment.arguments)
        if adds:
            self._pieces.append(fragment.arguments)
        self.extra.update(fragment.extra)
        return adds or bool(fragment.extra) or before != (self.id, self.name, self.type)

    def _repeats(self, arguments: str) -> bool:
        """Whether these are all the arguments once more, as some servers send them at the end."""
        return arguments.endswith("}") and arguments == self.arguments and self.is_complete


class ToolCallAssembler:
    """Collects the `tool_calls` deltas of one choice: `add(chunk.choices[0].delta.tool_calls)`.

    A fragment belongs to the call of its index; a new id or a new name at the same index begins another call, an
    identical repetition of the name does not. Without an index it belongs to the call of its id, else to the last one.
    """

    def __init__(self) -> None:
        self._calls: list[AssembledCall] = []
        self._at: dict[int | None, AssembledCall] = {}
        self._by_id: dict[tuple[int | None, str], AssembledCall] = {}

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
            fragment = fragment_of(delta)
            call = self._call_of(fragment)
            if call is None:
                continue
            if call.extend(fragment):
                changed[call.index] = call
            self._remember(call, fragment)
        return list(changed.values())

    def _call_of(self, fragment: Fragment) -> AssembledCall | None:
        """The call that a fragment belongs to, made for it if need be; None when there is nothing in the fragment."""
        known = self._by_id.get((fragment.place, fragment.id)) if fragment.id else None
        current = known or self._at.get(fragment.place)
        if known is None and current is not None and current.begins_another(fragment):
            current = self._new(fragment, name=current.name if current.named_again else "")
        elif current is None and fragment.says_something:
            current = self._new(fragment, name="")
        return current

    def _new(self, fragment: Fragment, *, name: str) -> AssembledCall:
        call = AssembledCall(index=len(self._calls), place=fragment.place, name=name)
        self._calls.append(call)
        return call

    def _remember(self, call: AssembledCall, fragment: Fragment) -> None:
        self._at[fragment.place] = self._at[None] = call
        if call.id:
            self._by_id.setdefault((call.place, call.id), call)
            self._by_id.setdefault((None, call.id), call)
