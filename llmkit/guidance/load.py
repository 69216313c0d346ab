"""Requests that the server could not take now: 408, 409, 429, 5xx."""

from __future__ import annotations

import re

from llmkit.guidance.explanation import Advice
from llmkit.guidance.failure import Failure
from llmkit.retries import QUOTA_CODES

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d)?)+")
_OVERLOADED = frozenset({"overloaded", "overloaded_error", "slow_down", "engine_overloaded", "server_is_overloaded"})
_STATUS_PAGES = {True: "status.openai.com", False: "the provider's status page"}


def explain_load(failure: Failure) -> Advice:
    """The reading of a status that says nothing against the request, or of a failure with a code of this kind."""
    if failure.code in QUOTA_CODES or "exceeded your current quota" in failure.words:
        return _quota(failure)
    if failure.status == 429 or failure.code == "rate_limit_exceeded":
        return _too_big_for_limit(failure) if "request too large" in failure.words else _rate(failure)
    if failure.status == 407:
        return _proxys_login(failure)
    if failure.status == 408:
        return _gave_up(failure)
    return _conflict(failure) if failure.status == 409 else _server(failure)


def _quota(failure: Failure) -> Advice:
    return Advice(
        "quota",
        f"The account is out of credit, over its budget or not active ({failure.label}).",
        "This is no rate limit: neither waiting nor another attempt helps.",
        "Add credit or raise the limit (platform.openai.com/settings/organization/billing), or use another key.",
    )


def _rate(failure: Failure) -> Advice:
    which = _which(failure)
    limit = failure.headers.get(f"x-ratelimit-limit-{which}", "")
    allowed = f" of {limit}" if limit.isdigit() else ""
    reset = failure.headers.get(f"x-ratelimit-reset-{which}", "")
    when = f" It is full again in {reset}." if _DURATION.fullmatch(reset) else ""
    named = {"requests": "requests a minute (rpm)", "tokens": "tokens a minute (tpm)"}.get(which, "calls")
    return Advice(
        "rate_limit",
        f"Too many {named} for {failure.model or 'this model'} ({failure.label}).",
        f"The limit{allowed} is shared by everything that uses the organization's or project's keys.{when}",
        "Wait and send it again, as Retry does; RateLimit(requests_per_minute=..., tokens_per_minute=...) keeps calls "
        "below the limit.",
    )


def _which(failure: Failure) -> str:
    """Which of "requests" and "tokens" has nothing left, else the type of the error."""
    spent = [name for name in ("requests", "tokens") if failure.headers.get(f"x-ratelimit-remaining-{name}") == "0"]
    return spent[0] if len(spent) == 1 else failure.type or ""


def _too_big_for_limit(failure: Failure) -> Advice:
    return Advice(
        "request_too_large",
        f"This request alone has more tokens than a minute's limit for {failure.model or 'this model'}.",
        "The input and the output that it allows count together, before anything is generated.",
        "Shorten it, lower max_completion_tokens, split it, or have the limit raised; waiting does not help.",
    )


def _gave_up(failure: Failure) -> Advice:
    return Advice(
        "request_timeout",
        f"{failure.host} stopped waiting for the request ({failure.label}).",
        "It arrived too slowly or waited too long in the server's queue.",
        "Send it again; if it stays, send less at a time.",
    )


def _conflict(failure: Failure) -> Advice:
    return Advice(
        "conflict",
        f"Something else was changing the same object ({failure.label}).",
        "Two requests at a time touched one file, job, conversation or stored response.",
        "Send it again, one change at a time.",
    )


def _server(failure: Failure) -> Advice:
    kind, why = "server_error", "The fault is on the server's side, not in your request."
    if failure.status == 503 or failure.code in _OVERLOADED:
        kind, why = "overloaded", "It has more to do than it can at the moment."
    elif failure.status in (502, 504):
        kind, why = "gateway", "A gateway or proxy in front of it got no answer from it."
    return Advice(
        kind,
        f"{failure.host} failed ({failure.label or 'as its stream reports'}).",
        why,
        f"Try again later ({_STATUS_PAGES[failure.is_openais]} shows outages); a Fallback asks another model.",
    )


def _proxys_login(_: Failure) -> Advice:
    return Advice(
        "proxy",
        "The proxy wants a login (407).",
        "The proxy of HTTP_PROXY or HTTPS_PROXY, or the client's own, does not know you.",
        "Put user and password into the proxy's address, or let NO_PROXY name hosts to be reached without it.",
    )
