from __future__ import annotations

from typing import Any

import pytest

from llmkit.limits.headers import NOTHING, Told, told


def headers(limit: str | None = None, remaining: str | None = None, reset: str | None = None) -> Any:
    given = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{name}-tokens": value for name, value in given.items() if value is not None}


def test_openais_headers_tell_the_limit_and_what_is_left() -> None:
    assert told(headers("30000", "29984", "32ms"), "tokens") == Told(per_minute=30_000, remaining=29_984)
    assert told(headers("30000", "29984", "32ms"), "requests") is NOTHING


def test_azure_tells_only_what_is_left() -> None:
    assert told(headers(remaining="119"), "tokens") == Told(remaining=119)


@pytest.mark.parametrize(
    ("reset", "per_minute"),
    [("1m0s", 200), ("59.5s", 200), ("750ms", 200), ("24h0m0s", 200 / 1440), ("2m", 100), ("soon", 200), (None, 200)],
)
def test_a_used_up_limit_that_takes_longer_than_a_minute_to_fill_is_as_much_less(
    reset: str | None, per_minute: float
) -> None:
    assert told(headers("200", "0", reset), "tokens").per_minute == pytest.approx(per_minute)
    assert told(headers("200", "1", reset), "tokens").per_minute == 200


@pytest.mark.parametrize("nonsense", ["", "many", "-1", "nan", "inf", "1e999", "0x10"])
def test_nonsense_tells_nothing(nonsense: str) -> None:
    assert told(headers("60", nonsense, "1s"), "tokens") is NOTHING
    assert told(headers(nonsense, "5", "1s"), "tokens") == Told(remaining=5)


def test_a_limit_of_zero_is_none() -> None:
    assert told(headers("0", "0", "1s"), "tokens") == Told(remaining=0)
