"""Guidance put on the errors themselves, where every traceback shows it."""

from __future__ import annotations

from dataclasses import replace

import openai

from llmkit.errors import InvalidResponse, LLMKitError
from llmkit.guidance.explaining import explain
from llmkit.guidance.explanation import Explanation
from llmkit.guidance.missing_key import is_missing_key
from llmkit.record import CallRecord, logger

_MARK = "llmkit: "
"""How a note of ours begins, so that an error is never given two."""


def advise(record: CallRecord, error: BaseException) -> None:
    """Note on the error what to do about it, and put that on the record; not for a call that was cancelled."""
    try:
        if not isinstance(error, openai.OpenAIError) and not is_missing_key(error):
            return
        explanation = explain(error, now=record.started_at + record.elapsed())
    except Exception as failure:  # noqa: BLE001 - advice on an error must never take its place
        logger.debug("no guidance on %s: %s", type(error).__name__, type(failure).__name__)
        return
    if explanation.kind == "invalid_key" and record.key is not None:
        explanation = replace(explanation, why=f"The key is {record.key} of the KeyRing, which has parked it.")
    record.hint = explanation.todo
    if not isinstance(error, LLMKitError) or isinstance(error, InvalidResponse):
        _note(error, explanation, attempts=record.attempts)


def note_missing_key(error: openai.OpenAIError) -> None:
    """Say on the SDK's complaint of a missing key where it is looked for."""
    if is_missing_key(error):
        _note(error, explain(error))


def _note(error: BaseException, explanation: Explanation, *, attempts: int = 0) -> None:
    if any(note.startswith(_MARK) for note in getattr(error, "__notes__", ())):
        return
    tried = f" {attempts} attempts were made." if attempts > 1 else ""
    given = f" Request id: {explanation.request_id}." if explanation.request_id else ""
    error.add_note(
        f"{_MARK}{explanation.what}{tried}{given}\n  Why: {explanation.why}\n  What to do: {explanation.todo}"
    )
