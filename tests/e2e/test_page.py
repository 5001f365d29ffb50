"""The report and the documents in a browser: what is meant as a table is one, and Mermaid draws every diagram."""

import re

import pytest

from reporting.mermaid import COLOURS
from tests.browser.page import WIDTH, chromium, show
from tests.e2e.project import ROOT

pytestmark = pytest.mark.e2e

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COUNT = "selector => document.querySelectorAll(selector).length"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser):
    """An empty page. What goes wrong in it fails the test."""
    wrong = []
    page = browser.new_page(viewport={"width": WIDTH, "height": 1000})
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    yield page
    page.close()
    assert wrong == []


@pytest.fixture(scope="module")
def report(fast, tmp_path_factory):
    """What a smaller network changes."""
    project = fast.copy(tmp_path_factory.mktemp("report") / "project")
    project.run("python", "-m", "reporting.report", "--base", "HEAD~1", "--out", "report.md")
    return (project / "report.md").read_text()


def drawn(page):
    """Width and height of each diagram."""
    boxes = "all => all.map(one => [one.getBoundingClientRect().width, one.getBoundingClientRect().height])"
    return page.eval_on_selector_all(".mermaid > svg", boxes)


def test_the_report_is_all_headings_lists_and_tables(page, report, tmp_path):
    show(page, report, tmp_path / "report.html")
    page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    text = page.inner_text("body")

    assert page.evaluate(COUNT, "h2") == 1
    assert page.evaluate(COUNT, "table") == len(re.findall(r"^\| :---", report, re.MULTILINE)) >= 8
    widths = page.eval_on_selector_all("tr", "all => all.map(one => one.cells.length)")
    assert min(widths) > 1
    assert [mark for mark in ("|", "**", "`", ":--", "</", "&") if mark in text] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH


def test_the_report_is_one_screen_until_something_is_unfolded(page, report, tmp_path):
    show(page, report, tmp_path / "report.html")

    assert page.evaluate(COUNT, "details") == page.evaluate(COUNT, "details:not([open])") == report.count("<details>")
    assert page.locator("details").first.bounding_box()["y"] < 1000


def test_the_loss_curves_are_drawn_in_the_colours_of_the_legend(page, report, tmp_path):
    show(page, report, tmp_path / "report.html")
    page.get_by_text("Loss curves").click()

    assert len(drawn(page)) == 2
    assert all(width > 500 and height > 150 for width, height in drawn(page))
    for chart in page.locator(".mermaid > svg").all():
        lines = chart.locator("g[class^=line-plot] path")
        assert [line.get_attribute("stroke") for line in lines.all()] == [COLOURS["base"], COLOURS["head"]]
        assert all(line.bounding_box()["width"] > 400 for line in lines.all())
        assert len(chart.locator("text").all()) > 15


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_diagram_of_the_documents_is_drawn(page, path, tmp_path):
    text = path.read_text()
    show(page, "\n".join(re.findall(r"^```mermaid\n.*?^```$", text, re.MULTILINE | re.DOTALL)), tmp_path / "page.html")

    assert len(drawn(page)) == text.count("```mermaid\n")
    assert all(width > 100 and height > 50 for width, height in drawn(page))


def test_a_diagram_that_is_none_is_noticed(page, tmp_path):
    with pytest.raises(ValueError, match="Parse error on line 2"):
        show(page, '```mermaid\nxychart-beta\n  y-axis "loss" 1e-7 --> 2\n  line [1, 2]\n```\n', tmp_path / "page.html")
