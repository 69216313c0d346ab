"""A batch job that outlives a crash: the second run goes on where the first one stopped.

It runs on FakeOpenAI, in a folder that is deleted afterwards. With a client of your own, give `state` a place that
stays, such as "reviews.json", and run the script again after whatever stopped it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from llmkit import OpenAI
from llmkit.batches import FailedRequest, run_batch
from llmkit.testing import FakeOpenAI, virtual_time

REVIEWS = ["Lovely, would come again.", "Cold soup.", "The waiter sang, and well.", ""]


def requests() -> list[dict[str, Any]]:
    """Ordinary calls: what `client.chat.completions.create` takes."""
    instruction = {"role": "system", "content": "Answer with one word: good or bad."}
    return [
        {"model": "gpt-4o-mini", "messages": [instruction, {"role": "user", "content": review}] if review else []}
        for review in REVIEWS
    ]


def show(done: int, failed: int, total: int) -> None:
    """What a terminal would show as a bar."""
    print(f"  {done} done, {failed} failed, {total} in all")


def pull_the_plug(done: int, failed: int, total: int) -> None:
    """The first look at the batch is the last thing this process does."""
    raise KeyboardInterrupt


def classify(client: OpenAI, state: Path) -> None:
    """Run the job twice, as two processes would."""
    try:
        run_batch(client, requests(), state=state, progress=pull_the_plug)
    except KeyboardInterrupt:
        print("Stopped. The batch goes on without us, and we know its id.")
    for review, answer in zip(REVIEWS, run_batch(client, requests(), state=state, progress=show), strict=True):
        if isinstance(answer, FailedRequest):
            print(f"{review!r}: failed with {answer.status_code} {answer.code}")
        else:
            print(f"{review!r}: {answer.choices[0].message.content}")


def main() -> None:
    """Two runs, one batch."""
    fake = FakeOpenAI().batch(polls=3).reply("good").reply("bad").reply("good")
    with tempfile.TemporaryDirectory() as folder, virtual_time():
        classify(fake.client(middleware=[]), Path(folder, "reviews.json"))
    created = [request.path for request in fake.requests if request.method == "POST"]
    print(f"uploads and batches created: {len(created)}")


if __name__ == "__main__":
    main()
