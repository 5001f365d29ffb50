"""Markdown as GitHub shows it, in a headless Chromium: GitHub's style sheet, fonts like its own, Mermaid's diagrams."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

from tests.browser.install import CHROMIUM, FONTS, LIBRARIES, PACKAGES

if TYPE_CHECKING:  # of the extra `browser`, which not everybody who collects the tests has
    from playwright.sync_api import Browser, BrowserContext, Page

WIDTH = 830  # pixels that a comment has on a desktop
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
VIOLATIONS = "document.addEventListener('securitypolicyviolation', event => console.error('policy', event.blockedURI))"
ARGUMENTS = [
    "--allow-file-access-from-files",  # the fonts
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no page reaches anything but this machine
    "--font-render-hinting=none",  # letters as far apart on this screen as on a finer one
]
STYLES = (
    "github-markdown-css/github-markdown-light.css",
    "inter-ui/inter.css",
    "@fontsource/noto-sans-mono/400.css",
    "twemoji-colr-font/twemoji.css",
)
PAGE = """<!doctype html>
<meta charset="utf-8">
{styles}
<style>
  .markdown-body {{ padding: 16px; font: 14px/1.5 Inter, Twemoji; }}
  .markdown-body code {{ font-family: "Noto Sans Mono", Inter, Twemoji; }}
</style>
<body class="markdown-body">
{body}
<script src="{packages}/@mermaid-js/tiny/dist/mermaid.tiny.js"></script>
<script>
  mermaid.initialize({{ startOnLoad: false }});
  const drawn = mermaid.run({{ querySelector: ".mermaid" }}).then(() => "", (error) => error.str ?? String(error));
</script>
"""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The headless Chromium of `install`, or where there is none for the machine, another one that CHROMIUM names."""
    from playwright.sync_api import sync_playwright

    program, environment = os.environ.get("CHROMIUM"), dict(os.environ)
    if program is None:
        program = str(CHROMIUM)
        environment |= {"LD_LIBRARY_PATH": str(LIBRARIES), "FONTCONFIG_PATH": str(FONTS)}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, env=environment, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opening(browser: "Browser") -> Iterator[Callable[..., "Page"]]:
    """Open addresses. What goes wrong in a page, or leads elsewhere, fails at the end unless it is `expected`."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_page(url: str, expected: str = "", **options: Any) -> "Page":
        context = browser.new_context(**({"reduced_motion": "reduce"} | DESKTOP | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # only a broken page takes so long
        page.add_init_script(VIOLATIONS)

        def tell(text: str) -> None:
            if not expected or expected not in text:
                wrong.append(text)

        parts = urlsplit(url)
        here = url if parts.scheme == "file" else f"{parts.scheme}://{parts.netloc}"
        page.on("console", lambda message: tell(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: tell(str(error)))
        page.on("dialog", lambda dialog: tell(dialog.message))
        page.on("request", lambda asked: None if asked.url.startswith((here, "data:")) else tell(asked.url))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def show(page: "Page", markdown: str, file: Path) -> None:
    """Open Markdown as GitHub would show it.

    Args:
        page: to open it in.
        markdown: what GitHub is given.
        file: where to write the page, for the browser to read.

    Raises:
        ValueError: a diagram is none. Its text is Mermaid's.
    """
    file.write_text(html(markdown), encoding="utf-8")
    page.goto(file.as_uri())
    if error := page.evaluate("drawn"):
        raise ValueError(error)
    page.evaluate("document.fonts.ready.then(() => null)")


def html(markdown: str) -> str:
    """The page, with each diagram still as text."""
    github = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    fence = github.renderer.rules["fence"]

    def diagram(tokens, index, options, environment):
        if tokens[index].info != "mermaid":
            return fence(tokens, index, options, environment)
        return f'<div class="mermaid">{escape(tokens[index].content)}</div>\n'

    github.renderer.rules["fence"] = diagram
    packages = PACKAGES.as_uri()
    styles = "\n".join(f'<link rel="stylesheet" href="{packages}/{style}">' for style in STYLES)
    return PAGE.format(styles=styles, body=github.render(markdown), packages=packages)
