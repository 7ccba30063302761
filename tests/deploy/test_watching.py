"""Issue 9: alert rules and dashboard ask for figures that there are, and every alarm is explained."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
import yaml

from local import topology
from rules.events import ALARMS
from web import counted, metrics

PROJECT = Path(__file__).parents[2]
RULES = yaml.safe_load((PROJECT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((PROJECT / "deploy" / "grafana" / "defray.json").read_text())
OPERATIONS = (PROJECT / "docs" / "operations.md").read_text()

ASKED = {
    **{rule["alert"]: rule["expr"] for rule in RULES},
    **{
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    },
}


def named(file: object) -> Iterator[str]:
    """The names of metrics that a module makes."""
    source = Path(str(file)).read_text()
    yield from re.findall(r'"(defray_[a-z_]+)"', source)


METRICS = {*named(metrics.__file__), *named(counted.__file__)}


@pytest.mark.parametrize("expression", ASKED.values(), ids=ASKED)
def test_asks_for_what_there_is(expression: str) -> None:
    """Prometheus understands the expression, and each metric in it is one of ours."""
    read = promql_parser.parse(expression).prettify()
    for name in re.findall(r"\b(?:defray_[a-z_]+|up)\b", read):
        assert name == "up" or name in METRICS or re.sub("_(total|bucket|count|sum)$", "", name) in METRICS, name


def test_a_fault_would_be_seen() -> None:
    """The parser refuses what Prometheus would."""
    with pytest.raises(ValueError, match=r".+"):
        promql_parser.parse("rate(defray_requests_total[5m]")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alarm_is_explained(rule: dict[str, dict[str, str]]) -> None:
    """docs/operations.md says of each alarm what it means, why it matters, what to do; the rule leads there."""
    file, _, place = rule["annotations"]["runbook"].partition("#")
    assert file == "docs/operations.md"
    said = OPERATIONS.split(f"### {rule['alert']}\n")[1].split("\n### ")[0]
    assert place == str(rule["alert"]).lower()
    assert all(f"**{part}**: " in said for part in ("Means", "Matters", "Do"))


def test_every_alarm_of_the_books_is_known() -> None:
    """Each alarm that the code can raise is counted from the start, so that its first one is an increase."""
    raised = set()
    for folder in ("books", "tasks", "worker", "reports", "webhooks"):
        for file in (PROJECT / folder).glob("*.py"):
            raised |= set(re.findall(r'["\'](alarm\.[a-z_]+)["\']', file.read_text()))
    assert raised == set(ALARMS)


def test_every_alarm_of_the_books_alerts_somebody() -> None:
    """Each alarm is named by a rule."""
    asked = " ".join(rule["expr"] for rule in RULES)
    named = [
        pattern
        for patterns in re.findall(r'what=~?"alarm\\*\.([^"]*)"', asked)
        for pattern in re.split(r"[|()]", patterns)
    ]
    unnamed = [alarm for alarm in ALARMS if not any(re.fullmatch(one, alarm.removeprefix("alarm.")) for one in named)]
    assert unnamed == []


def test_scaling_asks_for_what_there_is() -> None:
    """KEDA's questions are PromQL, about ages that there are."""
    for document in yaml.safe_load_all((PROJECT / "deploy" / "kubernetes" / "scaling.yaml").read_text()):
        query = document["spec"]["triggers"][0]["metadata"]["query"]
        promql_parser.parse(query)
        assert "defray_due_oldest_seconds" in METRICS
        assert document["spec"]["scaleTargetRef"]["name"] in {process.name for process in topology.workers()}
