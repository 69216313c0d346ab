"""What a token of each kind costs, and what that makes of an answer. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import Any, Final

from llmkit.usage.tokens import TokenUsage

USD = int | str | float | Decimal

_MILLION: Final = 1_000_000
_HOUR: Final = 3_600
_ZERO: Final = Decimal(0)
_KEYS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "input_audio": "input_audio_mtok",
    "output_audio": "output_audio_mtok",
    "input_image": "input_image_mtok",
    "output_image": "output_image_mtok",
    "audio_hour": "audio_hours",
}
"""What genai-prices calls them."""
_REQUESTS: Final = "requests_kcount"
_CONTEXT: Final = Context(prec=50)
"""That of the caller may round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens of each kind.

    A part that is None costs what its input or output costs; without a price of their own, those are not known.
    """

    input: USD | None = None
    output: USD | None = None
    cached: USD | None = None
    """Read from the provider's prompt cache."""
    cache_write: USD | None = None
    """Written to it."""
    input_audio: USD | None = None
    output_audio: USD | None = None
    input_image: USD | None = None
    output_image: USD | None = None
    audio_hour: USD | None = None
    """An hour of sound, for models that are billed by its length."""
    request: USD | None = None
    """Dollars for each call, beside those for its tokens."""

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            if given is not None:
                object.__setattr__(self, field.name, exact(given, name=field.name))
        if all(getattr(self, field.name) is None for field in fields(self)):
            raise ValueError("a Price needs a figure; for what costs nothing, Price(input=0, output=0)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The price of a model at one moment, which may be another one for long inputs."""

    above: tuple[int, ...] = ()
    """Input tokens above which the next price holds for all tokens."""
    prices: tuple[Price, ...]

    @classmethod
    def flat(cls, price: Price) -> Rates:
        """One price, whatever the length."""
        return cls(prices=(price,))

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Rates | None:
        """Rates from the fields of a `ModelPrice` of genai-prices; None of a model that is billed by something else."""
        given = {ours: found[theirs] for ours, theirs in _KEYS.items() if found.get(theirs) is not None}
        if not given:
            free = all(value is None for value in found.values())
            return cls.flat(Price(input=0, output=0)) if free else None
        if found.get(_REQUESTS) is not None:
            given["request"] = found[_REQUESTS] / 1_000
        starts = sorted({tier.start for price in given.values() for tier in getattr(price, "tiers", ())})
        prices = (Price(**{name: _within(price, start) for name, price in given.items()}) for start in (None, *starts))
        return cls(above=tuple(starts), prices=tuple(prices))

    @property
    def by_length(self) -> bool:
        """Whether sound is billed by its length, and tokens are not."""
        return self.prices[0].audio_hour is not None and self.prices[0].input is None

    def cost(self, usage: TokenUsage) -> Decimal | None:
        """The price of an answer in USD; None for figures that cannot be, or of which a part has no price."""
        with localcontext(_CONTEXT):
            return self._cost(usage)

    def _cost(self, usage: TokenUsage) -> Decimal | None:
        given, made = usage.input_tokens or 0, usage.output_tokens or 0
        price = self.prices[bisect_left(self.above, given)]
        if usage.audio_seconds is not None:
            return None if price.audio_hour is None else _dollars(price.audio_hour) * exact(usage.audio_seconds) / _HOUR
        if (usage.input_audio_tokens and price.input_audio is None) or (
            usage.output_audio_tokens and price.output_audio is None
        ):
            return None  # a price for text is not that for sound
        read = _side(
            given,
            price.input,
            (usage.cached_tokens, price.cached),
            (usage.cache_write_tokens, price.cache_write),
            (usage.input_audio_tokens, price.input_audio),
            (usage.input_image_tokens, price.input_image),
        )
        written = _side(
            made,
            price.output,
            (usage.output_audio_tokens, price.output_audio),
            (usage.output_image_tokens, price.output_image),
        )
        if read is None or written is None:
            return None
        return (read + written) / _MILLION + (_ZERO if price.request is None else _dollars(price.request))


def exact(amount: USD, *, name: str = "the amount") -> Decimal:
    """An amount as a decimal, 0 or more; a float is read as it is written."""
    try:
        found = amount if isinstance(amount, Decimal) else Decimal(str(amount))
    except InvalidOperation:
        found = None
    if found is None or not found.is_finite() or found < 0:
        raise ValueError(f"{name}={amount!r} is no amount; give US dollars as a number or text, 0 or more")
    return found


def _side(total: int, price: USD | None, *parts: tuple[int | None, USD | None]) -> Decimal | None:
    """A million times the dollars of the input, or the output: each part at its own price, the rest at the general."""
    rest, sum_of_parts = total, _ZERO
    for tokens, own in parts:
        if tokens and own is not None:
            if tokens < 0:
                return None
            rest -= tokens
            sum_of_parts += tokens * _dollars(own)
    if rest == 0:
        return sum_of_parts
    return None if rest < 0 or price is None else sum_of_parts + rest * _dollars(price)


def _dollars(amount: USD | None) -> Decimal:
    assert isinstance(amount, Decimal)  # as __post_init__ has made it
    return amount


def _within(price: Any, start: int | None) -> Decimal:
    """The price in the bracket that begins above `start` input tokens."""
    held: Decimal = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if start is not None and tier.start <= start:
            held = tier.price
    return held
