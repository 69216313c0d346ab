"""What is known of calls under way, and the locks around it, are the parent's: a forked child begins without."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import Protocol


class Forked(Protocol):
    """What begins anew in a forked child."""

    def begin(self) -> None:
        """Forget what is under way; make the locks."""
        ...


_instances: weakref.WeakSet[Forked] = weakref.WeakSet()


def begin_anew_in_children(instance: Forked) -> None:
    """Call `instance.begin()` now, and in each child that is forked from this process."""
    instance.begin()
    _instances.add(instance)


def _after_a_fork() -> None:
    for instance in list(_instances):
        instance.begin()


with suppress(AttributeError):  # Windows has no forks
    os.register_at_fork(after_in_child=_after_a_fork)
