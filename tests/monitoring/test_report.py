"""The dashboard as one file; how it looks is for tests/e2e/test_dashboard.py."""

import base64
import hashlib
import json
import math
import re
import shutil
import sys
from html.parser import HTMLParser

import pytest

from delivery.history import History
from delivery.schema import SECOND
from digits.errors import PipelineError
from monitoring import report, served, state
from monitoring.gathering import Sources, gather
from monitoring.served import Measured, Part
from tests.monitoring.logged import ROOT

HOSTILE = '</script><script>alert(1)</script>"&\u202e<!--'


class Parsed(HTMLParser):
    """Which elements a browser would find, and what the scripts hold."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.content, self._inside = [], [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = (tag, dict(attrs).get("type")) if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside:
            self.content[self._inside] = self.content.get(self._inside, "") + data


@pytest.fixture
def page(logged):
    for version in ("v1", HOSTILE):
        logged.label(logged.predict(60, version), errors=3)
    logged.look()
    sources = Sources(
        History(logged.log.engine), "staging", logged.known.get, logged.params, logged.state, error=HOSTILE
    )
    figures = gather(sources, "1h", logged.now)
    return figures, report.html(figures)


def test_names_from_the_log_are_data_and_nothing_else(page):
    figures, text = page
    parsed = Parsed(text)
    assert (parsed.tags.count("script"), parsed.tags.count("style")) == (2, 1)
    told = json.loads(parsed.content["script", "application/json"])
    assert [version["name"] for version in told["versions"]] == [HOSTILE, "v1"]
    assert told["looked"]["error"] == HOSTILE
    assert text.count("alert(1)") == len(re.findall(r"\\u003cscript>alert\(1\)", text)) > 0
    assert told["versions"][0]["predictions"] == figures.versions[0].predictions == 60


def test_it_allows_itself_its_own_script_and_style_and_reaches_nothing(page):
    parsed = Parsed(page[1])
    rules = next(value for name, value in parsed.attributes if name == "content" and "default-src" in value)
    for kind, content in (("script", parsed.content["script", "module"]), ("style", parsed.content["style", None])):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in rules
    assert rules.startswith("default-src 'none'")
    assert [
        value for name, value in parsed.attributes if name in ("src", "href") and not value.startswith("data:")
    ] == []
    assert not re.search(r"^(import|export) ", parsed.content["script", "module"], re.MULTILINE)


def test_the_command_writes_what_was_found_beside_the_service(logged, tmp_path, monkeypatch, capsys):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_LOG_URL", f"sqlite:///{tmp_path}/log.db")
    monkeypatch.setattr(report, "now", lambda: logged.now)
    logged.predict(250)
    logged.look()
    state.write(state.path("staging"), logged.state)
    within = {0.1: 5, math.inf: 9}
    measured = Measured(parts=(Part(logged.now - 60 * SECOND, {}, {}), Part(logged.now, within, {200: 8, 503: 1})))
    served.write(served.path("staging"), measured)
    monkeypatch.setattr(sys, "argv", ["report", "--stage=staging", "--span=6h", "--out=here.html"])
    report.main()
    assert capsys.readouterr().out == "here.html: staging, the last 6h; open it in a browser\n"
    told = json.loads(Parsed((tmp_path / "here.html").read_text()).content["script", "application/json"])
    assert (told["span"], len(told["windows"])) == ("6h", 2)
    (period,) = told["answers"]["periods"]
    assert (told["answers"]["since"], period["answers"], period["failed"]) == (logged.now - 60 * SECOND, 9, 1)
    served.path("staging").unlink()
    report.main()
    told = json.loads(Parsed((tmp_path / "here.html").read_text()).content["script", "application/json"])
    assert told["answers"] is None
    assert told["versions"][0]["note"] == "no reference of v1; deploy the version with its reference.npz"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stage=nowhere"], "is none of params.yaml's delivery.stages"),
        (["--stage=staging"], "not monitoring's state"),
        (["--stage=production", "--out=params.yaml/here.html"], "params.yaml"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, monkeypatch, arguments, said):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    state.path("staging").write_text("{")
    monkeypatch.setattr(sys, "argv", ["report", *arguments])
    with pytest.raises((PipelineError, OSError), match=said):
        report.main()
    assert not list(tmp_path.rglob("*.html"))
