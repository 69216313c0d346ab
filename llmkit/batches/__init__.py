"""Batch jobs: many requests in one file, answered within a day at half the price."""

from __future__ import annotations

from llmkit.batches.results import FailedRequest
from llmkit.batches.run import run_batch

__all__ = ["FailedRequest", "run_batch"]
