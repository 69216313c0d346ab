from __future__ import annotations

import os

import pytest

from llmkit.usage.call_names import CallNames


def test_names_are_counted_under_a_prefix_of_their_own() -> None:
    one, other = CallNames(), CallNames()
    first, second = one.next(), one.next()
    assert (first[-2:], second[-2:], first[:-2]) == ("-1", "-2", second[:-2])
    assert len(first) == 14
    assert other.next()[:-2] != first[:-2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_a_forked_child_gives_other_names() -> None:
    names = CallNames()
    mine = names.next()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, names.next().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    assert theirs.endswith("-1")
    assert theirs[:-2] != mine[:-2]
    assert names.next() == f"{mine[:-2]}-2"
