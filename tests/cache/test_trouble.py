from __future__ import annotations

import logging

import pytest

from llmkit import LLMKitError
from llmkit.cache.trouble import Trouble, Unavailable


def test_pauses_grow_with_each_failure_and_end_with_a_success(caplog: pytest.LogCaptureFixture) -> None:
    trouble, now = Trouble("the store"), 0.0
    with caplog.at_level(logging.WARNING, logger="llmkit"):
        for pause in (1, 2, 4, 8, 8):
            trouble.note(ConnectionError("a secret"), now)
            trouble.note(ConnectionError("of another call that was under way"), now)
            with pytest.raises(Unavailable):
                trouble.check(now + pause - 0.01)
            now += pause
            trouble.check(now)
        trouble.over()
        trouble.check(0)
        trouble.note(LLMKitError("Redis at h:1 failed"), now)
    assert [record.getMessage() for record in caplog.records] == [
        "the store failed with ConnectionError; calls go on without it",
        "the store failed with LLMKitError: Redis at h:1 failed; calls go on without it",
    ]
