"""What the report is given to show neither runs, nor breaks it, nor makes it too long."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from digits import errors
from reporting import report, repro
from tests.reporting import history
from tests.reporting.github import GITHUB, structure
from tests.reporting.history import METRICS, PARAMS, altered, limit

pytestmark = pytest.mark.usefixtures("repository")

HOSTILE = (
    "`$(touch pwned)`",
    "a|b|c",
    "<img src=x onerror=alert(1)></details></table>",
    "@everyone #1 https://example.org www.example.org",
    "line\n\n# heading\n| x |",
    "``` ``` $`x`$ \\| \\",
    "[x](javascript:y) ![z](http://q)",
    "_a_ **b** ~~c~~ &lt; :smile: \u202e",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_cell(text):
    harmless = structure(written_with("harmless"))
    markdown = written_with(text)

    assert structure(markdown) == harmless
    assert not Path("pwned").exists()
    for token in GITHUB.parse(markdown):
        for child in token.children or []:
            if child.type != "code_inline":
                assert "pwned" not in child.content
                assert "everyone" not in child.content
                assert "onerror" not in child.content


def written_with(text):
    """Report in which `text` is a branch (as far as Git allows), param, value, metric, class, stage, file and limit."""
    params = altered(PARAMS, train={"learning_rate": text, text: 1})
    metrics = altered(METRICS, **{f"x{text}": 0.5, "word": text})
    metrics["per_class"] = metrics["per_class"] | {f"x{text}": {"recall": 0.5}}
    history.results(params, metrics, [limit(f"x{text}", value=0.5, passed=False, relation=text), limit()])
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"][f"x{text}"] = {"cmd": text, "deps": [{"path": text, "md5": "1"}]}
    history.write("dvc.lock", yaml.safe_dump(lock, sort_keys=False))
    branch = re.sub(r"[\s~^:?*\[\\\x00-\x1f]|\.\.|@\{", "", f"x{text}").replace("//", "/").strip("/.")
    history.git("branch", "--force", branch, "base")
    history.git("checkout", "--quiet", "-B", f"head-{branch}")
    said = f"{text}\n```\n  {text}\n- {text}\n\n# {text}"
    return report.report(branch, did=repro.Repro([f"x{text}", text], [text], []), said=said)


def test_the_size_limit_holds_whatever_there_is():
    params = altered(PARAMS, train={f"{'|`' * 30}{n}": "|`" * 500 for n in range(300)})
    metrics = altered(METRICS, many={f"{'|`' * 30}{n}": "☃" * 500 for n in range(300)})
    history.results(params, metrics, [limit("`" * 500 + str(n)) for n in range(300)])
    text = report.report("base")

    assert len(text.encode()) <= 64_000
    assert "since a comment has a limited size" in text


@pytest.mark.parametrize(
    ("base", "command"),
    [
        ("origin/main", "`git fetch origin main`"),
        ("nowhere", "`git fetch --all`"),
        ("--output=x", "`git fetch --all`"),
        ("o/$(touch x)", "`git fetch o '$(touch x)'`"),
    ],
)
def test_an_unknown_base_is_an_error_that_says_what_to_do(monkeypatch, base, command):
    monkeypatch.setattr(sys, "argv", ["report", f"--base={base}"])
    with pytest.raises(SystemExit, match="is not in this repository") as exit_:
        errors.run(report.main)

    assert command in str(exit_.value)
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("url", "markdown"),
    [
        ("https://example.org/a/1", "[Model, model card and pictures of this run](https://example.org/a/1)"),
        ("javascript:alert(1)", "pictures: `javascript:alert(1)`"),
        ("https://example.org/) @me", "pictures: `https://example.org/) @me`"),
    ],
)
def test_artifact(url, markdown):
    assert markdown in report.report("base", url)
