"""What is said when usage turns unusual. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from llmkit.tagging import Tag

Measure = Literal["requests", "tokens", "cost", "error_rate", "off_hours"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusual:
    """Usage of one model under some tags that is far from what it was at such hours before."""

    tags: Mapping[str, Tag]
    """The values of the tags in `per`; a tag that the calls do not have is left out."""
    model: str | None
    measure: Measure
    """"error_rate" is a share from 0 to 1, "cost" is in USD, "off_hours" are calls at hours that never have any."""
    start: datetime
    end: datetime
    """When it was noticed: the window is at most an hour, and what goes on after it is not told again."""
    value: float
    expected: float
    usual: tuple[float, float]
    """The range that the value may have before anything is said."""

    @property
    def factor(self) -> float | None:
        """How many times as much as expected; None when nothing was."""
        return round(self.value / self.expected, 2) if self.expected else None

    @property
    def sentence(self) -> str:
        """All of it, for a person to read: no text of a prompt or an answer, but the values of the tags."""
        who = ", ".join([f"{tag} {value}" for tag, value in self.tags.items()] + [self.model or "no model"])
        return f"{who}: {self._said(self.value)} {self._when()}; {self._comparison()}"

    def _when(self) -> str:
        minute = "%Y-%m-%d %H:%M %Z"
        if self.start.strftime(minute) == self.end.strftime(minute):
            return f"in the minute of {self.end.strftime(minute)}"
        return f"between {self.start:%Y-%m-%d %H:%M} and {self.end:%H:%M %Z}"

    def _said(self, value: float) -> str:
        return _SAID[self.measure].format(value)

    def _comparison(self) -> str:
        if self.measure == "off_hours":
            return "there are none at this time of the day otherwise"
        times = f" ({self.factor:.1f} times as much)" if self.factor else ""
        return f"{self._said(self.expected)} expected at this time{times}, at most {self._said(self.usual[1])}"

    def fields(self) -> dict[str, Any]:
        """Its facts as JSON."""
        return {
            "tags": dict(self.tags),
            "model": self.model,
            "measure": self.measure,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "value": round(self.value, 4),
            "expected": round(self.expected, 4),
            "usual": [round(bound, 4) for bound in self.usual],
            "factor": self.factor,
            "sentence": self.sentence,
        }


_SAID: Final[Mapping[Measure, str]] = {
    "requests": "{:,.0f} calls",
    "off_hours": "{:,.0f} calls",
    "tokens": "{:,.0f} tokens",
    "cost": "${:,.2f}",
    "error_rate": "{:.1%} failed calls",
}
