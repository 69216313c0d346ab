"""A new process: importing, making clients, the first call."""

from __future__ import annotations

import time

from benchmark import Benchmark, Row, Run, message
from calls import ask


async def start(run: Run) -> dict[str, float]:
    """Wall time of each step."""
    begun = time.perf_counter()
    import openai

    _ = openai.AsyncOpenAI
    imported = time.perf_counter()
    if run.kind != "raw":
        import llmkit

        _ = llmkit.AsyncOpenAI  # its import is put off till it is wanted
    ready = time.perf_counter()
    client = run.new_client()
    made = time.perf_counter()
    await ask(client, [message(run.seed)])
    called = time.perf_counter()
    later = run.times(20)
    for _ in range(later):
        run.new_client()
    beyond = {} if run.kind == "raw" else {"import": ready - imported}
    return beyond | {
        "first client": made - ready,
        "first call": called - begun,
        "later client": (time.perf_counter() - called) / later,
    }


BENCHMARKS = [
    Benchmark(
        "start",
        start,
        (
            Row("import", "Import, beyond `import openai`"),
            Row("first client", "Making the first client"),
            Row("later client", "Making another client"),
            Row("first call", "Import, first client and first call, together"),
        ),
        most_rounds=7,
        fresh=True,
    )
]
