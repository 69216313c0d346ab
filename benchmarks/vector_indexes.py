"""What a look-up takes in each vector index, beside one product of all vectors with NumPy.

    python benchmarks/vector_indexes.py [redis://...] [--sizes 1000 10000 100000]

With the URL of a Redis 8 RedisIndex, too. docs/semantic_cache.md has what it printed.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import redis

from llmkit.cache.vectors import NumpyIndex, RedisIndex, UsearchIndex, VectorIndex

LENGTH = 1536
LOOKUPS = 200
PARTITIONS = 20_000
SIZES = (1_000, 10_000, 100_000)


def clustered(size: int, random: np.random.Generator) -> np.ndarray:
    """Unit vectors around one centre for each twenty: texts about the same have a cosine of about 0.6."""
    centres = _unit(random.standard_normal((size // 20, LENGTH), dtype=np.float32))
    vectors = np.empty((size, LENGTH), dtype=np.float32)
    for begin in range(0, size, 1000):
        noise = random.standard_normal((1000, LENGTH), dtype=np.float32) / LENGTH**0.5
        vectors[begin : begin + 1000] = _unit(centres[random.integers(0, len(centres), 1000)] + 0.8 * noise)
    return vectors


def asked_for(vectors: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Paraphrases, with cosines of 0.85 to 1 to the vector they were made from."""
    noise = random.standard_normal((LOOKUPS, LENGTH), dtype=np.float32) / LENGTH**0.5
    strength = random.uniform(0.05, 0.6, (LOOKUPS, 1)).astype(np.float32)
    return _unit(vectors[random.integers(0, len(vectors), LOOKUPS)] + strength * noise)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def resident() -> float:
    """Megabytes of this process."""
    gc.collect()
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def timed(look_ups: list[Callable[[np.ndarray], int]], wanted: np.ndarray) -> tuple[list[list[float]], list[list[int]]]:
    """Milliseconds and answers of each way to look up, taken in turns, since the load of a machine changes."""
    taken: list[list[float]] = [[] for _ in look_ups]
    answers: list[list[int]] = [[] for _ in look_ups]
    for each in wanted:
        for number, look_up in enumerate(look_ups):
            begun = time.perf_counter()
            answers[number].append(look_up(each))
            taken[number].append((time.perf_counter() - begun) * 1000)
    return taken, answers


def indexes(url: str | None) -> Iterator[tuple[str, VectorIndex, Callable[[], float]]]:
    yield "NumpyIndex", NumpyIndex(), resident
    yield "UsearchIndex", UsearchIndex(), resident
    if url is not None:
        client = redis.Redis.from_url(url)
        prefix = f"benchmark-{uuid.uuid4().hex}"
        index = RedisIndex(url, prefix=prefix, timeout=30)
        yield "RedisIndex", index, lambda: client.info("memory")["used_memory"] / 1e6
        client.unlink(*client.scan_iter(f"{{{prefix}}}:*"))


def measure(size: int, url: str | None) -> None:
    random = np.random.default_rng(size)
    vectors = clustered(size, random)
    wanted = asked_for(vectors, random)
    for name, index, memory in indexes(url):
        before, begun = memory(), time.perf_counter()
        for number, vector in enumerate(vectors):
            index.add("p", str(number), vector, expires_at=None, now=0)
        added, used = size / (time.perf_counter() - begun), memory() - before

        def look_up(each: np.ndarray, index: VectorIndex = index) -> int:
            return int(index.search("p", each, most=1, now=0)[0].key)

        taken, answers = timed([lambda each: int((vectors @ each).argmax()), look_up], wanted)
        plain, middle = map(statistics.median, taken)
        recall = sum(map(int.__eq__, *answers)) / len(wanted)
        slow = statistics.quantiles(taken[1], n=20)[-1]
        print(
            f"{size:>7,}  {name:<13} {middle:8.3f} {slow:8.3f} {plain:11.3f} {middle / plain:6.2f} {recall:6.3f}"
            f" {used:4.0f} {added:8.0f}",
            flush=True,
        )


def measure_partitions() -> None:
    """Very many partitions of one vector, as when each user has their own."""
    vectors = np.random.default_rng(1).standard_normal((PARTITIONS, LENGTH), dtype=np.float32)
    for name, index, _ in indexes(None):
        tracemalloc.start()
        for number, vector in enumerate(vectors):
            index.add(f"p{number}", str(number), vector, expires_at=None, now=0)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        begun = time.perf_counter()
        for number, vector in enumerate(vectors):
            index.search(f"p{number}", vector, most=1, now=0)
        taken = (time.perf_counter() - begun) / PARTITIONS * 1000
        print(f"{name:<13} {taken:.3f} ms on average, {used / PARTITIONS:,.0f} bytes each")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", metavar="redis://...", help="a Redis 8")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="whole thousands of vectors")
    given = parser.parse_args()
    if any(size < 1_000 or size % 1_000 for size in given.sizes):
        parser.error("--sizes are whole thousands, 1000 at least")
    print(f"{LENGTH} dimensions, clustered, {LOOKUPS} look-ups of the nearest")
    print("   size  index          p50 ms   p95 ms  p50 np.dot  ratio recall   MB   adds/s")
    for size in given.sizes:
        measure(size, given.url)
    print(f"{PARTITIONS:,} partitions of one vector")
    measure_partitions()


if __name__ == "__main__":
    main()
