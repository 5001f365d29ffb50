"""What people open in a browser: the page to draw on, and the API's documentation. Nothing comes from elsewhere."""

from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from fastapi import FastAPI, Request, Response

_OURS = Path(__file__).parent / "page"
THEME = _OURS / "theme.css"  # which all pages share
_SWAGGER = files("fastapi_offline") / "static"  # Swagger UI, which FastAPI itself would have from a third party
_FILES: dict[str, tuple[Traversable, str]] = {
    "/": (_OURS / "index.html", "text/html"),
    "/theme.css": (THEME, "text/css"),
    "/page.css": (_OURS / "page.css", "text/css"),
    "/page.js": (_OURS / "page.js", "text/javascript"),
    "/pad.js": (_OURS / "pad.js", "text/javascript"),
    "/client.js": (_OURS / "client.js", "text/javascript"),
    "/docs": (_OURS / "docs.html", "text/html"),
    "/docs.js": (_OURS / "docs.js", "text/javascript"),
    "/swagger-ui.js": (_SWAGGER / "swagger-ui-bundle.js", "text/javascript"),
    "/swagger-ui.css": (_SWAGGER / "swagger-ui.css", "text/css"),
}
# Nothing from elsewhere, no script but these files, in nobody's frame.
_RULES = (
    "default-src 'none'; script-src 'self'; style-src {styles}; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_pages(app: FastAPI, pages: Mapping[str, tuple[Traversable, str]] = _FILES) -> None:
    """Answer requests for files, which are read once.

    Args:
        app: that answers.
        pages: file and media type by path; those that belong to the service itself are this module's.
    """
    for path, (file, kind) in pages.items():
        headers = {
            # Swagger UI sets styles of its own while it runs.
            "content-security-policy": _RULES.format(styles="'self' 'unsafe-inline'" if path == "/docs" else "'self'"),
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
        }
        answer = Response(file.read_bytes(), headers=headers, media_type=kind)

        async def page(_request: Request, answer: Response = answer) -> Response:
            return answer

        app.add_route(path, page, include_in_schema=False)
