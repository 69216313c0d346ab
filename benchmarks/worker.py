"""One kind of client in a process of its own: measures what the lines of its input name.

llmkit logs as it does by default, with stderr at /dev/null: each line is formatted and written.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import os
import sys
import traceback
from typing import Any

from benchmark import MODEL, Run, WrongAnswer, message
from catalogue import BENCHMARKS


async def prove(run: Run) -> dict[str, float]:
    """Fail unless llmkit counts and logs each call, with its vocabulary loaded."""
    import llmkit

    asked: Any = [message("proof")]
    llmkit.count_tokens(asked, model=MODEL)
    with contextlib.redirect_stderr(io.StringIO()) as log:
        await run.client().chat.completions.create(model=MODEL, messages=asked)
    if not ("OpenAI tokens: prompt=" in log.getvalue() and "predicted_tokens" in log.getvalue()):
        raise WrongAnswer(f"llmkit did not count or log the call: {log.getvalue()!r}")
    return {}


MEASURES = {"prove": prove} | {benchmark.name: benchmark.measure for benchmark in BENCHMARKS}


def main(kind: str, url: str) -> None:
    """Answer commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    run = Run(kind, url)
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            command = json.loads(line)
            run.seed, run.factor = command["seed"], command["factor"]
            gc.collect()
            try:
                answer: dict[str, Any] = {"figures": runner.run(MEASURES[command["name"]](run))}
            except BaseException:  # noqa: BLE001 - told to run.py, which ends
                answer = {"error": traceback.format_exc()}
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
