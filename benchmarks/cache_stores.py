"""What the stores of a cache cost.

    python benchmarks/cache_stores.py [redis://...] [--rounds 5]

One line a store and a size of answer: puts and gets one after another in one thread, each answer another one, and the
median of each in microseconds. Without a URL a Redis server of this machine is started, if the tests' is installed.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

from llmkit.cache.entry import Entry
from llmkit.cache.memory import MemoryStore
from llmkit.cache.redis import RedisStore
from llmkit.cache.sqlite import SQLiteStore
from llmkit.cache.store import CacheStore

COUNT = 500
NOW = 1_700_000_000.0
SIZES = {"1.5 KB": 1_500, "40 KB": 40_000}


def answer(size: int, number: int) -> bytes:
    """The JSON of a chat answer of so many bytes."""
    letters = random.Random(number)
    words = [f"{letters.randrange(10**6)}" for _ in range(size // 7)]
    message = {"role": "assistant", "content": " ".join(words)[: size - 300]}
    body = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 300, "total_tokens": 311},
    }
    return json.dumps(body).encode()


def entry(size: int, number: int) -> Entry:
    return Entry(
        key=f"chat.completions:gpt-4o-mini:{size:032x}{number:032x}",
        operation="chat.completions",
        model="gpt-4o-mini",
        body=answer(size, number),
        created_at=NOW + number,
        expires_at=NOW + 86_400,
        request_id=f"req_{number}",
        tags={"user": "alice", "feature": "search"},
        input_tokens=11,
        output_tokens=300,
        cost=Decimal("0.00018165"),
    )


def timed(work: Callable[[Entry], object], entries: Iterable[Entry]) -> list[float]:
    took: list[float] = []
    for each in entries:
        began = time.perf_counter()
        work(each)
        took.append(time.perf_counter() - began)
    return took


def measure(name: str, store: CacheStore, size: str, rounds: int) -> None:
    puts, gets = list[float](), list[float]()
    entries = [entry(SIZES[size], number) for number in range(COUNT)]
    for _ in range(rounds):
        puts += timed(lambda each: store.put(each, now=NOW), entries)
        gets += timed(lambda each: store.get(each.key, now=NOW), entries)
    assert all(store.get(each.key, now=NOW) == each for each in entries)
    began = time.perf_counter()
    listed = sum(1 for _ in store.entries(now=NOW))
    listing = (time.perf_counter() - began) / listed * 1e6
    print(
        f"| {name:<6} | {size:>6} | {len(puts) / sum(puts):>9,.0f} | {len(gets) / sum(gets):>9,.0f} "
        f"| {statistics.median(puts) * 1e6:>6.1f} | {statistics.median(gets) * 1e6:>6.1f} | {listing:>6.1f} |"
    )
    store.delete([each.key for each in entries])


@contextmanager
def redis_server(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from redis_servers import shared_url

    with shared_url() as started:
        yield started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", metavar="redis://...", help="a Redis 6 or newer")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print("| store  | answer |    puts/s |    gets/s | put us | get us | listed |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, redis_server(given.url) as url:
        file = SQLiteStore(Path(folder) / "cache.db")
        stores = {"memory": MemoryStore(), "SQLite": file, "Redis": RedisStore(url, prefix="benchmark")}
        with closing(file):
            for name, store in stores.items():
                for size in SIZES:
                    measure(name, store, size, given.rounds)


if __name__ == "__main__":
    main()
