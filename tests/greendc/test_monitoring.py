"""Dashboard, alert rules and documentation: generated, current, and about metrics that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from greendc.ingest_metrics import METRICS
from greendc.monitoring import ALERTS, PANELS
from greendc.monitoring_files import FILES, render_alerts, render_dashboard

EXPORTED = {
    name
    for metric in METRICS
    for name in (
        [f"{metric.name}_{end}" for end in ("bucket", "sum", "count")]
        if metric.kind == "histogram"
        else [metric.name]
    )
}
FUNCTIONS = {
    "absent", "and", "by", "changes", "histogram_quantile", "increase", "label_values", "le", "max",
    "min", "on", "rate", "sum", "time",
}  # fmt: skip
LABELS = {label for metric in METRICS for label in metric.labels} | {"instance"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_generated_file_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path](), "run make docs"


def expressions() -> Iterator[str]:
    document = json.loads(render_dashboard())
    for panel in document["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    for group in yaml.safe_load(render_alerts())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


def words(expression: str) -> set[str]:
    # What stands in quotes is a label's value, what stands in square brackets a span.
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]', "", expression)
    return set(re.findall(r"[a-z_]{2,}", bare))


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_name_in_an_expression_exists(expression: str) -> None:
    named = words(expression) - FUNCTIONS - LABELS
    assert named
    assert named <= EXPORTED
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)


def test_the_check_of_names_can_fail() -> None:
    assert not words("rate(greendc_ingest_mesages_total[5m])") - FUNCTIONS <= EXPORTED
    assert not words("greendc_ingest_store_seconds > 1") <= EXPORTED, "a histogram has no such name"


def test_a_label_in_an_expression_is_one_of_its_metric() -> None:
    labels = {metric.name: set(metric.labels) for metric in METRICS}
    for expression in expressions():
        for name, inside in re.findall(r"(greendc_[a-z_]+)\{([^}]*)\}", expression):
            assert set(re.findall(r"([a-z]+)\s*[=!]", inside)) <= labels[name]


def test_rules_have_what_prometheus_wants_and_both_languages() -> None:
    (group,) = yaml.safe_load(render_alerts())["groups"]
    rules = group["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) == len(ALERTS)
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[mh]", rule["for"])
        assert rule["labels"]["severity"] in {"critical", "warning"}
        notes = rule["annotations"]
        assert re.search("[가-힣]", notes["summary_ko"])
        assert not re.search("[가-힣]", notes["summary"])
        # A label that a text names comes out of the expression.
        for label in re.findall(r"\$labels\.([a-z]+)", notes["summary"] + notes["summary_ko"]):
            metrics = [m for m in METRICS if m.name in words(rule["expr"])]
            assert any(label in metric.labels for metric in metrics)


def test_panels_do_not_overlap_and_have_both_languages() -> None:
    document = json.loads(render_dashboard())
    places = [tuple(panel["gridPos"].values()) for panel in document["panels"]]
    assert len(set(places)) == len(places) == len(PANELS)
    assert len({panel["id"] for panel in document["panels"]}) == len(PANELS)
    for panel in document["panels"]:
        ko, en = panel["title"].split(" · ")
        assert ko
        assert en
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


def test_every_metric_that_asks_for_something_says_what() -> None:
    shown = {name for expression in expressions() for name in words(expression)}
    for alert in ALERTS:
        assert alert.advice
    # What an alert or the dashboard shows is explained in the table.
    for metric in METRICS:
        if any(metric.name in words(alert.expression) for alert in ALERTS):
            assert metric.advice, metric.name
    assert len(shown & EXPORTED) > 20
