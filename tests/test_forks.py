from __future__ import annotations

import gc
import os

import pytest

from llmkit import forks
from llmkit.forks import begin_anew_in_children


class Known:
    def __init__(self) -> None:
        self.begun = 0
        begin_anew_in_children(self)

    def begin(self) -> None:
        self.begun += 1


def test_it_begins_at_once() -> None:
    assert Known().begun == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_begins_anew_and_its_parent_goes_on() -> None:
    known = Known()
    child = os.fork()
    if child == 0:
        os._exit(known.begun)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert known.begun == 1


def test_what_is_gone_is_not_kept_for_it() -> None:
    known = Known()
    assert known in forks._instances
    del known
    gc.collect()
    assert not [instance for instance in forks._instances if isinstance(instance, Known)]


def test_all_that_is_there_begins_anew() -> None:
    one, other = Known(), Known()
    forks._after_a_fork()  # what a child does
    assert (one.begun, other.begun) == (2, 2)
