"""Make the README's pictures: python -m tests.browser.picture [report] [page] [dashboard]

The report: a smaller network is trained on a branch of a clone, and its report is shown as GitHub shows it.
The page on which people draw: a desktop by day and a phone by night, in front of the model of the workspace.
The dashboard: the same, after an hour in which a version is followed by another, and its images begin to be turned.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from delivery.schema import now
from tests.browser.drawing import by_mouse, serving
from tests.browser.monitored import MINUTE, Story, watched
from tests.browser.page import WIDTH, chromium, show
from tests.e2e.project import ROOT, Project, environment

IMAGES = ROOT / "docs/images"
PICTURE = IMAGES / "report.png"
SOURCE = "Report"  # the Markdown, kept in the picture
ARTIFACT = "https://github.com/you/mnist-mlops/actions/runs/1/artifacts/1"
OPEN = """
for (const part of document.querySelectorAll("details"))
  part.open = /^(Confusions|Loss)/.test(part.querySelector("summary").innerText);
"""
# Width in pixels, colours, digit drawn.
SCREENS = ((1080, "light", 4), (360, "dark", 7))
HEIGHT = 740
DASHBOARDS, DASHBOARD_HEIGHT = ((1180, "light"), (390, "dark")), 1200


def main() -> None:
    """Take the pictures that are named, or all."""
    for name in sys.argv[1:] or ("report", "page", "dashboard"):
        with tempfile.TemporaryDirectory() as folder:
            picture, source = PICTURES[name](Path(folder))
        path = IMAGES / f"{name}.png"
        if name != "dashboard":  # which has more colours, and all of them mean something
            picture = picture.convert("P", palette=Image.Palette.ADAPTIVE)
        picture.save(path, optimize=True, pnginfo=source)
        print(f"{path}: {picture.width} x {picture.height} pixels, {path.stat().st_size:,} bytes")


def report_picture(folder: Path) -> tuple[Image.Image, PngInfo]:
    """A report as GitHub shows it, and its Markdown."""
    text = report(folder)
    source = PngInfo()
    source.add_itxt(SOURCE, text)
    return Image.open(io.BytesIO(screenshot(text, folder))), source


def report(folder: Path) -> str:
    """Report of a branch with a smaller network."""
    project = Project(ROOT, environment(folder)).clone(folder / "project")
    project.git("update-ref", "refs/remotes/origin/main", "HEAD")  # whatever branch this is made on
    project.git("switch", "--quiet", "--create", "smaller-network")
    project.dvc("pull")
    project.set(model__channels=[8, 24], train__learning_rate=0.3)
    project.repro()
    project.commit()
    project.run("python", "-m", "reporting.report", "--base", "origin/main", "--artifact-url", ARTIFACT)
    return (project / "report.md").read_text(encoding="utf-8")


def screenshot(text: str, folder: Path) -> bytes:
    """The whole report, with two of its parts unfolded."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": 1000}, device_scale_factor=1.5)
        show(page, text, folder / "report.html")
        page.evaluate(OPEN)
        return page.screenshot(full_page=True)


def page_picture(folder: Path) -> tuple[Image.Image, None]:
    """The page on each of the screens, side by side, with a digit that has just been read."""
    picture = Image.new("RGB", (sum(width for width, _, _ in SCREENS), HEIGHT))
    left = 0
    with serving(folder) as service, chromium() as browser:
        service.place("v0.0.1", ROOT / "models")
        service.load()
        for width, colours, digit in SCREENS:
            page = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=colours)
            page.goto(service.url)
            by_mouse(page, digit)
            page.get_by_text("If not, choose the right digit.").wait_for()
            page.wait_for_timeout(500)  # bars grow
            picture.paste(Image.open(io.BytesIO(page.screenshot())), (left, 0))
            left += width
    return picture, None


def dashboard_picture(folder: Path) -> tuple[Image.Image, None]:
    """The upper part of the dashboard on each of the screens, side by side, while the images are turned."""
    story = Story(folder, now() - 54 * MINUTE)
    story.deploy("v1.1.0")
    story.traffic(20, "v1.1.0", rate=3, labels=0.3)
    story.deploy("v1.2.0")
    story.traffic(20, "v1.2.0", rate=3, labels=0.3)
    story.traffic(14, "v1.2.0", rate=3, labels=0.3, degrees=30)
    story.close()
    picture = Image.new("RGB", (sum(width for width, _ in DASHBOARDS), DASHBOARD_HEIGHT))
    left = 0
    with watched(folder) as service, chromium() as browser:
        for width, colours in DASHBOARDS:
            page = browser.new_page(viewport={"width": width, "height": DASHBOARD_HEIGHT}, color_scheme=colours)
            page.goto(f"{service.url}/dashboard")
            page.locator(".chart").first.wait_for()
            page.locator("#warning:empty").wait_for(state="attached")  # the monitor has looked
            picture.paste(Image.open(io.BytesIO(page.screenshot())), (left, 0))
            left += width
    return picture, None


PICTURES = {"report": report_picture, "page": page_picture, "dashboard": dashboard_picture}

if __name__ == "__main__":
    main()
