"""What is known of a model: how many tokens it takes and gives, and when OpenAI shuts it down."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from llmkit.tokens._model_table import SOURCES, TABLE

logger = logging.getLogger("llmkit")

_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_LONGEST_NAME = 64
"""No family is looked for past this many characters, so that an absurd name costs no time."""

# Single dict operations are atomic, so that neither needs a lock.
_registered: dict[str, ModelFacts] = {}
_warned: dict[str, object] = {}


GIVEN = "given by the user"
"""The source of limits that the user registered or passed as overrides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The limits of one model, in tokens; `ValueError` for limits that cannot be true."""

    name: str
    context_window: int
    """Input and output together."""
    max_input_tokens: int | None = None
    """None: no limit below the window."""
    max_output_tokens: int | None = None
    """Reasoning included. None: no limit below the window; 0: an embedding model."""
    deprecated: str | None = None
    """The day OpenAI's API stops serving it, such as "2027-01-14", be it to come or past."""
    source: str = GIVEN
    as_of: str = ""
    """The day of the source, or its month."""
    known: bool = True
    """False: the figures are a guess from the model's family, or the default."""

    def __post_init__(self) -> None:
        smallest_output = self.context_window if self.max_output_tokens is None else self.max_output_tokens
        if not (0 < self.input_limit <= self.context_window and 0 <= smallest_output <= self.context_window):
            raise ValueError(
                f"limits of {self.name!r}: window {self.context_window}, input {self.max_input_tokens}, output "
                f"{self.max_output_tokens}; the window must be positive and the others within it"
            )

    @property
    def input_limit(self) -> int:
        """The most input tokens the model takes, whatever the output."""
        return self.context_window if self.max_input_tokens is None else self.max_input_tokens


_UNKNOWN = ModelFacts(
    name="",
    context_window=128_000,
    max_output_tokens=16_384,
    source="default: the window and output of the smallest chat model OpenAI still serves",
    as_of="2026-11-20",
    known=False,
)


def model_facts(name: str, *, overrides: Mapping[str, ModelFacts] | None = None) -> ModelFacts:
    """The limits of the model called `name`: yours if you gave any, else the table's, else a guess.

    Looked up in `overrides`, among registered models, then in the table; a fine-tune ("ft:gpt-4o-mini:org::id") has the
    limits of its base. All else is a guess and has `known=False`: a dated snapshot that is not listed has the limits
    of its model, another name those of the longest listed name it extends ("gpt-4o-eu": gpt-4o), else the smallest of
    its family ("gpt-6-nova": all gpt-6), else a window of 128,000. On Azure and on gateways names are anybody's.
    """
    base = _base(name)
    facts = _listed(name, overrides) or _listed(base, overrides) or _snapshot(base, overrides)
    facts = facts or _relative(base, overrides) or _UNKNOWN
    return facts if facts.name == name else replace(facts, name=name)


def register_model(
    name: str, *, context_window: int, max_output_tokens: int | None = None, max_input_tokens: int | None = None
) -> None:
    """Set the limits of a model for the whole process, from any thread; the last registration of a name wins."""
    _registered[name] = ModelFacts(
        name=name,
        context_window=context_window,
        max_input_tokens=max_input_tokens,
        max_output_tokens=max_output_tokens,
    )


def known_models() -> tuple[str, ...]:
    """Every name with listed limits, newest families first, then the registered ones."""
    return tuple(dict.fromkeys((*TABLE, *tuple(_registered))))


def nearest_models(name: str, n: int = 3) -> list[str]:
    """Up to `n` known names that resemble `name`, the nearest first; empty when none does."""
    return _nearest(name, n, cutoff=0.6)


def check_model(name: str, *, overrides: Mapping[str, ModelFacts] | None = None) -> str | None:
    """A hint when `name` looks like a slip of a known name, else None; never a refusal.

    Logs, once a process and model, a warning that OpenAI shuts the model down. The dates are OpenAI's own: do not
    ask for a model that Azure or another server serves.
    """
    facts = model_facts(name, overrides=overrides)
    if not facts.known:
        return _slip(name)
    if facts.deprecated:
        _warn_once(_base(name), facts.deprecated)
    return None


def _base(name: str) -> str:
    """The model that "ft:model:organisation:suffix:id" was trained from; any other name is its own base."""
    return name.split(":")[1] if name.startswith("ft:") else name


def _listed(name: str, overrides: Mapping[str, ModelFacts] | None) -> ModelFacts | None:
    given = overrides.get(name) if overrides else None
    if given := given or _registered.get(name):
        return given
    if name not in TABLE:
        return None
    window, max_input, max_output, shutdown, key = TABLE[name]
    source, as_of = SOURCES[key]
    return ModelFacts(
        name=name,
        context_window=window,
        max_input_tokens=max_input,
        max_output_tokens=max_output,
        deprecated=shutdown,
        source=source,
        as_of=as_of,
    )


def _snapshot(name: str, overrides: Mapping[str, ModelFacts] | None) -> ModelFacts | None:
    """A guess from the model that `name` is a dated snapshot of, which may have larger limits."""
    model = _listed(_DATE.sub("", name), overrides)
    return replace(model, deprecated=None, known=False) if model else None


def _relative(name: str, overrides: Mapping[str, ModelFacts] | None) -> ModelFacts | None:
    """A guess from the longest listed name that `name` extends, or from the family both belong to."""
    stem = name[:_LONGEST_NAME]
    while stem:
        if kin := _listed(stem, overrides) or _smallest(stem):
            return replace(kin, deprecated=None, source=f"guess from {stem}: {kin.source}", known=False)
        stem = stem[: max(stem.rfind("-"), stem.rfind("."), 0)]
    return None


@lru_cache(maxsize=512)
def _smallest(family: str) -> ModelFacts | None:
    """The smallest of each limit among the listed models whose names extend `family`."""
    lines = [line for name, line in TABLE.items() if name.startswith((f"{family}-", f"{family}."))]
    if not lines or not re.search(r"[-\d]", family):  # "gpt" alone is no family
        return None
    return ModelFacts(
        name=family,
        context_window=min(window for window, *_ in lines),
        max_input_tokens=min(max_input or window for window, max_input, *_ in lines),
        max_output_tokens=min(max_output for _, _, max_output, *_ in lines),
        source="its smallest limits",
        as_of=min(SOURCES[key][1] for *_, key in lines),
    )


def _nearest(name: str, n: int, *, cutoff: float) -> list[str]:
    spellings = {known.lower(): known for known in known_models()}
    return [spellings[near] for near in difflib.get_close_matches(_base(name).strip().lower(), spellings, n, cutoff)]


def _slip(name: str) -> str | None:
    """The hint for a name one slip away from a known one; another number is a new version, a longer name a variant."""
    meant = _base(name)
    for near in _nearest(name, 5, cutoff=0.8):
        if not meant.startswith((f"{near}-", f"{near}.")) and _same_numbers(meant.lower(), near.lower()):
            return f"{name!r} is no model llmkit knows; did you mean {near!r}?"
    return None


def _same_numbers(one: str, other: str) -> bool:
    """Whether the digits are the same, once with the letter o for itself and once for a zero ("gpt-40")."""
    return any(
        re.sub(r"\D", "", one.replace("o", zero)) == re.sub(r"\D", "", other.replace("o", zero)) for zero in ("o", "0")
    )


def _warn_once(model: str, shutdown: str) -> None:
    mine = object()
    if _warned.setdefault(model, mine) is mine:
        logger.warning("OpenAI's shutdown date for model %s is %s: move to another model", model, shutdown)
