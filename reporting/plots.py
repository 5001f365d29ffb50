"""Render DVC's plots as pictures, of the workspace or of several revisions side by side.

python -m reporting.plots [revision ...]      needs the extra `dev`; writes dvc_plots/*.png
"""

import argparse
import hashlib
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import vl_convert
from PIL import Image
from PIL.PngImagePlugin import PngInfo

OUT = Path("dvc_plots")
SCALE = 2  # pixels a point, so that a picture is sharp on any screen


def main() -> None:
    """Write one picture a plot and print its path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revisions", nargs="*", help="two or more are drawn together; none: the workspace")
    revisions = parser.parse_args().revisions
    command = ["dvc", "plots", "diff" if revisions else "show", *revisions, "--json", "--out", str(OUT / "pages")]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    for path in render(json.loads(answer.stdout)["data"], OUT):
        print(path)


def render(plots: dict[str, list[dict[str, Any]]], folder: Path) -> list[Path]:
    """Draw what `dvc plots show --json` describes.

    Args:
        plots: for each plot its parts: Vega-Lite specifications ("content") or pictures ("url").
        folder: where the pictures go.

    Returns:
        their paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, parts in plots.items():
        for number, part in enumerate(parts):
            stem = Path(name).with_suffix("").as_posix().replace("/", "_") + (f"_{number}" if number else "")
            path = folder / f"{stem}.png"
            if part["type"] == "vega":
                path.write_bytes(draw(part["content"]))
            else:
                shutil.copyfile(part["url"], path)
            paths.append(path)
    return paths


def draw(specification: dict[str, Any]) -> bytes:
    """PNG of a Vega-Lite specification with its data.

    The picture notes the specification's MD5 sum, so that a test can tell whether a picture kept in docs/ is current:
    the pixels themselves depend on a machine's fonts.
    """
    note = PngInfo()
    note.add_text("Source", hashlib.md5(json.dumps(specification).encode(), usedforsecurity=False).hexdigest())
    picture = io.BytesIO()
    rendered = vl_convert.vegalite_to_png(specification, scale=SCALE)
    Image.open(io.BytesIO(rendered)).save(picture, "PNG", pnginfo=note, optimize=True)
    return picture.getvalue()


if __name__ == "__main__":
    main()
