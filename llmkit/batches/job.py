"""One batch job: upload, create, wait, collect, each step noted before and after, so that a crash loses nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import openai

from llmkit.batches.parts import Part, Parts, write_parts
from llmkit.batches.progress import Progress
from llmkit.batches.results import BatchResult, FailedRequest, no_result, read_results
from llmkit.batches.state import JobState, PartState, check_same_job, load_state, save_state
from llmkit.errors import BatchFailed, LLMKitError
from llmkit.record import logger
from llmkit.retries import server_wait, worth_retrying
from llmkit.runtime import Runtime

T = TypeVar("T")

TAG: Final = "llmkit_batch"
"""The key in a batch's metadata by which it is found again."""
_OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_CREATION_WAITS: Final = (5.0, 15.0, 45.0)
"""Seconds before another attempt to create a batch, after a look whether it is there."""
_PATIENCE: Final = 3600.0
"""Seconds of nothing but errors after which polling gives up."""


class Job:
    """Runs on an async client, and without suspending on a sync one."""

    def __init__(
        self,
        client: Any,
        *,
        runtime: Runtime,
        endpoint: str,
        path: Path,
        window: str,
        metadata: Mapping[str, str],
        progress: Progress,
        waits: Iterator[float],
    ) -> None:
        self._client = client
        self._once = client.with_options(max_retries=0)  # a retry by itself might create a second batch
        self._runtime = runtime
        self._endpoint = endpoint
        self._path = path
        self._window = window
        self._metadata = metadata
        self._progress = progress
        self._waits = waits

    async def run(self, requests: Iterable[object], *, delete_upload: bool) -> list[BatchResult]:
        """Begin or go on, and return the results in the order of the requests."""
        parts = await self._disk(lambda: write_parts(requests, endpoint=self._endpoint, state=self._path))
        if not parts.files:
            return []
        self._parts = parts
        self._state = await self._disk(lambda: self._load(parts))
        for number, (part, known) in enumerate(zip(parts.files, self._state.parts, strict=True)):
            await self._upload(part, known)
            await self._create(known, {**self._metadata, TAG: self._state.tag(number)})
        results = await self._collect(await self._all_over())
        failed = sum(isinstance(result, FailedRequest) for result in results)
        self._progress(len(results) - failed, failed, len(results))
        if delete_upload:
            await self._delete_uploads()
        return results

    def _load(self, parts: Parts) -> JobState:
        fresh = JobState(
            fingerprint=parts.fingerprint,
            endpoint=self._endpoint,
            requests=parts.requests,
            parts=[PartState() for _ in parts.files],
        )
        try:
            state = load_state(self._path) or fresh
            check_same_job(state, fresh, self._path)
            save_state(self._path, state)
        except BaseException:
            for part in parts.files:
                part.path.unlink()
            raise
        return state

    async def _upload(self, part: Part, known: PartState) -> None:
        if known.file_id is None:
            uploaded = await _done(self._client.files.create(file=part.path, purpose="batch"))
            known.file_id = uploaded.id
            await self._save()
        await self._disk(part.path.unlink)

    async def _create(self, known: PartState, metadata: Mapping[str, str]) -> None:
        """Create a batch, unless an attempt that was cut short has created it."""
        waits = iter(_CREATION_WAITS)
        while known.batch_id is None:
            if known.asked:
                known.batch_id = await self._find(metadata[TAG])
            if known.batch_id is None:
                known.asked = True
                await self._save()
                known.batch_id = await self._try_to_create(known, metadata, waits)
            await self._save()

    async def _try_to_create(self, known: PartState, metadata: Mapping[str, str], waits: Iterator[float]) -> str | None:
        """The id; None when nobody knows whether there is a batch now."""
        create = self._once.batches.create
        fields = {"endpoint": self._endpoint, "completion_window": self._window, "metadata": metadata}
        try:
            return str((await _done(create(input_file_id=known.file_id, **fields))).id)
        except openai.OpenAIError as error:
            wait = next(waits, None)
            if wait is None or not self._may_pass(error):
                raise
            await self._runtime.sleep(server_wait(error, now=self._runtime.time()) or wait)
            return None

    async def _find(self, tag: str) -> str | None:
        """The batch that was created with `tag`, if the API knows one."""
        after: Any = openai.omit
        while True:
            page = await _done(self._client.batches.list(limit=100, after=after))
            for batch in page.data:
                if batch.metadata and batch.metadata.get(TAG) == tag and batch.status != "failed":
                    return str(batch.id)
            if not page.data or not page.has_more:
                return None
            after = page.data[-1].id

    async def _all_over(self) -> list[Any]:
        """Poll until all batches have ended."""
        batches: dict[int, Any] = {}
        while True:
            for number, known in enumerate(self._state.parts):
                if number not in batches or batches[number].status not in _OVER:
                    batches[number] = await self._polled(known)
                    await self._refuse_failed(number, batches[number])
            if all(batch.status in _OVER for batch in batches.values()):
                return [batches[number] for number in sorted(batches)]
            counts = [batch.request_counts for batch in batches.values() if batch.request_counts]
            done, failed = sum(count.completed for count in counts), sum(count.failed for count in counts)
            self._progress(done, failed, self._parts.requests)
            await self._runtime.sleep(next(self._waits))

    async def _polled(self, known: PartState) -> Any:
        """The batch as it is now; errors that pass are waited for."""
        began = self._runtime.monotonic()
        while True:
            try:
                return await _done(self._client.batches.retrieve(known.batch_id))
            except openai.OpenAIError as error:
                if not self._may_pass(error) or self._runtime.monotonic() - began > _PATIENCE:
                    raise
                await self._runtime.sleep(next(self._waits))

    def _may_pass(self, error: Exception) -> bool:
        # llmkit's own are those of a limit, a breaker or a server that is shared
        return isinstance(error, LLMKitError) or worth_retrying(error, now=self._runtime.time())

    async def _refuse_failed(self, number: int, batch: Any) -> None:
        """Raise for a batch that was never begun, and forget it, so that another run may create it anew."""
        if batch.status != "failed":
            return
        self._state.parts[number] = PartState()
        if any(part.batch_id for part in self._state.parts):
            await self._save()
        else:
            await self._disk(self._path.unlink)
        problems = list(getattr(batch.errors, "data", None) or [])
        raise BatchFailed(_refusal(batch.id, problems, self._parts.files[number]), batch_id=batch.id, errors=problems)

    async def _collect(self, batches: list[Any]) -> list[BatchResult]:
        found: dict[int, BatchResult] = {}
        for part, batch in zip(self._parts.files, batches, strict=True):
            found |= {index: no_result(index, status=batch.status) for index in part.indexes}
            for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
                found |= await self._read(file_id)
        return [found[index] for index in range(self._parts.requests)]

    async def _read(self, file_id: str) -> dict[int, BatchResult]:
        content: bytes = (await _done(self._client.files.content(file_id))).content
        return await self._runtime.run_blocking(lambda: dict(read_results(content, endpoint=self._endpoint)))

    async def _delete_uploads(self) -> None:
        for known in self._state.parts:
            try:
                await _done(self._client.files.delete(known.file_id))
            except openai.OpenAIError as error:  # an earlier run may have; the results count
                logger.warning("the file %s of a batch job was not deleted: %s", known.file_id, type(error).__name__)

    async def _save(self) -> None:
        await self._disk(lambda: save_state(self._path, self._state))

    async def _disk(self, work: Callable[[], T]) -> T:
        return await self._runtime.run_blocking(work)


async def _done(result: Any) -> Any:
    """What a method of the SDK returns, by a sync client or by an async one."""
    return await result if inspect.isawaitable(result) else result


def _refusal(batch_id: str, problems: list[Any], part: Part) -> str:
    texts = [f"{_where(problem.line, part)}{problem.code}: {problem.message}" for problem in problems[:3]]
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return f"the API refused the batch {batch_id}: {'; '.join(texts) or 'it does not say why'}{more}"


def _where(line: int | None, part: Part) -> str:
    return f"requests[{part.indexes[line - 1]}] (line {line}): " if line and line <= len(part.indexes) else ""
