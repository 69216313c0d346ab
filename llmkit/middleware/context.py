"""Counting before the call, and rescuing what cannot fit."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Literal

import httpx2

from llmkit.context import ContextLengthExceeded, DropOldest, Strategy, Summarize, summarize_body, trim_body
from llmkit.record import logger
from llmkit.request import CallNext, Request
from llmkit.tokens import TokenCount, count_request, upper_bound
from llmkit.tokens.models import GIVEN, check_model, model_facts
from llmkit.tokens.prefix import PREFIXES
from llmkit.tokens.vocabulary import is_loaded, load_soon

_FIELDS = {"chat.completions": "messages", "responses": "input"}
_OFF_THE_LOOP = 50_000
"""Bytes of text from which counting is left to a thread: about 5 ms of work."""
_ROOM = 4_096
"""Tokens left for an answer of unknown length, at most."""
_MOST_NAMES = 1_000
"""Model names remembered as checked."""
_MARGIN = 8
"""Tokens left free by trimming, for counts that are a few off (2 in 1,000 real requests were under by more than 2)."""


class Context:
    """Counts each chat and Responses request before it is sent, and acts on one that cannot fit its model.

    `on_overflow="trim"` drops the oldest turns (or what `strategy` drops), "raise" raises `ContextLengthExceeded`
    with the sizes. A request that fits is never touched, and only what certainly does not fit is acted on: not
    requests for models whose window is unknown (all that are not served by OpenAI itself, unless registered with
    `register_model`), nor such as cannot be counted exactly. `max_tokens` sets a smaller input budget of your own,
    for all models. The count is on the record as `predicted_tokens`, beside what the server bills, once the
    vocabulary is loaded, which begins two seconds after the first call of a process; `predict=False` counts only when
    a request might not fit.
    """

    def __init__(
        self,
        *,
        on_overflow: Literal["trim", "raise"] = "trim",
        max_tokens: int | None = None,
        strategy: Strategy | Summarize | None = None,
        predict: bool = True,
    ) -> None:
        if on_overflow not in ("trim", "raise"):  # pyright: ignore[reportUnnecessaryContains]
            raise ValueError(f"on_overflow={on_overflow!r} is unknown; use 'trim' or 'raise'")
        if max_tokens is not None and max_tokens < 1:
            raise ValueError(f"max_tokens={max_tokens!r} leaves no room for any message; use at least 1")
        self._trims = on_overflow == "trim"
        self._max_tokens = max_tokens
        self._strategy = strategy or DropOldest()
        self._predict = predict
        self._checked: set[str] = set()

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Count, trim or refuse, and go on."""
        field = _FIELDS.get(request.operation)
        if field is None or request.body.get(field) is None or not isinstance(request.model, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            return await call_next(request)
        self._check_name(request)
        limit = self._limit(request)
        count = await self._count(request, limit)
        if count is None:
            return await call_next(request)
        request.record.predicted_tokens = count.total
        if limit is None or count.total <= limit or not (count.exact or self._max_tokens):
            return await call_next(request)
        return await call_next(await self._fitted(request, count, limit))

    def _is_ready(self, model: str) -> bool:
        """Whether counting can start at once; no call waits for the vocabulary just to have a figure recorded."""
        load_soon(model)
        return is_loaded(model)

    def _limit(self, request: Request) -> int | None:
        """The most input tokens this request may have; None when nobody knows."""
        facts = model_facts(request.model or "")
        limits = [self._max_tokens] if self._max_tokens else []
        trusted = facts.source == GIVEN or (facts.known and _is_openais(request.base_url))
        output = _asked_output(request)
        if trusted and output < facts.context_window and request.body.get("truncation") != "auto":
            limits.append(min(facts.input_limit, facts.context_window - output))
        return min(limits, default=None)

    async def _count(self, request: Request, limit: int | None) -> TokenCount | None:
        """None when the figure is not needed, or when llmkit cannot read what the API perhaps can."""
        model, operation = request.model or "", request.operation

        def count() -> TokenCount | None:
            wanted = self._predict and self._is_ready(model)
            if not wanted and (limit is None or upper_bound(request.body, operation=operation) <= limit):
                return None
            return count_request(request.body, operation=operation)

        try:
            if is_loaded(model) and not _is_long(request.body, _FIELDS[operation]):
                return count()
            return await request.runtime.run_blocking(count)
        except (TypeError, ValueError, RecursionError) as error:
            logger.debug("%s request not counted: %s", operation, type(error).__name__)
            return None

    async def _fitted(self, request: Request, count: TokenCount, limit: int) -> Request:
        if not self._trims:
            raise ContextLengthExceeded(
                f"the request has {count.total} input tokens (messages {count.messages}, tools {count.tools}, response "
                f"format {count.response_format}, images {count.images}) and {request.model!r} takes {limit} of them "
                "here; shorten it, ask for less output, or use Context(on_overflow='trim')"
            )
        field = _FIELDS[request.operation]
        body = await self._trimmed(request, max(1, limit - _MARGIN - self._room(request)))
        trimmed = await request.runtime.run_blocking(lambda: count_request(body, operation=request.operation))
        record = request.record
        record.predicted_tokens = trimmed.total
        if not isinstance(body[field], str):
            record.trimmed_messages = max(0, len(request.body[field]) - len(body[field]))
        return request.replace(body=body)

    async def _trimmed(self, request: Request, budget: int) -> dict[str, Any]:
        strategy, operation = self._strategy, request.operation
        if isinstance(strategy, Summarize):
            return await summarize_body(request.body, max_tokens=budget, operation=operation, strategy=strategy)
        return await request.runtime.run_blocking(
            lambda: trim_body(request.body, max_tokens=budget, operation=operation, strategy=strategy)
        )

    def _room(self, request: Request) -> int:
        """Tokens to leave for the answer when nobody said how many: an input that fills the window leaves none."""
        facts = model_facts(request.model or "")
        if self._max_tokens or _asked_output(request) or facts.input_limit < facts.context_window:
            return 0
        return min(_ROOM, facts.context_window // 8)

    def _check_name(self, request: Request) -> None:
        """Say once that a model is about to be shut down or that its name looks like a slip of the pen."""
        model = request.model or ""
        if model in self._checked or len(self._checked) > _MOST_NAMES or not _is_openais(request.base_url):
            return  # elsewhere, names and dates are not OpenAI's
        self._checked.add(model)
        if hint := check_model(model):
            logger.warning("%s", hint)


@functools.lru_cache(64)
def _is_openais(base_url: str) -> bool:
    """Elsewhere (Azure, gateways, local servers) a model's name says nothing certain of its limits."""
    host = httpx2.URL(base_url).host
    return host == "api.openai.com" or host.endswith(".api.openai.com")


def _is_long(body: Mapping[str, Any], field: str) -> bool:
    """Whether so much of a body is new, or in so many parts, that counting it takes a millisecond or more."""
    known = PREFIXES.find(body[field])
    new = body[field] if known is None else body[field][len(known.messages) :]
    left = _OFF_THE_LOOP
    groups: list[Any] = [[new, body.get("tools"), body.get("response_format"), body.get("instructions")]]
    while groups and left > 0:
        for part in groups.pop():
            left -= len(part) if part.__class__ is str else 10
            if part.__class__ is dict:
                groups.append(part.values())
            elif part.__class__ is list:
                groups.append(part)
    return left <= 0


def _asked_output(request: Request) -> int:
    """The output tokens that the API adds to the input before it compares with the window: those of Chat."""
    if request.operation != "chat.completions":
        return 0
    given = [request.body.get(name) for name in ("max_completion_tokens", "max_tokens")]
    return next((asked for asked in given if type(asked) is int and asked > 0), 0)
