"""What a call came to, and how the model is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from llmkit.tools.call import ToolCall
from llmkit.tools.parts import Part, TextPart, chat_part, label, responses_part


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """The one result of one call; `message` goes back to the model."""

    type: Literal["tool_result"] = "tool_result"
    call: ToolCall
    content: tuple[Part, ...]
    error: str | None = None
    """None, or what went wrong: "unknown_tool", "runs_elsewhere", "invalid_json", "invalid_arguments", "exception",
    "timeout", "cancelled", "denied" or "invalid_result"."""
    truncated: bool = False
    latency: float = 0.0
    """Seconds the function took, in its last attempt; not the waiting for approval or for other calls."""
    exception: Any = field(default=None, repr=False, compare=False)
    """The exception behind `error`, if there is one, for a log of your own: neither the model nor llmkit's own log is
    told its text."""
    value: Any = field(default=None, repr=False, compare=False)
    """What the function returned; the items of a generator as a list."""

    @property
    def text(self) -> str:
        """The result in words, its images and files by kind and size."""
        if len(self.content) == 1 and type(first := self.content[0]) is TextPart:  # what most results are
            return first.text
        return "\n".join(map(label, self.content))

    @property
    def message(self) -> dict[str, Any]:
        """The Chat message or the Responses item that answers the call."""
        call = self.call
        if call.api == "responses":
            return {"type": f"{_OUTPUT[call.kind]}_output", "call_id": call.id, "output": self._output()}
        if call.legacy:
            return {"role": "function", "name": call.name, "content": self.text}
        return {"role": "tool", "tool_call_id": call.id, "content": self.text}

    @property
    def image_message(self) -> dict[str, Any] | None:
        """A user message with the images and files that Chat's tool messages cannot carry; None without any.

        It goes after the results of all calls of the same assistant message.
        """
        if self.call.api == "responses" or _is_text(self.content):
            return None
        shown = [chat_part(part) for part in self.content if type(part) is not TextPart]
        text = f"From the result of {self.call.name} (call {self.call.id}):"
        return {"role": "user", "content": [{"type": "text", "text": text}, *shown]}

    def _output(self) -> str | list[dict[str, Any]]:
        if _is_text(self.content):
            return self.text
        return [responses_part(part) for part in self.content]


def _is_text(content: tuple[Part, ...]) -> bool:
    for part in content:  # noqa: SIM110 - all() with a generator takes three times as long
        if type(part) is not TextPart:
            return False
    return True


_OUTPUT = {"function": "function_call", "custom": "custom_tool_call"}
