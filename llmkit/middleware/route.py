"""A cheaper or larger model for the calls that a rule describes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from llmkit.expected import expected_tokens
from llmkit.figures import check_figures
from llmkit.record import logger
from llmkit.request import CallNext, Request
from llmkit.tagging import Tag

Choose = Callable[[Request], str | None]
"""The model for a request; None leaves it to the next rule."""

_OPERATIONS = ("chat.completions", "responses")


@dataclass(frozen=True, slots=True)
class Rule:
    """The model for the requests that are all that is said here; what is left out does not matter."""

    model: str
    _: KW_ONLY
    max_input_tokens: int | None = None
    """Counted, or estimated while the vocabulary is not loaded."""
    tools: bool | None = None
    """Whether the request offers tools."""
    tags: Mapping[str, Tag] = field(default_factory=dict[str, Tag])
    """Tags of the call, from `llmkit.tags`, and their values."""
    models: Collection[str] = ()
    """One of these was asked for."""
    operation: Literal["chat.completions", "responses"] | None = None

    def __post_init__(self) -> None:
        check_figures(max_input_tokens=self.max_input_tokens)
        if not isinstance(self.tags, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f'tags={self.tags!r} is no mapping; write tags={{"feature": "chat"}}')
        if not isinstance(self.model, str) or not self.model:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"model={self.model!r} names no model to send a request to")
        if self.max_input_tokens is not None and self.max_input_tokens < 1:
            raise ValueError(f"max_input_tokens={self.max_input_tokens!r} lets no request pass; use at least 1")
        if isinstance(self.models, str):
            raise TypeError(f"models={self.models!r} is one text; use models=({self.models!r},)")
        if self.operation not in (None, *_OPERATIONS):
            raise ValueError(f"operation={self.operation!r} is not routed; use one of {', '.join(_OPERATIONS)}")

    async def chosen(self, request: Request) -> str | None:
        """The model for `request`; None when the rule does not describe it."""
        if self._describes(request) and await self._is_short(request):
            return self.model
        return None

    def _describes(self, request: Request) -> bool:
        return (
            self.operation in (None, request.operation)
            and (not self.models or request.model in self.models)
            and self.tools in (None, bool(request.body.get("tools") or request.body.get("functions")))
            and all(request.tags.get(name) == value for name, value in self.tags.items())
        )

    async def _is_short(self, request: Request) -> bool:
        if self.max_input_tokens is None:
            return True
        return (await expected_tokens(request, output_tokens=0)).input_tokens <= self.max_input_tokens


class Route:
    """Sends chat and Responses calls to the model of the first rule that has one for them.

    A rule is a `Rule`, or a function of the request that returns a model's name or None; a function that raises leaves
    the call as it is. `dry_run=True` changes nothing and logs what would be done. Put it above Fallback, so that the
    model it chooses may fall back, and below Context, whose count of the tokens it then uses.
    """

    def __init__(self, *rules: Rule | Choose, dry_run: bool = False) -> None:
        if not rules:
            raise ValueError('Route() has no rule; give it one, as in Route(Rule("gpt-4o-mini", max_input_tokens=500))')
        for rule in rules:
            _check(rule)
        self._rules = rules
        self._dry_run = dry_run

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Choose a model and go on."""
        if request.operation not in _OPERATIONS or request.model is None:
            return await call_next(request)
        number, model = await self._choice(request)
        if model is None or model == request.model:
            return await call_next(request)
        if self._dry_run:
            logger.info("Route would send %s to %s, by rule %d", request.model, model, number)
            return await call_next(request)
        request.record.sent_model = model
        return await call_next(request.replace(model=model))

    async def _choice(self, request: Request) -> tuple[int, str | None]:
        """The number of the first rule that has a model, from 0, and that model."""
        number = 0
        try:
            for number, rule in enumerate(self._rules):
                model = await rule.chosen(request) if isinstance(rule, Rule) else _checked(rule(request))
                if model is not None:
                    return number, model
        except Exception as error:  # noqa: BLE001 - a mistake in a rule must not fail the user's call
            logger.warning("Route left a call as it was: rule %d raised %s", number, type(error).__name__)
        return number, None


def _check(rule: object) -> None:
    if isinstance(rule, Rule):
        return
    if not callable(rule) or isinstance(rule, type):
        raise TypeError(f"Route got a {type(rule).__qualname__}; a rule is a Rule(...) or a function of the request")
    if inspect.iscoroutinefunction(rule) or inspect.iscoroutinefunction(vars(type(rule)).get("__call__")):
        raise TypeError("Route got an async function; a rule is a plain function of the request")


def _checked(model: object) -> str | None:
    if model is not None and not isinstance(model, str):
        raise TypeError(f"a rule returned a {type(model).__qualname__}, not a model's name or None")
    return model
