from __future__ import annotations

import gc
import threading
import weakref

from llmkit.tools.threads import Threads


class Heavy:
    """A value that can be watched."""


async def test_a_thread_that_waits_for_work_holds_neither_arguments_nor_results() -> None:
    threads, alive = Threads(1), list[weakref.ref[Heavy]]()
    for _ in range(2):
        given, result = Heavy(), Heavy()
        alive += [weakref.ref(given), weakref.ref(result)]
        await threads.run(lambda given=given, result=result: result)  # type: ignore[misc]
        del given, result
    await threads.run(threading.get_ident)  # by now the thread is done with what was before
    gc.collect()
    assert [each() for each in alive] == [None] * 4
