"""Count the tokens of a request as the API will bill them, offline and before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.tokens.count import count_request, count_text, count_tokens, upper_bound
    from llmkit.tokens.estimate import estimate_tokens
    from llmkit.tokens.tally import TokenCount

__all__ = [
    "TokenCount",
    "count_request",
    "count_text",
    "count_tokens",
    "estimate_tokens",
    "upper_bound",
]

_HOME = {
    "llmkit.tokens.count": ("count_request", "count_text", "count_tokens", "upper_bound"),
    "llmkit.tokens.estimate": ("estimate_tokens",),
    "llmkit.tokens.tally": ("TokenCount",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
