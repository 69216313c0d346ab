"""The limits of a budget and their units: tokens, and dollars as whole nano-dollars. Pure: no clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Final, Literal, NamedTuple, cast

from llmkit.budgets.ledger import Charge, Refusal
from llmkit.budgets.windows import Span, window
from llmkit.errors import BudgetExceeded
from llmkit.tagging import Tag

USD = int | str | float | Decimal
Unit = Literal["tokens", "usd"]

_NANO: Final = -9
"""Power of ten: a nano-dollar is a fifth of the cheapest token, and whole numbers add up exactly."""
_MOST: Final = 9 * 10**15
"""The largest limit, 9 million dollars: Redis counts in doubles, which are exact up to 2**53."""
_UNPRICED: Final = "_unpriced"


class Spent(NamedTuple):
    """How one limit stands: tokens as int, dollars as Decimal."""

    spent: int | Decimal
    """What calls have used in the current window, with what is set aside for those that still run."""
    limit: int | Decimal
    resets_at: datetime
    unpriced: int = 0
    """Calls whose dollars are in no sum, because their price is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of a budget."""

    name: str
    """As `Budget` calls it: "daily_usd"."""
    span: Span
    unit: Unit
    most: int
    """Tokens or nano-dollars."""

    def shown(self, amount: int) -> int | Decimal:
        """An amount of the ledger as people read it."""
        return amount if self.unit == "tokens" else Decimal(amount).scaleb(_NANO)


class Amounts(NamedTuple):
    """What a call uses."""

    tokens: int
    nanos: int | None
    """Nano-dollars; None when the price is not known."""


def limits_of(given: Mapping[str, USD | None]) -> tuple[Limit, ...]:
    """The limits that are not None; ValueError or TypeError when there is none, and for one that cannot be."""
    found = tuple(_limit(name, amount) for name, amount in given.items() if amount is not None)
    if not found:
        raise ValueError(f"there is no limit; give one of {', '.join(given)}")
    return found


def nano_dollars(usd: USD) -> int:
    """Dollars as nano-dollars, rounded up, so that no call is free that is not."""
    return int(_decimal(usd).scaleb(-_NANO).to_integral_value(ROUND_CEILING))


def charges(limits: Iterable[Limit], amounts: Amounts, *, scope: str, now: float) -> list[Charge]:
    """What a call books under each limit, in the windows of `now`; an unknown price is counted as a call unpriced."""
    found: list[Charge] = []
    for limit in limits:
        label, ends = window(limit.span, now)
        for name, amount, most in _booked(limit, amounts):
            cut = min(amount, 2**53)
            found.append(Charge(scope=scope, name=name, window=label, ends=ends, amount=cut, most=most))
    return found


def _booked(limit: Limit, amounts: Amounts) -> Iterator[tuple[str, int, int | None]]:
    """Under which names what is booked, and the most that each may come to."""
    if limit.unit == "tokens":
        yield limit.name, amounts.tokens, limit.most
        return
    yield limit.name, amounts.nanos or 0, limit.most
    if amounts.nanos is None:
        yield limit.name + _UNPRICED, 1, None


def standing(limits: Iterable[Limit], spent: Mapping[str, int], *, now: float) -> dict[str, Spent]:
    """How each limit stands, from the amounts that a ledger has under the names of charges."""
    return {
        limit.name: Spent(
            spent=limit.shown(spent[limit.name]),
            limit=limit.shown(limit.most),
            resets_at=datetime.fromtimestamp(window(limit.span, now).ends, UTC),
            unpriced=spent.get(limit.name + _UNPRICED, 0),
        )
        for limit in limits
    }


def exceeded(refusal: Refusal, limits: Iterable[Limit], *, who: Mapping[str, Tag]) -> BudgetExceeded:
    """The error that says which limit has no room and when it has again."""
    charge, booked = refusal
    limit = next(limit for limit in limits if limit.name == charge.name)
    spent, expected, most = (limit.shown(amount) for amount in (booked, charge.amount, limit.most))
    resets_at = datetime.fromtimestamp(charge.ends, UTC)
    until = (
        f"it resets at {resets_at:%Y-%m-%d %H:%M} UTC"
        if expected <= most
        else "more than the limit itself, so allow less output"
    )
    whose = "".join(f" of {tag} {value!r}" for tag, value in who.items())
    return BudgetExceeded(
        f"the budget {limit.name}{whose} has no room for this call: {_text(spent)} of {_text(most)} are spent or set "
        f"aside, and the call may need {_text(expected)}; {until}",
        name=limit.name,
        limit=most,
        spent=spent,
        expected=expected,
        per=who,
        resets_at=resets_at,
    )


def _text(amount: int | Decimal) -> str:
    return f"{amount} tokens" if isinstance(amount, int) else f"{amount.normalize():f} USD"


def _limit(name: str, amount: USD) -> Limit:
    span, unit = name.split("_")
    if unit == "tokens" and (isinstance(amount, bool) or not isinstance(amount, int)):
        raise TypeError(f"{name}={amount!r} must be a whole number of tokens")
    try:
        most = cast("int", amount) if unit == "tokens" else int(_decimal(amount).scaleb(-_NANO))
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError(f"{name}={amount!r} is no amount of dollars; write 5, '0.25' or Decimal('0.25')") from None
    if not 0 < most <= _MOST:
        largest = _MOST if unit == "tokens" else _MOST // 10**9
        raise ValueError(f"{name}={amount!r} must be above 0 and at most {largest}; leave it out for no limit")
    return Limit(name=name, span=cast("Span", span), unit=cast("Unit", unit), most=most)


def _decimal(usd: USD) -> Decimal:
    if isinstance(usd, bool) or not isinstance(usd, int | str | float | Decimal):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{usd!r} is no amount of dollars; use an int, a str or a Decimal")
    return usd if isinstance(usd, Decimal) else Decimal(str(usd))
