"""What is shipped for Prometheus, Alertmanager and Grafana, held against their own programs and models."""

import json
import re
from urllib.parse import urlsplit

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from delivery.settings import DeliveryParams
from digits.params import load
from tests.prometheus import dashboard
from tests.prometheus.programs import CONFIGURATION, ROOT, said

# Grafana 11.6's model leaves out what belongs to one data source alone: of annotations, Prometheus' formats.
NOT_IN_THE_MODEL = {"titleFormat", "textFormat"}


def read(name: str):
    return yaml.safe_load((CONFIGURATION / name).read_text(encoding="utf-8"))


RULES = {rule["alert"]: rule for group in read("rules.yml")["groups"] for rule in group["rules"]}


@pytest.mark.parametrize("name", ["prometheus", "promtool", "alertmanager", "amtool"])
def test_programs_are_there(name):
    assert "version" in said(name, "--version")


def test_configurations_are_valid():
    assert "1 rule files found" in said("promtool", "check", "config", "--lint-fatal", CONFIGURATION / "prometheus.yml")
    assert "3 receivers" in said("amtool", "check-config", CONFIGURATION / "alertmanager.yml")
    assert f"{len(RULES)} rules found" in said(
        "promtool", "check", "rules", "--lint=all", "--lint-fatal", CONFIGURATION / "rules.yml"
    )


def test_rules_fire_and_stay_silent_as_their_tests_say():
    assert "SUCCESS" in said("promtool", "test", "rules", CONFIGURATION / "rules_test.yml")


def test_every_alert_is_tested_when_it_fires_and_when_it_does_not():
    cases = [case for test in read("rules_test.yml")["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == set(RULES)
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_an_alert_says_what_is_wrong_and_what_to_do(name):
    rule = RULES[name]
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert "$labels.stage" in rule["annotations"]["summary"]
    assert "$labels.instance" in rule["annotations"]["description"] or name == "MnistLogNearlyFull"


def test_what_alerts_tell_people_to_use_is_there():
    said_to = " ".join(rule["annotations"]["description"] for rule in RULES.values())
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z-]+)", said_to)) <= set(targets)
    for module in re.findall(r"python -m ([\w.]+)", said_to):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for path in re.findall(r"\b((?:monitoring|delivery)\.[a-z_]+(?:\.[a-z_]+)*)", said_to):
        value = params
        for part in path.split("."):
            if path != "monitoring.serve":
                assert part in value, path
                value = value[part]


def test_prometheus_asks_where_the_service_listens():
    (job,) = read("prometheus.yml")["scrape_configs"]
    stages = load(DeliveryParams, "delivery", ROOT / "params.yaml").stages
    for target in job["static_configs"]:
        assert target["targets"] == [urlsplit(stages[target["labels"]["stage"]].url).netloc]


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("severity=critical", "page"),
        ("severity=warning", "team"),
        ("severity=info", "note"),
        ("severity=other", "note"),
    ],
)
def test_messages_go_out_by_severity(labels, receiver):
    file = f"--config.file={CONFIGURATION / 'alertmanager.yml'}"
    assert said("amtool", "config", "routes", "test", file, labels).splitlines()[-1] == receiver


def test_inhibitions_name_alerts_that_there_are():
    matchers = [
        matcher
        for rule in read("alertmanager.yml")["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
    ]
    assert matchers
    for matcher in matchers:
        name, names = re.fullmatch(r'(\w+)!?=~?"([\w|]+)"', matcher).groups()
        assert name == "alertname"
        assert set(names.split("|")) <= set(RULES)


def test_the_dashboard_is_one_of_grafana_s():
    plugins.register_default_plugins()
    shipped = dashboard.read()
    known = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(shipped)))
    assert lost(shipped, known) == []
    assert len({panel["id"] for panel in shipped["panels"]}) == len(shipped["panels"])
    for variable in re.findall(r"\$\{?([a-z]+)\}?", json.dumps(shipped)):
        assert variable in {entry["name"] for entry in shipped["templating"]["list"]}


def lost(shipped, known, where: str = "") -> list[str]:
    """What Grafana's model does not know, or understands otherwise."""
    if isinstance(shipped, dict):
        keys = [key for key in shipped if key not in NOT_IN_THE_MODEL]
        missing = [f"{where}.{key}" for key in keys if key not in known]
        return missing + [
            one for key in keys if key in known for one in lost(shipped[key], known[key], f"{where}.{key}")
        ]
    if isinstance(shipped, list) and len(shipped) == len(known):
        return [one for at, value in enumerate(shipped) for one in lost(value, known[at], f"{where}[{at}]")]
    return [] if shipped == known else [where]


def test_a_field_that_grafana_does_not_know_is_found():
    shipped = dashboard.read()
    shipped["panels"][1]["optoins"] = shipped["panels"][1].pop("options")
    known = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(shipped)))
    assert ".panels[1].optoins" in lost(shipped, known)


def test_panels_do_not_overlap():
    taken = set()
    for panel in dashboard.read()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_what_the_dashboard_asks_is_promql(tmp_path):
    variables = {"stage": "production", "version": ".*", "__rate_interval": "1m"}
    rules = [
        {"record": f"asked:{number}", "expr": expression}
        for number, (_, expression) in enumerate(dashboard.expressions(dashboard.read(), variables))
    ]
    file = tmp_path / "asked.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    assert f"{len(rules)} rules found" in said("promtool", "check", "rules", file)
