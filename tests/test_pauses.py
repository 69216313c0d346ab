from __future__ import annotations

from llmkit.pauses import Pause


def test_a_pause_doubles_with_each_failure_up_to_eight_seconds_and_ends_when_something_works() -> None:
    pause, now = Pause(), 0.0
    assert not pause.lasts(now)
    for number, seconds in enumerate((1, 2, 4, 8, 8)):
        assert pause.failed(now) is (number == 0)
        assert not pause.failed(now + 0.5)  # a call that was under way makes it no longer
        assert pause.lasts(now + seconds - 0.01)
        now += seconds
        assert not pause.lasts(now)
    pause.over()
    assert not pause.lasts(0.0)
    assert pause.failed(now)
    assert not pause.lasts(now + 1)
