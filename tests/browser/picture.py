"""Make the README's picture of a report: python -m tests.browser.picture

A smaller network is trained on a branch of a clone, and its report is shown as GitHub shows it.
"""

import io
import tempfile
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.browser.page import WIDTH, chromium, show
from tests.e2e.project import ROOT, Project, environment

PICTURE = ROOT / "docs/images/report.png"
SOURCE = "Report"  # the Markdown, kept in the picture
ARTIFACT = "https://github.com/you/mnist-mlops/actions/runs/1/artifacts/1"
OPEN = """
for (const part of document.querySelectorAll("details"))
  part.open = /^(Confusions|Loss)/.test(part.querySelector("summary").innerText);
"""


def main() -> None:
    """Train, report, take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        text = report(Path(folder))
        picture = Image.open(io.BytesIO(screenshot(text, Path(folder)))).convert("P", palette=Image.Palette.ADAPTIVE)
    source = PngInfo()
    source.add_itxt(SOURCE, text)
    picture.save(PICTURE, optimize=True, pnginfo=source)
    print(f"{PICTURE}: {picture.width} x {picture.height} pixels, {PICTURE.stat().st_size:,} bytes")


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


if __name__ == "__main__":
    main()
