"""Another model, or another provider, when the one that was asked fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import openai

from llmkit.errors import MiddlewareError
from llmkit.fallbacks import described, who_may_help
from llmkit.keys.handing import ring_of
from llmkit.record import logger
from llmkit.request import CallNext, Request
from llmkit.retries import RetryOn, check_retry_on

Client = openai.OpenAI | openai.AsyncOpenAI
Target = str | Client | tuple[Client, str]
"""A model of the same client, a client for the same model, or both."""

_NOBODY: Any = object()
_ONCE = "No fallback was asked: the request cannot be sent a second time."
_CREDENTIALS = frozenset({"authorization", "api-key", "openai-organization", "openai-project"})
_GENERATE_TEXT = frozenset({"chat.completions", "completions", "responses"})


class Fallback:
    """Asks the targets in turn, until one answers, when a chat, completion or Responses call fails.

    A target is a model's name, a client (made by llmkit, or with `wrap`) for the same model, or `(client, model)`.
    The layers below run for each of them. `on` says which errors lead to it, as statuses and exception classes or as
    a function of the error. None stands for connection errors, timeouts, 404 (no such model), 408, 409, 429, 5xx,
    llmkit's InvalidResponse, CircuitOpen, RateLimitTimeout and NoUsableKey, and for another client's targets 401 and
    403. `adapt` changes the request for the model that it names, such as parameters which only some models take.

    When all fail, the first error is raised, with a note on what the others said. A stream that breaks off after it
    was opened is not started again. An Azure client bound to an `azure_deployment` has no other model than that.
    """

    def __init__(
        self, *targets: Target, on: RetryOn | None = None, adapt: Callable[[Request], Request] | None = None
    ) -> None:
        if not targets:
            raise ValueError('Fallback() has no target; name a model, as in Fallback("gpt-4o-mini"), or a client')
        check_retry_on(on)
        self._targets = tuple(_parts(target) for target in targets)
        self._on = on
        self._adapt = adapt

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Ask; when that fails for a reason that another may not have, ask the next."""
        if request.operation not in _GENERATE_TEXT:
            return await call_next(request)
        self._check_clients(request)
        try:
            return await call_next(request)
        except Exception as error:
            if candidates := self._candidates(request, error):
                answer = await self._answer(request, error, candidates, call_next)
                if answer is not _NOBODY:
                    return answer
            raise

    async def _answer(self, request: Request, first: Exception, candidates: list[Request], call_next: CallNext) -> Any:
        record, asked, error, said = request.record, request, first, list[str]()
        before = record.sent_model, record.sent_to
        for candidate in candidates:
            if not candidate.rewind():
                break
            logger.warning("%s failed with %s; asking %s", _name(asked), described(error), _name(candidate))
            record.sent_model = None if candidate.model == record.model else candidate.model
            record.sent_to = before[1] if candidate.client is request.client else candidate.base_url
            try:
                adapted = candidate if self._adapt is None else self._adapt(candidate)
                answer = await _by_its_ring(adapted, request, call_next)
            except Exception as again:  # noqa: BLE001 - the first one is raised
                asked, error = candidate, again
                said.append(f"{_name(asked)} with {described(error)}")
            else:
                record.fallback = True
                return answer
        record.sent_model, record.sent_to = before
        first.add_note(f"The fallbacks failed, too: {', '.join(said)}." if said else _ONCE)
        return _NOBODY

    def _candidates(self, request: Request, error: Exception) -> list[Request]:
        """The request for each target that may help, and none twice."""
        who = who_may_help(error, on=self._on)
        if who == "none":
            return []
        asked, candidates = [(request.client, request.model)], list[Request]()
        for client, model in self._targets:
            headers = None if client is None else _without_credentials(request)
            candidate = request.replace(client=client, model=model, headers=headers)
            key = candidate.client, candidate.model
            if key not in asked and (who == "any" or candidate.client is not request.client):
                asked.append(key)
                candidates.append(candidate)
        return candidates

    def _check_clients(self, request: Request) -> None:
        """Say at the first call that a target cannot be used, not when it is needed."""
        is_async = isinstance(request.client, openai.AsyncOpenAI)
        for client, _ in self._targets:
            if client is not None and isinstance(client, openai.AsyncOpenAI) != is_async:
                raise MiddlewareError(
                    f"Fallback cannot send the calls of {type(request.client).__qualname__} by "
                    f"{type(client).__qualname__}: one is async and the other is not"
                )


async def _by_its_ring(candidate: Request, request: Request, call_next: CallNext) -> Any:
    """Send `candidate`, by the ring of its client where the one of `request` has none, and so the stack has none."""
    ring = None if ring_of(request.client) is not None else ring_of(candidate.client)
    return await (call_next(candidate) if ring is None else ring(candidate, call_next))


def _parts(target: Target) -> tuple[Client | None, str | None]:
    given = cast("tuple[Any, ...]", target if isinstance(target, tuple) else (target,))
    match given:
        case (str(model),) if model:
            return None, model
        case (openai.OpenAI() | openai.AsyncOpenAI() as client,):
            return _usable(client), None
        case (openai.OpenAI() | openai.AsyncOpenAI() as client, str(model)) if model:
            return _usable(client), model
        case _:
            kinds = ", ".join(type(part).__qualname__ for part in given)
            raise TypeError(f"Fallback got ({kinds}); a target is a model's name, a client or (client, model)")


def _usable(client: Client) -> Client:
    if not hasattr(client, "_llmkit"):
        name = type(client).__qualname__
        raise TypeError(f"Fallback got a {name} of the openai SDK's; pass llmkit's, or wrap(client)")
    return client


def _without_credentials(request: Request) -> dict[str, str]:
    """The call's own headers, less those by which it is known to the provider that failed."""
    return {name: value for name, value in request.headers.items() if name.lower() not in _CREDENTIALS}


def _name(request: Request) -> str:
    return f"{request.model} at {request.host}"
