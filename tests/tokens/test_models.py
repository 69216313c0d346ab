from __future__ import annotations

import inspect
import logging
import re
import typing
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai.types import EmbeddingModel
from openai.types.shared import ResponsesModel, chat_model
from packaging.version import Version

from llmkit.tokens import models
from llmkit.tokens._model_table import SOURCES, TABLE
from llmkit.tokens.models import ModelFacts, check_model, known_models, model_facts, nearest_models, register_model

TABLE_MADE_WITH = "3.54.0"
"""The SDK whose models the table lists; a newer one may name more, which is no reason for CI to fail."""
of_the_tables_sdk = pytest.mark.skipif(
    Version(openai.__version__) > Version(TABLE_MADE_WITH),
    reason=f"openai {openai.__version__} is newer than the table: add its models, and raise TABLE_MADE_WITH",
)
NO_FIGURES_FOUND = {"gpt-6-cyber", "gpt-rosalind-research"}
NO_MODEL = {"gpt-5.1-mini"}  # the SDK: "Not a supported model ID"


def names_in(alias: object) -> set[str]:
    """The strings of all Literals in a type alias, however nested."""
    if isinstance(alias, str):
        return {alias}
    return set().union(*(names_in(part) for part in typing.get_args(alias)))


def shutdowns_in_the_sdk() -> dict[str, str]:
    notes = re.findall(
        r'- ((?:"[^"]+",?\s+)*"[^"]+"):\s+Announced shutdown\s+date:\s+([\d-]+\d)', inspect.getsource(chat_model)
    )
    return {name: date for names, date in notes for name in re.findall(r'"([^"]+)"', names)}


SDK_NAMES = names_in(chat_model.ChatModel) | names_in(ResponsesModel) | names_in(EmbeddingModel)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_registered", {})
    monkeypatch.setattr(models, "_warned", {})


# The table


@of_the_tables_sdk
@pytest.mark.parametrize("name", sorted(SDK_NAMES))
def test_every_model_of_the_sdk_is_listed_or_left_out_on_purpose(name: str) -> None:
    assert model_facts(name).known is (name not in NO_FIGURES_FOUND | NO_MODEL)


@of_the_tables_sdk
def test_shutdown_dates_are_the_sdks() -> None:
    dates = shutdowns_in_the_sdk()
    assert len(dates) > 60
    assert {name: model_facts(name).deprecated for name in dates} == dates


@of_the_tables_sdk
def test_a_model_of_the_sdk_without_a_shutdown_date_has_none_here() -> None:
    current = names_in(chat_model.ChatModel) - set(shutdowns_in_the_sdk())
    assert {name for name in current if model_facts(name).deprecated} == set()


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_line_of_the_table_is_possible(name: str) -> None:
    window, max_input, max_output, shutdown, key = TABLE[name]
    assert name == name.strip().lower()
    assert 0 <= max_output <= window
    assert (max_output == 0) is name.startswith("text-embedding")
    assert max_input is None or 0 < max_input < window
    assert shutdown is None or re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", shutdown)
    assert model_facts(name) == ModelFacts(
        name=name,
        context_window=window,
        max_input_tokens=max_input,
        max_output_tokens=max_output,
        deprecated=shutdown,
        source=SOURCES[key][0],
        as_of=SOURCES[key][1],
    )


def test_every_source_is_used_dated_and_has_no_address() -> None:
    assert {line[-1] for line in TABLE.values()} == set(SOURCES)
    for title, date in SOURCES.values():
        assert "://" not in title
        assert re.fullmatch(r"20\d\d-[01]\d(-[0-3]\d)?", date)


@pytest.mark.parametrize(
    ("name", "window", "input_limit", "output"),
    [
        ("gpt-3.5-turbo", 16_385, 16_385, 4_096),
        ("gpt-4", 8_192, 8_192, 4_096),
        ("gpt-4o", 128_000, 128_000, 16_384),
        ("gpt-4o-2024-05-13", 128_000, 128_000, 4_096),
        ("gpt-4.1-mini", 1_047_576, 1_047_576, 32_768),
        ("o3", 200_000, 200_000, 100_000),
        ("gpt-5", 400_000, 272_000, 128_000),
        ("gpt-5.5", 1_050_000, 922_000, 128_000),
        ("gpt-6.1-sol", 1_050_000, 922_000, 128_000),
        ("text-embedding-3-small", 8_191, 8_191, 0),
    ],
)
def test_figures_of_much_used_models(name: str, window: int, input_limit: int, output: int) -> None:
    facts = model_facts(name)
    assert (facts.context_window, facts.input_limit, facts.max_output_tokens) == (window, input_limit, output)


@pytest.mark.parametrize(
    ("window", "max_input", "max_output"),
    [(0, None, None), (-1, None, None), (10, 11, None), (10, 0, None), (10, None, 11), (10, None, -1)],
)
def test_impossible_limits_are_refused(window: int, max_input: int | None, max_output: int | None) -> None:
    with pytest.raises(ValueError, match="limits of 'mine'"):
        ModelFacts(name="mine", context_window=window, max_input_tokens=max_input, max_output_tokens=max_output)


# Names


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("ft:gpt-4o-mini-2024-07-18:acme::BxYz", "gpt-4o-mini-2024-07-18"),
        ("ft:gpt-4o-mini:acme:support:BxYz:ckpt-step-90", "gpt-4o-mini"),
        ("ft:gpt-3.5-turbo-0613:acme::BxYz", "gpt-3.5-turbo-0613"),
        ("ft:gpt-4o", "gpt-4o"),
    ],
)
def test_a_fine_tune_has_the_limits_of_its_base_and_dies_with_it(name: str, base: str) -> None:
    facts = model_facts(name)
    assert facts.known
    assert facts.name == name
    assert facts.context_window == model_facts(base).context_window
    assert facts.deprecated == model_facts(base).deprecated


def test_an_unlisted_snapshot_has_the_limits_of_its_model_but_not_its_shutdown_date() -> None:
    facts = model_facts("gpt-5-2026-12-01")
    assert (facts.name, facts.known, facts.deprecated) == ("gpt-5-2026-12-01", False, None)
    assert (facts.context_window, facts.max_input_tokens) == (400_000, 272_000)
    assert model_facts("ft:gpt-4.1-2026-01-01:acme::1").context_window == 1_047_576


@pytest.mark.parametrize(
    ("name", "window", "guess"),
    [
        ("gpt-4o-prod-eu", 128_000, "guess from gpt-4o: "),
        ("gpt-4.1-mini-2025-04-14.ft-0123", 1_047_576, "guess from gpt-4.1-mini-2025-04-14: "),
        ("gpt-5.1-mini", 400_000, "guess from gpt-5.1: "),
        ("gpt-5.9", 400_000, "guess from gpt-5: "),
        ("gpt-5.2-chat", 128_000, "guess from gpt-5.2-chat: its smallest limits"),
        ("gpt-6", 1_050_000, "guess from gpt-6: its smallest limits"),
        ("gpt-6.3-nova", 1_050_000, "guess from gpt-6: its smallest limits"),
        ("text-embedding-4-huge", 8_191, "guess from text-embedding: its smallest limits"),
        ("o3-" + "very-" * 10_000 + "long", 200_000, "guess from o3: "),
        ("ft:gpt-4o-nova:acme::1", 128_000, "guess from gpt-4o: "),
    ],
)
def test_an_unknown_name_has_the_limits_of_the_longest_name_it_extends_or_of_its_family(
    name: str, window: int, guess: str
) -> None:
    facts = model_facts(name)
    assert (facts.name, facts.known, facts.deprecated) == (name, False, None)
    assert facts.context_window == window
    assert facts.source.startswith(guess)
    assert facts.as_of


def test_a_family_guess_is_the_smallest_of_each_limit() -> None:
    facts = model_facts("gpt-4o-mini-realtime")
    assert (facts.context_window, facts.input_limit, facts.max_output_tokens) == (16_000, 16_000, 4_096)
    assert model_facts("gpt-6").input_limit == 922_000


def test_ones_own_figures_never_spoil_the_guess_for_a_relative() -> None:
    for name in ("gpt-6.2-astra", "gpt-6.2-sol"):
        register_model(name, context_window=1_000)
    facts = model_facts("gpt-6.2-nova")
    assert (facts.context_window, facts.max_output_tokens) == (1_050_000, 128_000)


@pytest.mark.parametrize(
    "name", ["my-deployment", "prod", "llama-3.3-70b", "gpt-9", "gpt", "o9-mini", "text-x", "", "ft:"]
)
def test_any_other_name_has_the_default(name: str) -> None:
    facts = model_facts(name)
    assert (facts.name, facts.known) == (name, False)
    assert (facts.context_window, facts.input_limit, facts.max_output_tokens) == (128_000, 128_000, 16_384)


# What the user sets


def test_a_registered_model_is_known_everywhere() -> None:
    register_model("prod", context_window=32_000, max_output_tokens=4_000, max_input_tokens=30_000)
    assert model_facts("prod") == ModelFacts(
        name="prod", context_window=32_000, max_output_tokens=4_000, max_input_tokens=30_000
    )
    assert model_facts("ft:prod:acme::1").context_window == 32_000
    assert model_facts("prod-eu").context_window == 32_000
    assert not model_facts("prod-eu").known
    assert known_models()[-1] == "prod"
    assert nearest_models("prdo")[0] == "prod"


def test_registering_wins_over_the_table_and_over_an_earlier_registration() -> None:
    register_model("gpt-4o", context_window=1_000)
    register_model("gpt-4o", context_window=300_000)
    facts = model_facts("gpt-4o")
    assert (facts.context_window, facts.input_limit, facts.max_output_tokens) == (300_000, 300_000, None)
    assert (facts.source, facts.deprecated) == ("given by the user", None)
    assert known_models() == tuple(TABLE)


def test_an_impossible_registration_changes_nothing() -> None:
    with pytest.raises(ValueError, match="limits of 'gpt-4o'"):
        register_model("gpt-4o", context_window=1_000, max_output_tokens=2_000)
    assert model_facts("gpt-4o").context_window == 128_000


def test_overrides_win_for_one_lookup() -> None:
    register_model("prod", context_window=1_000)
    mine = {"prod": ModelFacts(name="prod", context_window=2_000)}
    assert model_facts("prod", overrides=mine).context_window == 2_000
    assert model_facts("prod-eu", overrides=mine).context_window == 2_000
    assert model_facts("gpt-4o", overrides=mine).context_window == 128_000
    assert model_facts("prod", overrides={}).context_window == 1_000
    assert model_facts("prod").context_window == 1_000


def test_threads_may_register_while_others_look_up() -> None:
    def work(number: int) -> int:
        register_model(f"mine-{number}", context_window=number + 1)
        assert len(known_models()) > len(TABLE)
        return model_facts(f"mine-{number}").context_window

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(400))) == [number + 1 for number in range(400)]


# Slips and deprecations


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("gtp-4o", "gpt-4o"),
        ("gpt-4o-mni", "gpt-4o-mini"),
        ("gpt4o", "gpt-4o"),
        ("gpt-40", "gpt-4o"),
        ("GPT-4o", "gpt-4o"),
        ("gpt-4o ", "gpt-4o"),
        ("gpt-5-cdex", "gpt-5-codex"),
        ("gpt-3.5-trubo", "gpt-3.5-turbo"),
        ("text-embeding-3-small", "text-embedding-3-small"),
        ("ft:gtp-4o:acme::1", "gpt-4o"),
    ],
)
def test_a_slip_gets_a_hint(slip: str, meant: str) -> None:
    assert check_model(slip) == f"{slip!r} is no model llmkit knows; did you mean {meant!r}?"


@pytest.mark.parametrize(
    "name", ["gpt-6.3-sol", "gpt-7", "gpt-4o-mini-eu", "gpt-6-luna-2027-02-03", "my-deployment", "llama-3.3-70b", ""]
)
def test_a_new_version_a_variant_or_another_name_gets_none(name: str) -> None:
    assert check_model(name) is None


def test_nearest_models_come_nearest_first_and_only_if_near() -> None:
    assert nearest_models("gpt-4o-mini")[0] == "gpt-4o-mini"
    assert nearest_models("gpt4-turbo", n=1) == ["gpt-4-turbo"]
    assert len(nearest_models("gpt-4o", n=5)) == 5
    assert nearest_models("claude-opus-5-5") == []
    assert nearest_models("") == []


def test_a_deprecated_model_is_logged_once_with_its_fine_tunes(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("gpt-4o", "gpt-4o", "ft:gpt-4o:acme:secret-project:1", "gpt-5", "gpt-6-luna", "gpt-4o-eu", "prod"):
        assert check_model(name) is None
    assert [(record.name, record.levelno) for record in caplog.records] == [("llmkit", logging.WARNING)] * 2
    assert caplog.messages == [
        "OpenAI's shutdown date for model gpt-4o is 2027-01-14: move to another model",
        "OpenAI's shutdown date for model gpt-5 is 2026-12-11: move to another model",
    ]


def test_threads_log_a_deprecated_model_once(caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(check_model, ["o3"] * 200)) == {None}
    assert len(caplog.messages) == 1


def test_ones_own_figures_end_the_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert check_model("gpt-4o", overrides={"gpt-4o": ModelFacts(name="gpt-4o", context_window=128_000)}) is None
    register_model("gpt-5", context_window=400_000)
    assert check_model("gpt-5") is None
    assert caplog.messages == []
