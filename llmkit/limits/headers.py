"""What a server tells of its limits in the `x-ratelimit-*` headers of an answer. No clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from llmkit.retries import seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A limit of the server's, and what is left of it; None where it does not say."""

    per_minute: float | None = None
    remaining: float | None = None


NOTHING = Told()


def told(headers: Mapping[str, str], kind: Literal["requests", "tokens"]) -> Told:
    """What the headers say of the limit on `kind`; nonsense counts as nothing.

    A limit is one per minute, as OpenAI means it. Where nothing is left and filling up takes longer than a minute
    (`x-ratelimit-reset-*`: limits per day), it is as much less.
    """
    remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
    if remaining is None:
        return NOTHING
    limit = _number(headers.get(f"x-ratelimit-limit-{kind}")) or None
    if limit is not None and not remaining:
        reset = seconds(headers.get(f"x-ratelimit-reset-{kind}", "")) or 0.0
        limit *= 60 / max(60.0, reset)
    return Told(per_minute=limit, remaining=remaining)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
