"""Streams that arrive in one burst: what a chunk or an event costs, and how much memory a long stream takes."""

from __future__ import annotations

import gc
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmark import MODEL, Benchmark, Row, Run, check, message
from server import text_of


async def chat(client: Any, asked: Any, pieces: int) -> None:
    """A chat stream, to its end."""
    texts: list[str] = []
    async for chunk in await client.chat.completions.create(model=MODEL, messages=asked, stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            texts.append(chunk.choices[0].delta.content)
    check((len(texts), "".join(texts)), (pieces, text_of(pieces)))


async def chat_helper(client: Any, asked: Any, pieces: int) -> None:
    """The same by the `.stream()` helper."""
    deltas = 0
    async with client.chat.completions.stream(model=MODEL, messages=asked) as stream:
        async for event in stream:
            deltas += event.type == "content.delta" and event.delta != ""  # the first is empty
        completion = await stream.get_final_completion()
    check((deltas, completion.choices[0].message.content), (pieces, text_of(pieces)))


async def responses(client: Any, asked: Any, pieces: int) -> None:
    """A Responses stream, to its end."""
    texts: list[str] = []
    async for event in await client.responses.create(model=MODEL, input=asked, stream=True):
        if event.type == "response.output_text.delta":
            texts.append(event.delta)
        elif event.type == "response.completed":
            check(event.response.output_text, text_of(pieces))
    check((len(texts), "".join(texts)), (pieces, text_of(pieces)))


async def responses_helper(client: Any, asked: Any, pieces: int) -> None:
    """The same by the `.stream()` helper."""
    deltas = 0
    async with client.responses.stream(model=MODEL, input=asked) as stream:
        async for event in stream:
            deltas += event.type == "response.output_text.delta"
        response = await stream.get_final_response()
    check((deltas, response.output_text), (pieces, text_of(pieces)))


async def cpu_per_piece(run: Run, *, read: Any, pieces: int) -> dict[str, float]:
    """CPU time for each piece: the difference of a long and a short stream, which leaves out the call itself."""
    short, used = 20, list[float]()
    for count in (short, short, short + run.times(pieces)):  # the first one opens the connection
        asked = [message(f"{run.seed} {len(used)}")]
        client = run.client(count)
        start = time.process_time()
        await read(client, asked, count)
        used.append(time.process_time() - start)
    return {"cpu": (used[2] - used[1]) / run.times(pieces)}


def memory(line: str) -> int:
    """Bytes of memory of this process: "VmRSS" is what it has now, "VmHWM" the most it had."""
    found = next(given for given in Path("/proc/self/status").read_text().splitlines() if given.startswith(line))
    return int(found.split()[1]) * 1024


def forget_peak() -> int:
    """Let the peak begin anew; returns the memory that is taken now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


async def peak_memory(run: Run, *, pieces: int = 20_000) -> dict[str, float]:
    """The most memory that a long stream takes beyond what the process had after a short one."""
    await chat(run.client(200), [message(0)], 200)
    client: Any = run.client(run.times(pieces))
    wanted = text_of(run.times(pieces))
    before, seen = forget_peak(), 0
    async for chunk in await client.chat.completions.create(model=MODEL, messages=[message(1)], stream=True):
        piece = chunk.choices[0].delta.content if chunk.choices else None
        if piece:
            seen = _next(piece, wanted, seen)
    peak = memory("VmHWM") - before
    check(seen, len(wanted))
    return {"peak": peak}


def _next(piece: str, wanted: str, seen: int) -> int:
    if not wanted.startswith(piece, seen):
        check(piece, wanted[seen : seen + len(piece)])
    return seen + len(piece)


def _piece(name: str, label: str, read: Any, *, pieces: int) -> Benchmark:
    measure = partial(cpu_per_piece, read=read, pieces=pieces)
    return Benchmark(name, measure, (Row("cpu", label),), aiohttp=name == "stream-chat")


BENCHMARKS = [
    _piece("stream-chat", "CPU a chunk, chat stream", chat, pieces=2000),
    _piece("stream-responses", "CPU an event, Responses stream", responses, pieces=2000),
    _piece("helper-chat", "CPU a chunk, `chat.completions.stream()`", chat_helper, pieces=600),
    _piece("helper-responses", "CPU an event, `responses.stream()`", responses_helper, pieces=600),
    Benchmark(
        "stream-memory",
        peak_memory,
        (Row("peak", "Peak memory of a stream of 20,000 chunks", "B"),),
        most_rounds=2,
        fresh=True,
    ),
]
