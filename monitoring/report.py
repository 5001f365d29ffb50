"""The dashboard of a stage as one HTML file, which opens from disk and can be sent to others.

python -m monitoring.report --stage production [--span 24h] [--out monitor.html]

What it tells of alerts and windows is what whoever watches the stage left in logs/<stage>-monitoring.json, and of
latency what its service left in logs/<stage>-latency.json. It shows images that users sent.
"""

import argparse
import base64
import hashlib
import re
from pathlib import Path

import sqlalchemy as sa

from delivery.history import History
from delivery.pages import THEME
from delivery.schema import LogError, connect, now, reason
from delivery.settings import DeliveryParams, ServiceSettings
from digits.errors import run
from digits.params import load
from digits.storage import write_text
from monitoring import served, state
from monitoring.dashboard import PAGE, SAVED, SCRIPTS, as_json
from monitoring.figures import Figures
from monitoring.gathering import Sources, gather
from monitoring.references import References
from monitoring.settings import MonitoringParams
from monitoring.spans import SPANS

_EXTERNAL = re.compile(r'<link rel="stylesheet".*>\n|<script type="module".*</script>\n')
_IMPORT = re.compile(r"^import \{.*\} from .*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?:function|const|class) (\w+)", re.MULTILINE)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True, help="one of params.yaml's delivery.stages")
    parser.add_argument("--span", default="24h", choices=SPANS, help="how far it goes back; default: 24h")
    parser.add_argument("--out", type=Path, default=Path("monitor.html"), help="default: monitor.html")
    arguments = parser.parse_args()
    params, stage = load(MonitoringParams, "monitoring"), arguments.stage
    settings = ServiceSettings.from_environment(stage, load(DeliveryParams, "delivery"))
    engine, references = connect(settings.log_url), References(settings.deployments / stage)
    left, measured = state.read(state.path(stage)), served.read(served.path(stage))
    sources = Sources(History(engine), stage, references, params, left, measured=measured if measured.parts else None)
    try:
        figures = gather(sources, arguments.span, now())
    except sa.exc.SQLAlchemyError as error:
        raise LogError(f"the prediction log can't be read: {reason(error)}") from None
    finally:
        engine.dispose()
    write_text(arguments.out, html(figures))
    print(f"{arguments.out}: {stage}, the last {arguments.span}; open it in a browser")


def html(figures: Figures) -> str:
    """One page with all that it needs, which is allowed nothing else: it reaches no other file and no network."""
    style = "\n".join(path.read_text(encoding="utf-8") for path in (THEME, PAGE / "dashboard.css"))
    # Modules can't import each other from disk; as one, they need not.
    script = "\n".join(_enclosed((PAGE / name).read_text(encoding="utf-8")) for name in (*SCRIPTS, SAVED))
    rules = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        f"base-uri 'none'; form-action 'none'"
    )
    # As JSON has it too, and so that no text of others can end the element.
    data = as_json(figures).decode().replace("<", "\\u003c")
    head = (
        f'<meta http-equiv="content-security-policy" content="{rules}">\n<style>{style}</style>\n'
        f'<script type="application/json" id="figures">{data}</script>\n<script type="module">{script}</script>\n'
    )
    before, after = _EXTERNAL.sub("", (PAGE / "dashboard.html").read_text(encoding="utf-8")).split("</head>")
    return f"{before}{head}</head>{after}"


def _enclosed(module: str) -> str:
    """A module as a part of one script, in which what it exports has a name and the rest has not."""
    exports = ", ".join(_EXPORT.findall(module))
    body = re.sub(r"^export ", "", _IMPORT.sub("", module), flags=re.MULTILINE)
    return f"const {{ {exports} }} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


if __name__ == "__main__":
    run(main)
