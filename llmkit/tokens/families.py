"""How each family of models turns a request into tokens: one row of figures a family.

Two layouts. "chatml" models (gpt-3.5 to gpt-4.5) take function tools as part of a system message; "harmony" models
(o-series, gpt-5 and later) take them as a section of their own. All figures were fitted to billed usage of recorded
calls, except where a line says otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Tiles:
    """An image costs `base` tokens and `tile` for each 512-pixel square; with detail "low", `base` alone."""

    base: int
    tile: int


@dataclass(frozen=True, slots=True)
class Patches:
    """An image costs `multiplier` tokens for each 32-pixel square; larger images are shrunk to `cap` squares."""

    multiplier: float
    cap: int = 1536  # the documentation's figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The tokens a family adds to the texts themselves, in one API."""

    priming: int = 3  # the start of the answer
    tools: int = 0  # harmony: the frame of the function tools
    tools_join: bool = False  # harmony: tools continue a leading system message with a blank line
    call: int = 0  # each tool call in the history, besides 4 and its texts
    stored_call: int = 0  # a call that the API replaces by what it has stored under the item's id
    parallel: Literal["apart", "with results", "calls only"] = "apart"  # how calls made together are written


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The figures of one family of models; all are tokens unless they say otherwise."""

    models: str  # a pattern that matches the start of a model's name
    vocabulary: str = "o200k_base"
    layout: Literal["chatml", "harmony"] = "chatml"
    chat: Costs = Costs(parallel="with results")
    responses: Costs = Costs(stored_call=3)
    assistant: int = 0  # each assistant message in the history, besides 4 and its text
    ascii_results: bool = False  # results written together have non-ASCII letters as \\uXXXX
    image: Tiles | Patches | None = None  # None: takes no images
    keeps_reasoning: bool = False  # reasoning items count for good, not only until the next user message
    known: bool = True  # False: nobody has measured this model


_CHATML = Family(models=r"gpt-4o|chatgpt-4o|gpt-4\.|gpt-audio|gpt-realtime", image=Tiles(85, 170))
_GPT_4 = replace(
    _CHATML,
    models=r"gpt-4($|-)",
    vocabulary="cl100k_base",
    ascii_results=True,
    responses=Costs(priming=2, stored_call=3),
)
_O_SERIES = Family(
    models=r"o\d",
    layout="harmony",
    assistant=2,
    chat=Costs(priming=2, tools=12, tools_join=True, call=6, parallel="with results"),
    responses=Costs(priming=2, tools=8, call=4, stored_call=3),
    image=Tiles(75, 150),  # the documentation's figure
)
_GPT_5 = replace(
    _O_SERIES,
    models=r"gpt-5|codex|gpt-oss|computer-use",
    chat=replace(_O_SERIES.chat, tools=93),
    responses=Costs(priming=2, tools=11, call=4, stored_call=3),
    image=Tiles(70, 140),
)
_NEWEST = replace(
    _GPT_5,
    models=r"gpt-5\.[4-9]|gpt-5\.\d\d|gpt-[6-9]",
    responses=Costs(priming=2, tools=11, call=7, parallel="calls only"),
    image=Patches(1.2, cap=2500),
)

# The first row that matches counts, so special cases come before their family.
FAMILIES: Final = (
    replace(_GPT_4, models=r"text-embedding|davinci-002|babbage-002", image=None),
    replace(_GPT_4, models=r"gpt-3\.?5"),
    _GPT_4,
    replace(_CHATML, models=r"gpt-4o-mini", ascii_results=True, image=Tiles(2833, 5667)),
    replace(_CHATML, models=r"gpt-4\.1-mini", image=Patches(1.62)),
    replace(_CHATML, models=r"gpt-4\.1-nano", image=Patches(2.46)),
    _CHATML,
    replace(_CHATML, models=r"o1-(mini|preview)", image=None),  # two recorded calls, one of them 8 short
    replace(_O_SERIES, models=r"o3-mini", assistant=0, chat=replace(_O_SERIES.chat, call=0), image=None),
    replace(_O_SERIES, models=r"o1", assistant=0),
    replace(_O_SERIES, models=r"o4-mini", image=Patches(1.72)),
    _O_SERIES,
    replace(_GPT_5, models=r"gpt-5-mini", image=Patches(1.2)),
    replace(_GPT_5, models=r"gpt-5-nano", image=Patches(1.5)),
    replace(_GPT_5, models=r"gpt-5\.[23]", image=Patches(1.2)),
    replace(_NEWEST, models=r"gpt-5\.[6-9]", keeps_reasoning=True),
    _NEWEST,
    _GPT_5,
)
# Nobody knows these models' layout: the newest one, with the larger priming.
UNKNOWN: Final = replace(
    _NEWEST,
    models="",
    chat=replace(_NEWEST.chat, priming=3),
    responses=replace(_NEWEST.responses, priming=3),
    keeps_reasoning=True,
    image=Tiles(2833, 5667),
    known=False,
)


@lru_cache(maxsize=256)
def family_of(model: str) -> Family:
    """Return the row for `model`; fine-tuned ("ft:gpt-4o:...") and prefixed ("openai/gpt-4o") names work, too."""
    name = model.lower().rpartition("/")[2].removeprefix("ft:")
    return next((family for family in FAMILIES if re.match(family.models, name)), UNKNOWN)
