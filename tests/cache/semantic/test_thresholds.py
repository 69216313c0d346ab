from __future__ import annotations

import pytest

from llmkit.cache.semantic.thresholds import DEFAULT, THRESHOLDS, threshold_for


@pytest.mark.parametrize("model", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_a_model_that_was_measured_has_its_own_threshold(model):
    assert threshold_for(model) == THRESHOLDS["all-MiniLM-L6-v2"]


@pytest.mark.parametrize("model", ["text-embedding-3-small", "text-embedding-ada-002", "", "my/own"])
def test_any_other_model_begins_at_0_95(model):
    assert threshold_for(model) == DEFAULT == 0.95
