from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest

from llmkit.deadlines import Deadlines
from llmkit.errors import CallTimeout
from llmkit.sync import drive
from llmkit.testing import VirtualClock

NO_LIMIT: Any = {"total": None, "first_token": None, "between_tokens": None, "outer": None}


def deadlines(clock: VirtualClock, **limits: Any) -> Deadlines:
    return Deadlines(clock, base_url="https://api.test/v1", **NO_LIMIT | limits)


def test_a_limit_that_is_over_has_an_error_and_one_that_is_not_has_none() -> None:
    clock = VirtualClock()
    own = deadlines(clock, total=5, outer=deadlines(clock, total=3))
    assert own.passed() is None
    clock.advance(3)
    error = own.passed()
    assert isinstance(error, CallTimeout)
    assert (error.limit, error.seconds, str(error.request.url)) == ("total", 3, "https://api.test/v1")


@pytest.mark.parametrize("given", [httpx2.Timeout(9.0, read=2.0), httpx.Timeout(9.0, read=2.0)])
def test_timeouts_of_both_kinds_of_httpx_are_shortened(given: Any) -> None:
    assert deadlines(VirtualClock(), total=5).shortened(given) == httpx2.Timeout(5.0, read=2.0)


@pytest.mark.parametrize("given", [None, 600.0])
def test_a_timeout_is_kept_where_there_is_no_limit(given: float | None) -> None:
    assert deadlines(VirtualClock(), between_tokens=5).shortened(given) == httpx2.Timeout(given)


def test_an_answer_at_the_last_moment_is_in_time() -> None:
    clock = VirtualClock()

    async def work() -> str:
        await clock.sleep(4.5)
        return "there"

    own = deadlines(clock, total=5)
    assert drive(own.opened(work)) == "there"
    with pytest.raises(CallTimeout):
        drive(own.opened(work))
    assert clock.monotonic() == 5
