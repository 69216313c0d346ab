"""What an error means and what to do next, as data and as a note on the error itself."""

from __future__ import annotations

from llmkit.guidance.explaining import explain
from llmkit.guidance.explanation import Explanation
from llmkit.guidance.notes import advise, note_missing_key

__all__ = ["Explanation", "advise", "explain", "note_missing_key"]
