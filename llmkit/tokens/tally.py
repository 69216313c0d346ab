"""The running figures of one request, and what they become: a `TokenCount`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llmkit.tokens.families import Costs, Family
from llmkit.tokens.images import image_tokens
from llmkit.tokens.memory import ByteRuler, Memory
from llmkit.tokens.plain import is_list, is_mapping, plain_mapping

_TEXT_OF: Final = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_IMAGES: Final = ("image_url", "input_image")

Part = str | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCount:
    """The input tokens of a request: `total`, what it is made of, and whether the API will bill exactly that.

    `total` is messages + tools + response_format + images + priming. `per_message` has one figure for each message
    or input item, with its images; what is written together (parallel calls, their results) counts with its first
    message, and a Responses request's `instructions` are in `messages` alone. `reason` says why a count is not
    `exact`: such a count errs on the large side, except for what the request does not show (server tools, files).
    """

    total: int
    messages: int = 0
    tools: int = 0
    response_format: int = 0
    images: int = 0
    priming: int = 0
    per_message: tuple[int, ...] = ()
    exact: bool = True
    reason: str | None = None

    def __int__(self) -> int:
        return self.total


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has been added up so far."""

    family: Family
    costs: Costs
    memory: Memory | ByteRuler
    where: str  # "messages" or "input": what errors call the list of messages
    per_message: list[int] = field(default_factory=list[int])
    instructions: int = 0
    images: int = 0
    tools: int = 0
    response_format: int = 0
    priming: int = 0
    reasons: list[str] = field(default_factory=list[str])

    def doubt(self, reason: str) -> None:
        """Note why the count is not exact."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    def content(self, content: object, index: int) -> int:
        """Return the tokens of a message's content, its images included; texts between images are one text."""
        if isinstance(content, str):
            return self.memory.text(content)
        total, text = 0, ""
        for part in self.parts(content, index):
            if isinstance(part, str):
                text += part
                continue
            tokens = self._image(part)
            self.images += tokens
            total += tokens + self.memory.text(text)
            text = ""
        return total + self.memory.text(text)

    def leading(self, content: object) -> str:
        """Return the text of the first message, images left out."""
        if isinstance(content, str):
            return content
        return "".join(part for part in self.parts(content, 0) if isinstance(part, str))

    def parts(self, content: object, index: int) -> list[Part]:
        """Return the texts and images of content parts; others are noted as a doubt."""
        if content is None:
            return []
        name = f"{self.where}[{index}].content"
        if not is_list(content):
            raise TypeError(
                f"{name} is a {type(content).__name__}: give a string or a list of parts"
                " (an iterator would be used up by counting it)"
            )
        found = [part if isinstance(part, str) else self._part(part, name) for part in content]
        return [part for part in found if part is not None]

    def _part(self, value: object, where: str) -> Part | None:
        part = plain_mapping(value, f"a part of {where}")
        kind = part.get("type")
        if kind in _IMAGES:
            return part
        key = _TEXT_OF.get(kind) if isinstance(kind, str) else None
        if key is None:
            self.doubt(f"{kind} content")
            return None
        text = part.get(key)
        if not isinstance(text, str):
            raise TypeError(f"the {key} of a part of {where} is a {type(text).__name__}: give a string")
        return text

    def _image(self, part: Mapping[str, Any]) -> int:
        source, detail = part.get("image_url"), part.get("detail")
        if is_mapping(source):
            detail = source.get("detail", detail)
            source = source.get("url")
        tokens, known = image_tokens(source, detail, self.family)
        if not known:
            self.doubt("an image of unknown size")
        return tokens

    def done(self) -> TokenCount:
        """Return the figures."""
        if not self.family.known:
            self.doubt("an unknown model")
        self.priming += self.costs.priming
        messages = sum(self.per_message) + self.instructions - self.images
        return TokenCount(
            total=messages + self.tools + self.response_format + self.images + self.priming,
            messages=messages,
            tools=self.tools,
            response_format=self.response_format,
            images=self.images,
            priming=self.priming,
            per_message=tuple(self.per_message),
            exact=not self.reasons,
            reason=", ".join(self.reasons) or None,
        )
