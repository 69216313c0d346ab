"""Figures that a user gives."""

from __future__ import annotations

from decimal import Decimal


def check_figures(**given: object) -> None:
    """Raise the TypeError that names what is neither a number nor None, such as the text of a variable."""
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | None):
            raise TypeError(f"{name}={value!r} is of type {type(value).__name__}; give a number")
