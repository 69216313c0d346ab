from __future__ import annotations

import pytest

from llmkit.tokens.families import Patches, Tiles, family_of


@pytest.mark.parametrize(
    ("model", "vocabulary", "layout"),
    [
        ("gpt-3.5-turbo-0125", "cl100k_base", "chatml"),
        ("gpt-35-turbo", "cl100k_base", "chatml"),
        ("gpt-4", "cl100k_base", "chatml"),
        ("gpt-4-turbo-2024-04-09", "cl100k_base", "chatml"),
        ("text-embedding-3-small", "cl100k_base", "chatml"),
        ("gpt-4o-mini", "o200k_base", "chatml"),
        ("GPT-4.1", "o200k_base", "chatml"),
        ("chatgpt-4o-latest", "o200k_base", "chatml"),
        ("ft:gpt-4o-2024-08-06:acme::abc", "o200k_base", "chatml"),
        ("openai/gpt-4o", "o200k_base", "chatml"),
        ("o3-mini", "o200k_base", "harmony"),
        ("gpt-5.4-nano", "o200k_base", "harmony"),
        ("gpt-6", "o200k_base", "harmony"),
        ("computer-use-preview", "o200k_base", "harmony"),
    ],
)
def test_a_models_name_tells_its_family(model: str, vocabulary: str, layout: str) -> None:
    family = family_of(model)
    assert (family.vocabulary, family.layout, family.known) == (vocabulary, layout, True)


def test_an_unknown_model_is_taken_for_the_newest() -> None:
    assert not family_of("my-deployment").known
    assert family_of("my-deployment").responses.call == family_of("gpt-5.4").responses.call


@pytest.mark.parametrize(
    ("model", "image"),
    [
        ("gpt-4o", Tiles(85, 170)),
        ("gpt-4o-mini", Tiles(2833, 5667)),
        ("gpt-4.1-mini", Patches(1.62)),
        ("gpt-5.1", Tiles(70, 140)),
        ("gpt-5-mini", Patches(1.2)),
        ("gpt-5-nano", Patches(1.5)),
        ("gpt-5.2", Patches(1.2)),
        ("gpt-5.6-sol", Patches(1.2, cap=2500)),
        ("o3-mini", None),
    ],
)
def test_models_of_a_family_may_pay_differently_for_images(model: str, image: object) -> None:
    assert family_of(model).image == image


def test_only_the_latest_keep_reasoning() -> None:
    assert [family_of(model).keeps_reasoning for model in ("gpt-5.5", "gpt-5.6", "gpt-5")] == [False, True, False]
