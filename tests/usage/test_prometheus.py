from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, make_wsgi_app, start_http_server
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from surfaces import CHAT, MODEL, RESPONSES
from usage.records import finished
from virtual_loop import run

import llmkit
from llmkit import CallNext, LLMKitError, Request, Retry, UsageLog, tags
from llmkit.cache import MemoryStore
from llmkit.errors import BudgetExceeded, CircuitOpen
from llmkit.middleware.budget import Budget
from llmkit.middleware.cache import Cache
from llmkit.middleware.circuit_breaker import CircuitBreaker
from llmkit.middleware.fallback import Fallback
from llmkit.middleware.rate_limit import RateLimit
from llmkit.testing import FakeOpenAI, virtual_time
from llmkit.usage.prometheus import PrometheusSink
from llmkit.usage.tokens import FIGURES

USED: Any = {
    "prompt_tokens": 1_000,
    "completion_tokens": 200,
    "prompt_tokens_details": {"cached_tokens": 400},
    "completion_tokens_details": {"reasoning_tokens": 50},
}
# gpt-4o-mini: 0.15 USD a million input tokens, 0.075 cached, 0.60 output (OpenAI's price list, 2026)
USD_USED = (600 * 0.15 + 400 * 0.075 + 200 * 0.60) / 1e6
Samples = dict[str, float]
OF = "model=gpt-4o-mini,operation=chat.completions"


def fetched(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        text: str = answer.read().decode()
    return text


def samples(families: Any) -> Samples:
    """By `name{label=value,...}` without empty labels: what is not 0."""
    return {
        f"{sample.name}{{{_joined(sample.labels)}}}": sample.value
        for family in families
        for sample in family.samples
        if sample.value and not sample.name.endswith("_created")
    }


def _joined(labels: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()) if value)


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def served_once(registry: CollectorRegistry, **headers: str) -> str:
    """What a Prometheus gets, over HTTP."""
    with make_server("127.0.0.1", 0, make_wsgi_app(registry), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        body = fetched(f"http://127.0.0.1:{server.server_port}/metrics", **headers)
        thread.join()
    return body


def scraped(registry: CollectorRegistry) -> Samples:
    return samples(text_string_to_metric_families(served_once(registry)))


class Watched:
    """A sink in a registry of its own, and clients of it."""

    def __init__(self, **options: Any) -> None:
        self.registry = CollectorRegistry()
        self.sink = PrometheusSink(registry=self.registry, **options)

    def client(self, fake: FakeOpenAI, *layers: Any, max_retries: int = 0) -> llmkit.AsyncOpenAI:
        return fake.async_client(middleware=[UsageLog(sinks=[self.sink]), *layers], max_retries=max_retries)

    def scraped(self) -> Samples:
        return scraped(self.registry)

    def told(self, *names: str) -> Samples:
        """The values of some metrics, without the prefix and the labels that nearly all have."""
        short = {
            key.removeprefix("llmkit_").replace(OF + ",", "").replace(OF, ""): value
            for key, value in self.scraped().items()
        }
        return {key: value for key, value in short.items() if key.partition("{")[0] in names}


async def ask(client: Any, times: int = 1, **options: Any) -> None:
    for _ in range(times):
        await client.chat.completions.create(**CHAT | options)


async def read(client: Any, **options: Any) -> None:
    async for _ in await client.chat.completions.create(**CHAT | options, stream=True):
        pass


async def test_a_call_is_told_to_the_token_and_the_cent() -> None:
    watched = Watched()
    with virtual_time():
        await ask(watched.client(FakeOpenAI(delay=1.25).reply("Red.", usage=USED)))
    found = watched.scraped()
    buckets = {key: found.pop(key) for key in list(found) if "_bucket{" in key}
    assert found == {
        f"llmkit_calls_total{{{OF},outcome=ok}}": 1,
        f"llmkit_tokens_total{{kind=input,{OF}}}": 600,
        f"llmkit_tokens_total{{kind=cached_input,{OF}}}": 400,
        f"llmkit_tokens_total{{kind=output,{OF}}}": 150,
        f"llmkit_tokens_total{{kind=reasoning,{OF}}}": 50,
        f"llmkit_cost_usd_total{{{OF}}}": pytest.approx(USD_USED, rel=1e-12),
        f"llmkit_attempts_total{{{OF}}}": 1,
        f"llmkit_call_duration_seconds_count{{{OF}}}": 1,
        f"llmkit_call_duration_seconds_sum{{{OF}}}": 1.25,
    }
    assert [key.partition("le=")[2].partition(",")[0] for key in buckets][:2] == ["1.5", "2.0"]


async def test_the_kinds_of_tokens_add_up_to_what_the_server_billed() -> None:
    watched = Watched()
    await ask(watched.client(FakeOpenAI().reply("Red.", usage=USED).reply("Blue.", usage=USED)), 2)
    assert sum(watched.told("tokens_total").values()) == 2 * 1_200


async def test_parts_larger_than_the_whole_take_nothing_back() -> None:
    odd = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 99}}
    watched = Watched()
    await ask(watched.client(FakeOpenAI().reply("Red.", usage=odd)))
    assert watched.told("tokens_total") == {"tokens_total{kind=cached_input,}": 10, "tokens_total{kind=output,}": 5}


@given(
    st.fixed_dictionaries(
        {name: st.one_of(st.none(), st.integers(-100, 100), st.just(10**400)) for name in FIGURES[:5]},
        optional={
            "cost": st.decimals(allow_nan=True, allow_infinity=True).filter(lambda cost: not cost.is_snan()),
            "audio_seconds": st.floats(),
            "predicted_tokens": st.integers(),
            "saved_input_tokens": st.integers(),
            "cache": st.sampled_from(["hit", "miss"]),
        },
    )
)
def test_whatever_figures_a_call_has_it_is_counted_and_no_counter_goes_down_or_is_no_number(fields: Any) -> None:
    registry = CollectorRegistry()
    sink = PrometheusSink(registry=registry)
    for _ in range(2):
        sink(finished(**fields))
    counters = [s for family in registry.collect() for s in family.samples if s.name.endswith("_total")]
    assert sum(counter.value for counter in counters if counter.name == "llmkit_calls_total") == 2
    assert all(0 <= counter.value < 2**65 for counter in counters)


async def test_a_stream_tells_when_its_first_token_came_and_when_it_ended() -> None:
    watched = Watched()
    client = watched.client(FakeOpenAI(delay=0.5, stream_chars=100).reply("one piece"))
    with virtual_time():
        for _ in range(2):
            await read(client)
    told = watched.told("time_to_first_token_seconds_sum", "call_duration_seconds_sum", "call_duration_seconds_count")
    assert told.pop("call_duration_seconds_count{}") == 2
    first, whole = told["time_to_first_token_seconds_sum{}"] / 2, told["call_duration_seconds_sum{}"] / 2
    assert 0.5 <= first < whole


async def test_a_stream_that_is_left_early_is_cut() -> None:
    watched = Watched()
    stream = await watched.client(FakeOpenAI(stream_chars=1).reply("a longer answer")).chat.completions.create(
        **CHAT, stream=True
    )
    async for _ in stream:
        break
    await stream.close()
    assert watched.told("calls_total", "calls_in_flight") == {"calls_total{outcome=cut}": 1}


async def test_a_stream_that_breaks_off_has_failed() -> None:
    watched = Watched()
    with pytest.raises(openai.APIConnectionError):
        await read(watched.client(FakeOpenAI().drop("a longer answer", after=2)))
    assert watched.told("calls_total", "errors_total") == {
        "calls_total{outcome=failed}": 1,
        "errors_total{error=APIConnectionError,}": 1,
    }


async def test_answers_from_a_cache_tell_what_they_save_and_nothing_about_the_models_speed() -> None:
    watched = Watched()
    client = watched.client(FakeOpenAI().reply("Red.", usage=USED), Cache(MemoryStore()))
    await ask(client, 3)
    await read(client)
    told = watched.told(
        "calls_total",
        "cache_lookups_total",
        "saved_tokens_total",
        "saved_cost_usd_total",
        "call_duration_seconds_count",
        "time_to_first_token_seconds_count",
    )
    assert told == {
        "calls_total{outcome=ok}": 1,
        "calls_total{outcome=cached}": 3,
        "cache_lookups_total{result=miss}": 1,
        "cache_lookups_total{result=hit}": 3,
        "saved_tokens_total{kind=input,}": 3_000,
        "saved_tokens_total{kind=output,}": 600,
        "saved_cost_usd_total{}": pytest.approx(3 * USD_USED, rel=1e-12),
        "call_duration_seconds_count{}": 1,
    }


async def test_a_cached_answer_that_took_requests_says_nothing_about_the_models_speed() -> None:
    watched = Watched()

    async def answered_after_a_request(request: Request, call_next: CallNext) -> Any:
        answer = await call_next(request)
        request.record.cache = "semantic"
        return answer

    await ask(watched.client(FakeOpenAI(), answered_after_a_request))
    assert watched.told("attempts_total", "call_duration_seconds_count") == {"attempts_total{}": 1}


async def test_a_call_refused_by_a_budget_is_refused_and_never_sent() -> None:
    watched = Watched()
    client = watched.client(FakeOpenAI(), Budget(daily_tokens=1))
    with pytest.raises(BudgetExceeded):
        await ask(client)
    assert watched.told("calls_total", "errors_total", "attempts_total", "call_duration_seconds_count") == {
        "calls_total{outcome=refused}": 1,
        "errors_total{error=BudgetExceeded,}": 1,
    }


async def test_errors_are_told_by_class_status_and_code() -> None:
    watched = Watched()
    client = watched.client(FakeOpenAI().error(429, code="insufficient_quota").error(500))
    for expected in (openai.RateLimitError, openai.InternalServerError):
        with pytest.raises(expected):
            await ask(client)
    told = watched.told("calls_total", "errors_total", "failed_attempts_total", "retries_total")
    assert told == {
        "calls_total{outcome=failed}": 2,
        "errors_total{code=insufficient_quota,error=RateLimitError,status=429}": 1,
        "errors_total{error=InternalServerError,status=500}": 1,
        "failed_attempts_total{error=RateLimitError,status=429}": 1,
        "failed_attempts_total{error=InternalServerError,status=500}": 1,
    }


async def test_codes_that_servers_make_up_are_not_kept_apart_without_end() -> None:
    watched = Watched()
    fake = FakeOpenAI()
    for number in range(150):
        fake.error(400, code=f"E{number}")
    for _ in range(150):
        with pytest.raises(openai.BadRequestError):
            await ask(watched.client(fake))
    told = watched.told("errors_total")
    assert len(told) == 101
    assert told["errors_total{code=other,error=BadRequestError,status=400}"] == 50


async def test_retries_and_their_waits_are_told() -> None:
    watched = Watched()
    fake = FakeOpenAI().error(429, headers={"retry-after": "3"}).error(503, headers={"retry-after": "4"})
    with virtual_time():
        await ask(watched.client(fake, Retry(), max_retries=2))
    told = watched.told("calls_total", "attempts_total", "retries_total", "retry_wait_seconds_total", "errors_total")
    assert told == {
        "calls_total{outcome=ok}": 1,
        "attempts_total{}": 3,
        "retries_total{}": 2,
        "retry_wait_seconds_total{}": 7,
    }
    assert watched.told("failed_attempts_total") == {
        "failed_attempts_total{error=RateLimitError,status=429}": 1,
        "failed_attempts_total{error=InternalServerError,status=503}": 1,
    }


async def test_waits_for_a_rate_limit_are_told() -> None:
    watched = Watched()
    with virtual_time():
        await ask(watched.client(FakeOpenAI(), RateLimit(requests_per_minute=30, burst_seconds=4)), 4)
    assert watched.told("rate_limit_wait_seconds_total") == {"rate_limit_wait_seconds_total{}": 4}


def test_calls_in_flight_and_those_queued_are_those_of_the_moment() -> None:
    watched = Watched()
    client = watched.client(FakeOpenAI(), RateLimit(requests_per_minute=1, burst_seconds=60))
    seen: list[Samples] = []

    async def three_calls_of_which_one_gives_up() -> None:
        calls = [asyncio.create_task(ask(client)) for _ in range(3)]
        await asyncio.sleep(1)
        seen.append(watched.told("calls_in_flight", "calls_queued"))
        calls[1].cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    run(three_calls_of_which_one_gives_up())
    assert seen == [{"calls_in_flight{}": 2, "calls_queued{}": 2}]
    assert watched.told("calls_in_flight", "calls_queued", "calls_total") == {
        "calls_total{outcome=ok}": 2,
        "calls_total{outcome=cancelled}": 1,
    }


async def test_the_states_of_circuits_are_told_the_worst_where_several_know_of_one() -> None:
    breaker, healthy = CircuitBreaker(failures=1), CircuitBreaker()
    watched = Watched(breakers=[breaker, healthy])
    with virtual_time():
        await ask(watched.client(FakeOpenAI(), healthy))
        client = watched.client(FakeOpenAI().error(500), breaker)
        with pytest.raises(openai.InternalServerError):
            await ask(client)
        with pytest.raises(CircuitOpen):
            await ask(client)
    circuit = "circuit_breaker_state{base_url=https://fake.openai.test/v1/,model=gpt-4o-mini,state=open}"
    assert watched.told("circuit_breaker_state", "errors_total") == {
        circuit: 1,
        "errors_total{error=InternalServerError,status=500}": 1,
        "errors_total{error=CircuitOpen,}": 1,
    }


async def test_a_call_is_counted_under_the_model_that_it_was_sent_to_and_each_failure_under_its_own() -> None:
    watched = Watched()
    fake = FakeOpenAI(model="gpt-4o-mini-2024-07-18").error(500).reply("Red.", usage=USED)
    await ask(watched.client(fake, Fallback(MODEL)), model="gpt-4o")
    told = {key: value for key, value in watched.scraped().items() if "_bucket" not in key and "_sum" not in key}
    asked_first = OF.replace("gpt-4o-mini", "gpt-4o")
    assert told.pop(f"llmkit_failed_attempts_total{{error=InternalServerError,{asked_first},status=500}}") == 1
    assert all(f"{OF}" in key for key in told)
    assert told[f"llmkit_calls_total{{{OF},outcome=ok}}"] == told[f"llmkit_fallbacks_total{{{OF}}}"] == 1


async def test_tokens_without_a_price_are_told_and_cost_nothing() -> None:
    watched = Watched()
    await ask(watched.client(FakeOpenAI()), model="my-own")
    assert watched.scraped()["llmkit_unpriced_calls_total{model=my-own,operation=chat.completions}"] == 1


def test_sound_without_a_price_is_told_and_an_answer_of_a_cache_is_not() -> None:
    watched = Watched()
    watched.sink(finished(operation="audio.transcriptions", model="own-asr", audio_seconds=60.0))
    watched.sink(finished(cache="hit", cost=Decimal(0), input_tokens=0, output_tokens=0, total_tokens=0))
    found = {key: value for key, value in watched.scraped().items() if "unpriced" in key}
    assert found == {"llmkit_unpriced_calls_total{model=own-asr,operation=audio.transcriptions}": 1}


async def test_how_far_counts_before_the_call_were_off_is_told() -> None:
    watched = Watched()

    async def count(request: Request, call_next: CallNext) -> Any:
        request.record.predicted_tokens = 990
        return await call_next(request)

    client = watched.client(FakeOpenAI().reply("Red.", usage=USED), count)
    await ask(client)
    stream = await client.chat.completions.create(**CHAT, stream=True)
    await stream.close()  # the server tells no usage of it
    assert watched.told("predicted_input_tokens_total", "prediction_error_tokens_total") == {
        "predicted_input_tokens_total{}": 990,
        "prediction_error_tokens_total{}": 10,
    }


async def test_chosen_tags_are_labels_and_users_are_not() -> None:
    watched = Watched(tags=("feature", "beta"))
    with tags(feature="search", beta=True, user="alice"):
        await ask(watched.client(FakeOpenAI()))
    await ask(watched.client(FakeOpenAI()))
    calls = {key for key in watched.scraped() if "calls_total" in key}
    assert calls == {
        f"llmkit_calls_total{{beta=True,feature=search,{OF},outcome=ok}}",
        f"llmkit_calls_total{{{OF},outcome=ok}}",
    }


def test_a_call_that_asked_for_no_model_is_counted_under_the_one_that_answered() -> None:
    watched = Watched()
    watched.sink(finished(operation="batches.get", model=None, response_model="gpt-4o", total_tokens=5, input_tokens=5))
    found = watched.scraped()
    assert found["llmkit_tokens_total{kind=input,model=gpt-4o,operation=batches.get}"] == 5


async def test_an_operation_without_a_model_has_an_empty_one() -> None:
    watched = Watched()
    await watched.client(FakeOpenAI()).models.list()
    assert watched.scraped()["llmkit_calls_total{operation=models.get,outcome=ok}"] == 1


async def test_beyond_the_most_sets_of_labels_models_and_tags_are_other(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(tags=("feature",), most_label_sets=3)
    client = watched.client(FakeOpenAI())
    with caplog.at_level(logging.WARNING):
        for number in range(6):
            with tags(feature=f"f{number}"):
                await ask(client)
        await client.responses.create(**RESPONSES)
    calls = {key.partition("_total")[2]: value for key, value in watched.scraped().items() if "calls_total" in key}
    assert calls == {
        f"{{feature=f0,{OF},outcome=ok}}": 1,
        f"{{feature=f1,{OF},outcome=ok}}": 1,
        f"{{feature=f2,{OF},outcome=ok}}": 1,
        "{feature=other,model=other,operation=chat.completions,outcome=ok}": 3,
        "{feature=other,model=other,operation=other,outcome=ok}": 1,
    }
    assert [record.getMessage() for record in caplog.records] == [
        "PrometheusSink has 3 sets of labels; more models and tags are 'other'"
    ]


async def test_a_tag_that_cannot_be_sent_does_not_fail_the_scrape() -> None:
    watched = Watched(tags=("feature",))
    client = watched.client(FakeOpenAI())
    for _ in range(2):
        with tags(feature="a\ud800\n" + "b" * 300):
            await ask(client)
    (value,) = [value for key, value in watched.scraped().items() if "calls_total" in key]
    assert value == 2


async def test_a_stream_that_nobody_closes_is_in_flight_until_it_is_collected() -> None:
    watched = Watched()
    stream = await watched.client(FakeOpenAI(stream_chars=1).reply("a longer answer")).chat.completions.create(
        **CHAT, stream=True
    )
    assert watched.told("calls_in_flight") == {"calls_in_flight{}": 1}
    del stream
    gc.collect()
    assert watched.told("calls_in_flight") == {}


async def test_a_record_that_is_never_finished_is_forgotten_with_its_call() -> None:
    watched = Watched()
    kept: list[Any] = []
    client = watched.client(FakeOpenAI(), keep_the_record(kept))
    await ask(client)
    watched.sink.started(kept[0])
    assert watched.told("calls_in_flight") == {"calls_in_flight{}": 1}
    kept.clear()
    gc.collect()
    assert watched.told("calls_in_flight") == {}


def keep_the_record(kept: list[Any]) -> Any:
    async def keep(request: Request, call_next: CallNext) -> Any:
        kept.append(request.record)
        return await call_next(request)

    return keep


async def test_a_call_that_comes_by_a_usage_log_twice_is_counted_once() -> None:
    watched = Watched()
    client = watched.client(FakeOpenAI().error(500), Retry(), UsageLog(sinks=[watched.sink]), max_retries=2)
    with virtual_time():
        await ask(client)
    assert watched.told("calls_total", "calls_in_flight") == {"calls_total{outcome=ok}": 1}


def test_clients_of_many_threads_share_a_sink() -> None:
    watched = Watched()
    client = FakeOpenAI().client(middleware=[UsageLog(sinks=[watched.sink])])
    threads = [
        threading.Thread(target=lambda: [client.chat.completions.create(**CHAT) for _ in range(10)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watched.told("calls_total", "calls_in_flight") == {"calls_total{outcome=ok}": 40}


async def test_a_call_that_ends_in_a_finalizer_while_another_is_counted_is_counted_after_it() -> None:
    watched = Watched(tags=("feature",))
    kept: list[Any] = []
    await ask(watched.client(FakeOpenAI(), keep_the_record(kept)))

    class Collecting(str):
        def __str__(self) -> str:
            watched.sink(kept[0])
            return "search"

    with tags(feature=Collecting("search")):
        await ask(watched.client(FakeOpenAI()))
    assert sum(value for key, value in watched.scraped().items() if "calls_total" in key) == 3


def test_it_speaks_openmetrics_too() -> None:
    watched = Watched(tags=("feature",))
    FakeOpenAI().client(middleware=[UsageLog(sinks=[watched.sink])]).chat.completions.create(**CHAT)
    body = served_once(watched.registry, Accept="application/openmetrics-text; version=1.0.0")
    found = samples(openmetrics.text_string_to_metric_families(body))
    assert body.endswith("# EOF\n")
    assert found[f"llmkit_calls_total{{{OF},outcome=ok}}"] == 1


def test_the_librarys_own_server_serves_it() -> None:
    watched = Watched()
    FakeOpenAI().client(middleware=[UsageLog(sinks=[watched.sink])]).chat.completions.create(**CHAT)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=watched.registry)
    try:
        body = fetched(f"http://127.0.0.1:{server.server_port}/metrics")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert samples(text_string_to_metric_families(body))[f"llmkit_calls_total{{{OF},outcome=ok}}"] == 1


def test_a_second_sink_in_a_registry_is_told_to_be_the_first() -> None:
    watched = Watched()
    with pytest.raises(ValueError, match="use one PrometheusSink for all clients"):
        PrometheusSink(registry=watched.registry, tags=("feature",))
    PrometheusSink(registry=watched.registry, namespace="other_app")


def test_a_registry_that_has_one_of_the_names_is_left_as_it_was() -> None:
    registry = CollectorRegistry()
    Counter("llmkit_fallbacks", "Somebody else's.", registry=registry)
    with pytest.raises(ValueError, match="has metrics of the names llmkit_"):
        PrometheusSink(registry=registry)
    assert [family.name for family in registry.collect()] == ["llmkit_fallbacks"]


def test_the_default_registry_is_the_librarys() -> None:
    from prometheus_client import REGISTRY

    sink = PrometheusSink(namespace="llmkit_test")
    try:
        assert REGISTRY._names_to_collectors["llmkit_test_calls"] is sink
    finally:
        REGISTRY.unregister(sink)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"namespace": "my-app"}, "namespace='my-app' must be letters"),
        ({"most_label_sets": 0}, "most_label_sets=0 must be at least 1"),
        ({"breakers": ["gpt-4o"]}, "breakers has a str; give the CircuitBreakers"),
        ({"tags": ("a-b",)}, "tag 'a-b' cannot be a label"),
        ({"tags": ("model",)}, "tag 'model' cannot be a label"),
        ({"tags": ("a", "a")}, "tag 'a' cannot be a label"),
        ({"tags": "feature"}, "write tags=\\('feature',\\)"),
    ],
)
def test_what_cannot_be_is_refused(options: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        PrometheusSink(registry=CollectorRegistry(), **options)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[prometheus\]'"):
        PrometheusSink()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_forked_child_begins_with_nothing_in_flight() -> None:
    watched = Watched()
    stream = await watched.client(FakeOpenAI()).chat.completions.create(**CHAT, stream=True)
    child = os.fork()
    if child == 0:
        os._exit(len(watched.sink._under_way))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert watched.told("calls_in_flight") == {"calls_in_flight{}": 1}
    await stream.close()


async def test_each_of_several_workers_puts_its_calls_in_flight_where_one_scrape_finds_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    watched = Watched()
    stream = await watched.client(FakeOpenAI()).chat.completions.create(**CHAT, stream=True)
    gauge = watched.sink._of_all_workers
    assert gauge is not None
    assert [sample.value for family in gauge.collect() for sample in family.samples] == [1]
    await stream.close()
    assert [sample.value for family in gauge.collect() for sample in family.samples] == [0]


WORKERS = """
import os, sys
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from llmkit import UsageLog
from llmkit.testing import FakeOpenAI
from llmkit.usage.prometheus import PrometheusSink

sink = PrometheusSink()
client = FakeOpenAI().client(middleware=[UsageLog(sinks=[sink])])
ask = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Name a colour."}]}
children = []
for _ in range(3):
    told, tell = os.pipe()
    end, wait = os.pipe()
    if (child := os.fork()) == 0:
        os.close(wait)
        for _ in range(2):
            client.chat.completions.create(**ask)
        stream = client.chat.completions.create(**ask, stream=True)
        os.write(tell, b"!")
        os.read(end, 1)
        os._exit(0)
    os.close(tell), os.close(end)
    os.read(told, 1)
    children.append((child, wait))

def scrape():
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    sys.stdout.write(generate_latest(registry).decode() + "====")

scrape()
for child, wait in children:
    os.write(wait, b"!")
    os.waitpid(child, 0)
    multiprocess.mark_process_dead(child)
scrape()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_the_workers_of_an_application_are_scraped_as_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKERS],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    running, over = (samples(text_string_to_metric_families(text)) for text in done.stdout.split("====")[:2])
    assert running["llmkit_calls_in_flight{}"] == 3
    assert "llmkit_calls_in_flight{}" not in over
    for found in (running, over):
        assert found[f"llmkit_calls_total{{{OF},outcome=ok}}"] == 6
        assert found[f"llmkit_call_duration_seconds_count{{{OF}}}"] == 6
