"""What calls may use in a minute, a day or a month: checked before each call and settled after it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from llmkit import runtime
from llmkit.budgets.books import Books, back
from llmkit.budgets.ledger import Charge, Ledger
from llmkit.budgets.limits import USD, Amounts, Spent, charges, exceeded, limits_of, standing
from llmkit.budgets.memory import MemoryLedger
from llmkit.budgets.outcome import never_served
from llmkit.budgets.pricing import Pricing
from llmkit.budgets.windows import checked_name, scope
from llmkit.expected import expected_tokens
from llmkit.record import logger
from llmkit.request import CallNext, Request
from llmkit.tagging import Tag, checked_per, chosen

_NOT_COUNTED = frozenset({"moderations", "responses.input_tokens", "fine_tuning.jobs"})
"""Free, or jobs that run later and are billed then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hold:
    """What is set aside for one call."""

    request: Request
    who: Mapping[str, Tag]
    now: float
    expected: Amounts
    attempts: int
    """Of the record when the call came here: a layer above may send it several times."""
    reserved: tuple[Charge, ...] = ()
    """Nothing when the ledger failed and the call was let go."""


class Budget:
    """Refuses a call that may take tokens or dollars past a limit, with `BudgetExceeded`, before it is sent.

    Windows are minutes, days and months of the calendar in UTC. `per` names the tags (`llmkit.tags`) whose values
    have a budget each: "user" or ("user", "feature"). Calls without a tag share one; with `per=None` all calls do.

    While a call runs, what it may use is set aside: its input, and the output it allows, or `output_tokens` where it
    sets no limit. What it did use is booked when it is over, in the windows where it began and in full even past a
    limit; streams are asked for their figures by `UsageLog`, else they are estimated. A cached answer costs nothing,
    nor does a call that was refused or never sent. Where nobody knows what an answer used (a timeout, a cancelled
    call, a killed process), what was set aside stays booked. Jobs (batches, fine-tuning) are not counted.

    `ledger` keeps the figures: `MemoryLedger()`, `SQLiteLedger(path)`, `RedisLedger(url)` or one of your own. Budgets
    of one `name` (the tags of `per`, unless given) on one ledger are one budget. When the ledger fails,
    `on_error="closed"` raises its error and "open" lets calls go.

    Prices are genai-prices' (extra `llmkit[prices]`); `price` is asked first, takes `model`, `input_tokens`,
    `output_tokens` and `cached_tokens` by name, and returns dollars or None. Calls without a price are refused with
    `UnknownPrice`; under `unknown_price="allow"` their tokens count, and `spent` shows how many there were.
    """

    def __init__(
        self,
        *,
        minute_tokens: int | None = None,
        daily_tokens: int | None = None,
        monthly_tokens: int | None = None,
        minute_usd: USD | None = None,
        daily_usd: USD | None = None,
        monthly_usd: USD | None = None,
        per: str | tuple[str, ...] | None = None,
        name: str | None = None,
        ledger: Ledger | None = None,
        on_error: Literal["closed", "open"] = "closed",
        output_tokens: int = 500,
        unknown_price: Literal["refuse", "allow"] = "refuse",
        price: Callable[..., Decimal | None] | None = None,
    ) -> None:
        self._limits = limits_of(
            {
                "minute_tokens": minute_tokens,
                "daily_tokens": daily_tokens,
                "monthly_tokens": monthly_tokens,
                "minute_usd": minute_usd,
                "daily_usd": daily_usd,
                "monthly_usd": monthly_usd,
            }
        )
        if on_error not in ("closed", "open"):  # pyright: ignore[reportUnnecessaryContains]
            raise ValueError(f"on_error={on_error!r} is unknown; use 'closed' or 'open'")
        if unknown_price not in ("refuse", "allow"):  # pyright: ignore[reportUnnecessaryContains]
            raise ValueError(f"unknown_price={unknown_price!r} is unknown; use 'refuse' or 'allow'")
        if output_tokens < 0:
            raise ValueError(f"output_tokens={output_tokens!r} is negative; use what one of your answers may need")
        if price is not None and not callable(price):
            raise TypeError(f"price={price!r} is no function; give one that returns the dollars of a call, or None")
        if ledger is not None and (isinstance(ledger, type) or not callable(getattr(ledger, "reserve", None))):
            raise TypeError(
                f"ledger is a {type(ledger).__qualname__}; pass SQLiteLedger(path), RedisLedger(url), MemoryLedger() "
                "or one of your own"
            )
        self._per = checked_per(per)
        self._name = checked_name(name, self._per)
        self._output_tokens = output_tokens
        self._lets_go = on_error == "open"
        self._failing = False
        in_dollars = any(limit.unit == "usd" for limit in self._limits)
        self._pricing = Pricing(price, refuse_unknown=unknown_price == "refuse") if in_dollars else None
        self._books = Books(MemoryLedger() if ledger is None else ledger)
        weakref.finalize(self, self._books.close)

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Set aside, call, and settle."""
        if request.operation in _NOT_COUNTED or (request.model is None and request.operation != "responses"):
            return await call_next(request)
        hold = await self._reserve(request)
        try:
            answer = await call_next(request)
        except BaseException as error:
            self._settle(hold, error)
            if isinstance(error, Exception):
                await self._books.write_soon(runtime=request.runtime)
            raise
        record = request.record
        if record.attempts > hold.attempts and (request.stream or record.total_tokens is None):
            record.add_done_callback(lambda _: self._settle(hold))  # its figures come with its end
            return answer
        self._settle(hold)
        await self._books.write_soon(runtime=request.runtime)
        return answer

    def spent(self, **tags: Tag) -> dict[str, Spent]:
        """How each limit stands now, for these tags; reads the ledger, so it may block."""
        if unknown := tags.keys() - set(self._per):
            raise ValueError(f"this budget is per {self._per or None}, not per {', '.join(sorted(unknown))}")
        now = runtime.current(is_async=False).time()
        nobody = Amounts(tokens=0, nanos=None)
        asked = charges(self._limits, nobody, scope=scope(self._name, chosen(self._per, tags)), now=now)
        return standing(self._limits, self._books.spent(asked, now=now), now=now)

    def close(self) -> None:
        """Write to the ledger what is still to be settled, as the end of the process does; may block."""
        self._books.write(now=runtime.current(is_async=False).time())

    async def _reserve(self, request: Request) -> _Hold:
        tokens = await expected_tokens(request, output_tokens=self._output_tokens)
        nanos: int | None = 0
        if self._pricing is not None:
            nanos = self._pricing.before(request.model, **tokens._asdict(), base_url=request.base_url)
        hold = _Hold(
            request=request,
            who=chosen(self._per, request.tags),
            now=request.runtime.time(),
            expected=Amounts(tokens=sum(tokens), nanos=nanos),
            attempts=request.record.attempts,
        )
        reserved = self._charges(hold, hold.expected)
        try:
            refusal = await self._books.reserve(reserved, now=hold.now, runtime=request.runtime)
        except Exception as error:  # noqa: BLE001 - what fails in a ledger of the user's own is not known
            self._let_go(error)
            return hold
        self._failing = False
        if refusal is not None:
            raise exceeded(refusal, self._limits, who=hold.who)
        return replace(hold, reserved=tuple(reserved))

    def _settle(self, hold: _Hold, error: BaseException | None = None) -> None:
        """Book what was used in place of what was set aside."""
        used = self._used(hold, error)
        booked = [] if used is None else self._charges(hold, used)
        self._books.note([*back(hold.reserved), *booked], now=hold.request.runtime.time())

    def _used(self, hold: _Hold, error: BaseException | None) -> Amounts | None:
        record = hold.request.record
        if record.from_cache:
            return None
        if record.attempts == hold.attempts and (error is not None or record.total_tokens is None):
            return None  # a layer below answered or refused by itself, and has noted no share in another's request
        if record.total_tokens is None and record.audio_seconds is None:
            return None if error is not None and never_served(error, record) else hold.expected
        nanos = self._paid(hold.request)
        return Amounts(tokens=record.total_tokens or 0, nanos=hold.expected.nanos if nanos is None else nanos)

    def _paid(self, request: Request) -> int | None:
        if self._pricing is None:
            return None
        record = request.record
        try:
            return self._pricing.after(record, asked=request.model)
        except Exception as error:  # noqa: BLE001 - the answer has been paid for and must not be lost
            logger.warning("the price function of a Budget failed with %s", type(error).__name__)
            return None

    def _charges(self, hold: _Hold, amounts: Amounts) -> list[Charge]:
        return charges(self._limits, amounts, scope=scope(self._name, hold.who), now=hold.now)

    def _let_go(self, error: Exception) -> None:
        """Say once that the ledger fails, or raise its error."""
        if not self._lets_go:
            error.add_note("The Budget was not checked and the call not sent; Budget(on_error='open') would send it.")
            raise error
        if not self._failing:
            logger.warning("the ledger of a Budget failed with %s; calls go on unchecked", type(error).__name__)
        self._failing = True
