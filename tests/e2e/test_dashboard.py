"""The dashboard in a headless Chromium: against the real service with its monitor, and as a file from disk."""

import json
import sys
import urllib.request

import numpy as np
import pytest

from delivery.history import History
from delivery.schema import now
from digits.scoring import wilson_interval
from monitoring import report, served, state
from monitoring.gathering import Sources, gather
from monitoring.shifts import rotated
from tests.browser.monitored import MINUTE, STAGE, Story, watched
from tests.browser.page import DESKTOP, chromium, opening
from tests.e2e.drawing_page.shown import faults
from tests.e2e.project import ROOT, Project, wait_for

pytestmark = pytest.mark.e2e

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
# As a version's name it comes out of the log, where another program may have written it.
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"
FIRST, SECOND = "v1.1.0", "v1.2.0"
CARDS = [
    *("Alerts and versions", "Accuracy", "P-values", "Concept drift", "Traffic, predictions a second"),
    *("Latency, milliseconds", "Predicted classes", "Recall by class", "Precision by class"),
    *("Predicted classes, in all", "Confidence", "Precision and recall, in all", "Most unusual images"),
]
WIDER = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def story(pulled, tmp_path_factory):
    """Two versions, a third by another program, and images that begin to be turned."""
    story = Story(tmp_path_factory.mktemp("story"), now() - 40 * MINUTE, pulled.path)
    story.deploy(FIRST)
    story.traffic(12, FIRST, rate=2, labels=0.3)
    story.traffic(1, HOSTILE, rate=0.2, labels=1)
    story.deploy(SECOND)
    story.traffic(12, SECOND, rate=2, labels=0.3)
    story.traffic(10, SECOND, rate=2, labels=0.3, degrees=30)
    story.close()
    return story


@pytest.fixture(scope="module")
def service(story):
    with watched(story.folder) as service:
        yield service


@pytest.fixture
def opened(browser):
    with opening(browser) as open_page:
        yield open_page


def percent(share):
    """As the page has it: only all of it is 100 %."""
    shown = 100 * share if share in (0, 1) else min(max(100 * share, 0.1), 99.9)
    return f"{shown:.1f}\u00a0%"


def versions(page):
    """The names of the versions that one may choose, and what is said of each."""
    page.locator("#versions label").first.wait_for()
    return dict(text.split("\n", 1) for text in page.locator("#versions label").all_inner_texts())


def table(page, card):
    """The figures of a card, one dictionary a row."""
    section = page.locator("section", has=page.get_by_role("heading", name=card, exact=True))
    section.locator("summary").click()
    section.locator("table").wait_for()
    head = section.locator("th").all_inner_texts()
    rows = section.locator("tbody").inner_text().splitlines()
    return [dict(zip(head, row.split("\t"), strict=True)) for row in rows]


def number(text):
    return int(text.replace(",", ""))


def told(rows, version):
    """What a version is said to have done."""
    own = np.array(rows.versions) == version
    known = own & (rows.truths >= 0)
    right = (rows.truths[known] == rows.labels[known]).sum()
    return f"{own.sum():,}, {percent(right / known.sum())} right"


def logged(service):
    with service.history() as history:
        return next(history.predictions(part=100_000))


def test_the_figures_are_those_of_the_log_and_of_the_monitor(opened, service, story):
    rows = logged(service)
    newest = max(rows.times.max(), rows.truth_times.max())  # what the monitor comes to at the end of its first look
    wait_for(lambda: (state.read(story.folder / state.path(STAGE)).until or 0) >= newest)
    page = opened(f"{service.url}/dashboard")
    names = np.array(rows.versions)
    assert versions(page) == {version: told(rows, version) for version in (SECOND, HOSTILE, FIRST)}
    assert page.get_by_role("heading", level=2).all_inner_texts()[4:] == CARDS

    known, steps = rows.truths >= 0, table(page, "Accuracy")
    assert {row["version"] for row in steps} == set(names)
    for version in set(names):
        own = [row for row in steps if row["version"] == version]
        assert sum(number(row["predictions"]) for row in own) == (names == version).sum()
        assert sum(number(row["with a label"]) for row in own) == (known & (names == version)).sum()
        assert sum(number(row["right"]) for row in own) == ((rows.truths == rows.labels) & (names == version)).sum()
    one = next(row for row in steps if number(row["with a label"]) > 10)
    interval = wilson_interval(number(one["right"]), number(one["with a label"]))
    assert one["95 % interval"] == " to ".join(percent(end) for end in interval)

    second = known & (names == SECOND)
    for row in table(page, "Precision and recall, in all"):
        of_class = second & (rows.truths == int(row["class"]))
        assert number(row["labels"]) == of_class.sum()
        assert row["recall"] == percent((rows.labels[of_class] == rows.truths[of_class]).mean())
    predicted = np.bincount(rows.labels[names == SECOND], minlength=10)
    assert [number(row["predictions"]) for row in table(page, "Predicted classes, in all")] == predicted.tolist()

    found = state.read(story.folder / state.path(STAGE))
    assert [row["number"] for row in table(page, "Alerts and versions")] == [
        str(alert.number) for alert in found.alerts.alerts[::-1]
    ]
    assert {alert.detector for alert in found.alerts.alerts if alert.firing} >= {"data drift", "concept drift"}
    newest = next(window for window in found.windows[::-1] if window.version == SECOND)
    row = next(row for row in table(page, "P-values") if row["ended by"] != "labels")
    assert float(row["data drift"]) == pytest.approx(newest.results[0].p_value, rel=0.5)
    assert row["level"] == "alert"
    assert page.locator("#standing li.alert h2").all_inner_texts()[0].lower() == "data drift"
    assert page.locator(".span.firing").count() == sum(alert.firing for alert in found.alerts.alerts)
    assert page.locator("text.change").all_text_contents() == [HOSTILE]  # the next one is too near for its name
    images = found.alerts.alerts[-1].result.images
    assert page.locator("#pictures .group").first.locator("li").count() == len(images)


def test_it_goes_on_by_itself_until_it_is_paused(opened, service, story):
    page = opened(f"{service.url}/dashboard")
    versions(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.install()
    page.reload()
    page.get_by_role("radio", name=SECOND).press("ArrowDown")
    page.get_by_role("radio", name=HOSTILE).and_(page.locator(":checked")).wait_for()
    page.get_by_text(f"Predicted classes of {HOSTILE}: no reference of").wait_for()
    [identifier] = predict(service, story)
    feedback(service, identifier)
    rows = logged(service)
    said = page.locator("#versions label", has_text=SECOND).get_by_text(told(rows, SECOND))
    while not said.count():
        page.clock.run_for(5000)
        page.wait_for_timeout(100)
    assert page.evaluate("document.activeElement.dataset.key") == f"version {HOSTILE}"

    page.get_by_role("button", name="Pause").click()
    page.wait_for_load_state("networkidle")
    before = len(asked)
    page.clock.run_for(60_000)
    assert len(asked) == before
    page.get_by_text("6 h", exact=True).click()
    page.wait_for_load_state("networkidle")
    assert asked[-1].endswith("/dashboard.json?span=6h")


def predict(service, story):
    """Ask for one image, and return the prediction's id."""
    body = json.dumps({"image": rotated(story.images[:1], 30)[0].tolist()}).encode()
    request = urllib.request.Request(f"{service.url}/v1/predict", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return [prediction["id"] for prediction in json.load(answer)["predictions"]]


def feedback(service, identifier):
    body = json.dumps({"id": identifier, "label": 0, "source": "clerk"}).encode()
    request = urllib.request.Request(f"{service.url}/v1/feedback", body, {"content-type": "application/json"})
    urllib.request.urlopen(request).close()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_and_can_be_read_by_everybody_and_names_stay_names(opened, service, screen, colours):
    page = opened(f"{service.url}/dashboard", color_scheme=colours, **screen)
    assert list(versions(page)) == [SECOND, HOSTILE, FIRST]
    for card in ("Alerts and versions", "Confidence"):
        table(page, card)
    plot = page.locator(".plot").nth(3)
    plot.hover(position={"x": 0.8 * plot.bounding_box()["width"], "y": 60})
    page.locator(".tip:visible").wait_for()
    assert faults(page) == []
    assert page.evaluate(WIDER) == 0
    assert page.locator("img, main script").count() == 0
    page.get_by_text(HOSTILE, exact=True).first.click()
    assert page.locator("#standing strong").all_inner_texts() == ["Too little data"] * 4
    assert faults(page) == []
    assert page.evaluate(WIDER) == 0
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(ground) < 200) == (colours == "dark")


def test_with_a_token_it_is_asked_for_and_kept_in_memory_alone(opened, story):
    with watched(story.folder, "open sesame") as service:
        page = opened(f"{service.url}/dashboard", expected="401 (Unauthorized)")
        dialog, field = page.get_by_role("dialog"), page.get_by_label("Token", exact=True)
        field.wait_for()
        assert page.locator("#versions label").count() == 0
        assert faults(page) == []
        field.fill("guessed")
        field.press("Enter")
        page.get_by_text("That token was not accepted.").wait_for()
        dialog.get_by_role("button", name="Cancel").click()
        page.get_by_text("What users sent is shown to those who have the service's token. Reload").wait_for()
        page.reload()
        field.fill("open sesame")
        dialog.get_by_role("button", name="Show").click()
        assert SECOND in versions(page)
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        assert "sesame" not in page.content()


def test_the_file_opens_from_disk_and_shows_the_same(opened, service, story, env):
    for _ in range(2):
        predict(service, story)
    kept = story.folder / served.path(STAGE)
    wait_for(lambda: kept.exists() and sum(part.statuses.get(200, 0) for part in served.read(kept).parts) >= 2)
    project = Project(story.folder, env | {"PYTHONPATH": str(ROOT), "MNIST_LOG_URL": "sqlite:///log.db"})
    said = project.run(sys.executable, "-m", "monitoring.report", f"--stage={STAGE}", "--span=1h")
    assert said == f"monitor.html: {STAGE}, the last 1h; open it in a browser\n"
    page = opened((story.folder / "monitor.html").as_uri())
    rows = logged(service)
    assert versions(page) == {version: told(rows, version) for version in (SECOND, HOSTILE, FIRST)}
    page.get_by_text("answers of /v1/predict measured since").wait_for()
    assert sum(number(row["answers"]) for row in table(page, "Latency, milliseconds")) >= 2
    assert page.locator("#controls").count() == 0
    page.get_by_text(FIRST, exact=True).first.click()
    assert page.get_by_role("radio", name=FIRST).is_checked()
    assert faults(page) == []


def test_nothing_no_labels_and_many_versions_are_told_as_what_they_are(opened, story, pulled, tmp_path):
    (tmp_path / "empty").mkdir()
    empty = Story(tmp_path / "empty", now() - 10 * MINUTE, pulled.path)

    def shown():
        history = History(empty.log.engine)
        figures = gather(Sources(history, STAGE, empty.references, empty.params, empty.state), "1h", now())
        (tmp_path / "page.html").write_text(report.html(figures))
        return opened((tmp_path / "page.html").as_uri())

    page = shown()
    page.get_by_text("The log has no prediction yet.").wait_for()
    assert page.locator("#standing li").count() == 0
    assert faults(page) == []

    empty.deploy(FIRST)
    empty.traffic(3, FIRST, rate=1)
    page = shown()
    page.get_by_text("No true labels: none of").wait_for()
    levels = page.locator("#standing strong").all_inner_texts()
    assert levels == ["Ok", "Too little data", "Too little data", "Too little data"]
    assert faults(page) == []

    for version in range(11):
        empty.traffic(0.5, f"v2.{version}.0", rate=0.3)
    page = shown()
    assert list(versions(page)) == [f"v2.{version}.0" for version in range(10, 2, -1)]
    page.get_by_text("and those of 4 older versions that are not shown.").wait_for()
    assert page.evaluate(WIDER) == 0
    empty.log.close()
