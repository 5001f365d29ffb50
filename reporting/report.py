"""What a change does to the model, for whoever reviews it: base against head, as Markdown that GitHub renders.

python -m reporting.report --base origin/main [--out report.md] [--artifact-url URL]

Base is a Git revision, head is the workspace. Needs neither GitHub nor a network; asks DVC once.
"""

import argparse
from pathlib import Path

from digits.errors import run
from digits.storage import write_text
from reporting import details, first_screen, lockfile, predictions
from reporting.markdown import assemble, code
from reporting.revisions import committed, recorded_lock, resolve, snapshot, workspace

OUT = Path("report.md")


def main() -> None:
    """Write the report and say where it is. A violated limit is reported; to fail is the check's own business."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="origin/main", help="revision to compare with")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--artifact-url", help="where model, model card and pictures of this run can be had")
    arguments = parser.parse_args()
    write_text(arguments.out, report(arguments.base, arguments.artifact_url))
    print(f"report against {arguments.base!r}: {arguments.out}")


def report(revision: str, artifact: str | None = None) -> str:
    """Markdown of the whole report.

    Raises:
        RevisionError: there is no such revision.
    """
    commit = resolve(revision)
    read = committed(commit)
    base, head = snapshot(read), snapshot(workspace)
    recorded = recorded_lock(committed("HEAD"))
    answers = predictions.find(base, read, commit), predictions.find(head, workspace, None)
    violated = head.verdict.get("passed") is False

    waiting = lockfile.waiting() if head.lock else []
    if violated and waiting:  # DVC records nothing of a failed stage, and so would always run it again
        waiting = [name for name in waiting if name != lockfile.CHECK]
    state = lockfile.state(recorded, head.lock, waiting, violated=violated)
    lead = [
        first_screen.headline(head, stale=bool(waiting)),
        first_screen.accuracy(base, head, *answers),
        first_screen.facts(base, head, state, first_screen.ahead(commit, revision)),
        first_screen.key_figures(base, head, revision, commit),
        first_screen.limits(head),
    ]
    differing = lockfile.changes(base.lock, head.lock) if base.lock else {}
    folded = [
        details.params(base, head),
        details.stages(differing, lockfile.changes(recorded, head.lock), violated=violated),
        details.classes(base, head),
        details.confusions(*answers),
        details.curves(base, head),
        details.metrics(base, head),
    ]
    return assemble("\n\n".join(filter(None, lead)) + "\n", [part for part in folded if part], ending(artifact))


def ending(artifact: str | None) -> str:
    """Where to see more."""
    noise = (
        "\n<sub>More than noise: McNemar's test, two-sided, exact, at 5 %. It is about these two models on "
        "these images; training with another seed can still turn a small difference around.</sub>\n"
    )
    pictures = "Pictures: `results/evaluate/worst_mistakes.png`; `make plots` draws the others into `dvc_plots/`."
    if artifact is None:
        return f"{pictures}\n{noise}"
    if not artifact.startswith("https://") or not artifact.isascii() or set(artifact) & set(" <>()[]\"'`|\\\n\r\t"):
        return f"Model, model card and pictures: {code(artifact, 200)}\n{noise}"
    return f"[Model, model card and pictures of this run]({artifact}). On your machine: {pictures[10:]}\n{noise}"


if __name__ == "__main__":
    run(main)
