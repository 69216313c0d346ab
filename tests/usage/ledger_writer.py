"""A process that keeps calls: python ledger_writer.py LEDGER WORKER CALLS; says after each flush how many there are."""

from __future__ import annotations

import sys
import time

from usage.records import finished

from llmkit.usage.ledger import LedgerSink


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main(ledger: str, worker: int, calls: int) -> None:
    sink = LedgerSink(ledger)
    say("ready")
    sys.stdin.readline()
    for number in range(calls):
        sink(finished(predicted_tokens=number, tags={"worker": worker}))
        if number % 100 == 99:
            assert sink.flush(60)
            say(number + 1)
    say("put")
    if sys.stdin.readline() == "wait\n":
        time.sleep(1_000)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
