"""The dashboard, the alerts and the page about them name what the sink exports."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from llmkit.usage.prometheus import PrometheusSink

DOCS = Path(__file__).parent.parent / "docs"
DASHBOARD: Any = json.loads((DOCS / "monitoring" / "grafana.json").read_text())
ALERTS: Any = yaml.safe_load((DOCS / "monitoring" / "alerts.yaml").read_text())
PAGE = (DOCS / "monitoring.md").read_text()

PANELS: list[Any] = DASHBOARD["panels"]
RULES: list[Any] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
TARGETS = {f"{panel['title']} {target['refId']}": target for panel in PANELS for target in panel.get("targets", ())}
EXPRESSIONS = {name: target["expr"] for name, target in TARGETS.items()} | {
    rule["alert"]: rule["expr"] for rule in RULES
}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
LABELS = {
    "operation", "model", "outcome", "kind", "result", "error", "status", "code", "base_url", "state", "le",
    "job",  # of Prometheus itself
}  # fmt: skip


def exported() -> set[str]:
    families = list(PrometheusSink(registry=CollectorRegistry()).describe())
    return {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_asks_for_what_is_exported(name: str) -> None:
    asked = set(re.findall(r"llmkit_\w+", EXPRESSIONS[name]))
    assert asked
    assert asked <= exported()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_asks_for_labels_that_there_are(name: str) -> None:
    matchers = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", EXPRESSIONS[name])
    grouped = [
        label.strip()
        for labels in re.findall(r"\b(?:by|ignoring) \((.*?)\)", EXPRESSIONS[name])
        for label in labels.split(",")
    ]
    assert {*matchers, *grouped} <= LABELS


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_counter_is_only_asked_for_how_fast_it_grows(name: str) -> None:
    """By `rate` or `increase`; what is new is found by `unless ... offset`."""
    expression = re.sub(r"llmkit_\w+_total(\{[^}]*\})?\s+(unless|offset)", "", EXPRESSIONS[name])
    uses = re.findall(r"(\w*)\(?llmkit_\w+(?:_total|_bucket)(?:\{[^}]*\})?(\[?)", expression)
    assert all(function in ("rate", "increase") and window for function, window in uses)


def test_everything_that_is_exported_is_on_the_dashboard() -> None:
    shown = set(re.findall(r"llmkit_\w+", " ".join(EXPRESSIONS.values())))
    families = {family.name for family in PrometheusSink(registry=CollectorRegistry()).describe()}
    assert {family for family in families if not any(name.startswith(family) for name in shown)} == set()


def test_no_panel_lies_on_another_and_each_has_an_id_of_its_own() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in itertools.combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


def test_the_dashboard_asks_the_prometheus_that_is_chosen() -> None:
    sources = [panel["datasource"]["uid"] for panel in PANELS if "datasource" in panel]
    assert {*sources, *(target["datasource"]["uid"] for target in TARGETS.values())} == {"${datasource}"}
    assert "id" not in DASHBOARD  # an import makes one


def test_every_variable_of_an_expression_is_chosen_at_the_top() -> None:
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = {name for expression in EXPRESSIONS.values() for name in re.findall(r"\$(\w+)", expression)}
    assert used <= variables | {"__range", "__rate_interval"}
    assert {"model", "operation", "job"} <= used


def test_an_alert_says_what_is_wrong_and_how_much_it_matters() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    assert {rule["labels"]["severity"] for rule in RULES} == {"page", "warn", "info"}
    assert all(rule["annotations"]["summary"] for rule in RULES)


def test_the_page_has_every_metric_and_every_alert() -> None:
    rows = set(re.findall(r"^\| `(llmkit_\w+)` \|", PAGE, re.MULTILINE))
    families = PrometheusSink(registry=CollectorRegistry()).describe()
    assert rows == {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert {rule["alert"] for rule in RULES} == set(re.findall(r"`(LLM\w+)`", PAGE))
