"""Cutting long texts in the middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llmkit.context.groups import Group
from llmkit.context.history import History
from llmkit.context.items import map_text
from llmkit.context.strategies import newest

_LEAST = 32  # tokens: room for the marker and some text


def cut(text: str, tokens: int, count: Callable[[str], int]) -> str:
    """The text in at most `tokens` tokens: its beginning and end, and between them how many tokens were cut."""
    total = size = count(text)
    short, chars = text, len(text)
    while size > tokens and chars > 0:
        chars = min(chars - 1, chars * tokens // size)
        head, tail = text[: chars - chars // 2], text[len(text) - chars // 2 :]
        short = f"{head}\n[... {total - count(head) - count(tail)} tokens cut ...]\n{tail}"
        size = count(short)
    return short


@dataclass(frozen=True, slots=True)
class TruncateLongest:
    """Cut the longest texts in the middle, all to the same length, and drop the oldest groups only if need be.

    The current turn's texts are cut, too: use it where a tool's result or a pasted file may be huge. Instructions,
    reasoning and the arguments of tool calls stay whole. No text is cut below `keep_tokens` (at least 32).
    """

    keep_tokens: int = 256

    def __post_init__(self) -> None:
        if self.keep_tokens < _LEAST:
            raise ValueError(f"keep_tokens={self.keep_tokens!r} is too few; use at least {_LEAST}")

    def __call__(self, groups: History, budget: int) -> list[Group]:
        """The groups with their longest texts cut, without the oldest that even cut texts leave no room for."""
        sizes: list[int] = []
        kept: list[Group] = []
        least = 0
        for group in reversed(groups):
            texts = _sizes(group, groups.text_tokens, self.keep_tokens)
            least += group.tokens - sum(texts) + len(texts) * self.keep_tokens
            if least > budget and kept:
                break
            kept.append(group)
            sizes += texts
        excess = sum(group.tokens for group in kept) - budget
        if excess > 0:
            level = self._level(sorted(sizes, reverse=True), excess)
            kept = [_cut_group(group, level, groups.text_tokens) for group in kept]
        return newest(kept[::-1], budget)

    def _level(self, sizes: Sequence[int], excess: int) -> int:
        """The length to which all longer texts must be cut to save `excess` tokens."""
        total = 0
        for index, size in enumerate(sizes, 1):
            total += size
            level = (total - excess) // index
            if level >= (sizes[index] if index < len(sizes) else 0):
                return max(level, self.keep_tokens)
        return self.keep_tokens


def _sizes(group: Group, count: Callable[[str], int], least: int) -> list[int]:
    """The sizes of the group's texts of more than `least` tokens."""
    sizes: list[int] = []

    def note(text: str) -> str:
        if len(text) * 4 > least and (size := count(text)) > least:  # a character has up to 4 bytes, a token 1 or more
            sizes.append(size)
        return text

    if group.tokens > least:
        for message in group.messages:
            map_text(message, note)
    return sizes


def _cut_group(group: Group, level: int, count: Callable[[str], int]) -> Group:
    saved = 0

    def shorten(text: str) -> str:
        nonlocal saved
        if len(text) * 4 <= level:
            return text
        short = cut(text, level, count)
        saved += count(text) - count(short)
        return short

    messages = tuple(map_text(message, shorten) for message in group.messages)
    return replace(group, messages=messages, tokens=group.tokens - saved) if saved else group
