"""A drift that anybody can watch: `make serve` in one terminal, `make simulate` in another, as the README has it."""

import re

import pytest

from tests.e2e.project import ROOT, wait_for
from tests.e2e.service import started
from tests.e2e.test_make import provide_environment

pytestmark = pytest.mark.e2e

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("\n### A drift within a minute\n")[2].partition("\n#")[0]
BLOCKS = re.findall(r"^```console\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(pulled, tmp_path):
    """A clone, whose monitor looks every moment."""
    clone = pulled.clone(tmp_path / "project")
    provide_environment(clone)
    clone.set(monitoring__look_seconds=0.2, monitoring__settle_seconds=0.2)
    return clone


def without_figures(text):
    """Lines in which one figure is like another; of windows what does not depend on when labels were read."""
    windows = re.sub(r"(: data drift \w+), .*", r"\1", text)
    return [re.sub(r"\d[\d.,]*(e-\d+)?", "0", line) for line in windows.splitlines()]


def test_a_drift_is_seen_and_seen_to_be_over(project, tmp_path):
    serve, simulate, seen, over = BLOCKS
    command, *_ = serve.splitlines()
    with started([*command[2:].split(), "PORT=0"], project.path, project.env, tmp_path / "log") as service:
        # More quickly than a person would want to watch it.
        service_at = [f"URL={service.ready()}", "RATE=600"]
        command, *shown = simulate.splitlines()
        printed = project.run(*command[2:].split(), *service_at)
        assert re.search(r"^A +data/traffic\.npz$", printed, re.MULTILINE)
        wait_for(lambda: service.said.count("FIRING") >= 2 and service.said.count("100 predictions") == 15)
        before_the_shift, _, after = service.said.partition("data drift alert")
        assert before_the_shift.count(" data drift ok") >= 4  # 16 threads send: a turned one may overtake another
        assert "FIRING" not in before_the_shift
        assert set(without_figures(seen)) <= set(without_figures(service.said))
        assert "resolved" not in after

        clean = re.findall(r"`(make simulate COUNT=.*)`", SECTION)
        project.run(*clean[0].split(), *service_at)
        wait_for(lambda: set(without_figures(over)) <= set(without_figures(service.said)))
        service.end()
    wait_for(lambda: not (project / "logs/staging.db-wal").exists())  # it was closed, and not killed

    # The same images, labels and answers everywhere; but not the same speed.
    quick = [re.sub(r" in \d+ s:", " in 0 s:", line) for line in printed.splitlines()]
    for line in shown[1:]:
        assert line == "..." or re.sub(r" in \d+ s:", " in 0 s:", line) in quick
    assert without_figures(shown[0])[0] in without_figures(printed)
