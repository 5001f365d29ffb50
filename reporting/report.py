"""What a change does to the model, for whoever reviews it: base against head, as Markdown that GitHub renders.

python -m reporting.report --base origin/main [--out report.md] [--artifact-url URL] [--ran FILE] [--said FILE]

Base is a Git revision, head is the workspace. Needs neither GitHub nor a network; asks DVC once. What ran to make the
workspace from the commit is known from dvc.lock only where it changed that; CI has it written down.
"""

import argparse
from pathlib import Path

from digits.errors import run
from digits.storage import write_text
from reporting import details, first_screen, lockfile, predictions, repro, verify
from reporting.markdown import assemble, code
from reporting.revisions import Snapshot, committed, recorded_lock, resolve, snapshot, workspace

OUT = Path("report.md")


def main() -> None:
    """Write the report and say where it is. A violated limit is reported; to fail is the check's own business."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="origin/main", help="revision to compare with")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--artifact-url", help="where model, model card and pictures of this run can be had")
    parser.add_argument("--ran", type=Path, help="what `dvc repro` printed since the workspace was as committed")
    parser.add_argument("--said", type=Path, help="what `make verify` had said before")
    arguments = parser.parse_args()
    did = repro.read(arguments.ran) if arguments.ran else None
    said = arguments.said.read_text(encoding="utf-8", errors="replace") if arguments.said else None
    write_text(arguments.out, report(arguments.base, arguments.artifact_url, did, said))
    print(f"report against {arguments.base!r}: {arguments.out}")


def report(revision: str, artifact: str | None = None, did: repro.Repro | None = None, said: str | None = None) -> str:
    """Markdown of the whole report.

    Args:
        revision: to compare with.
        artifact: address of what a run of CI keeps.
        did: what `dvc repro` did since the workspace was as committed; None where nobody noted it down.
        said: what `make verify` had said before; None where nobody asked.

    Raises:
        RevisionError: there is no such revision.
    """
    commit = resolve(revision)
    read = committed(commit)
    base, head = snapshot(read), snapshot(workspace)
    recorded = recorded_lock(committed("HEAD"))
    answers = predictions.find(base, read, commit), predictions.find(head, workspace, None)
    failed = repro.CHECK in did.failed if did else _check_failed(head)

    waiting = lockfile.waiting() if head.lock else []
    if failed and waiting:  # DVC records nothing of a failed stage, and so would always run it again
        waiting = [name for name in waiting if name != repro.CHECK]
    state = lockfile.state(recorded, head.lock, waiting, did=did, failed=failed, told=said is not None)
    refusal = first_screen.refusal(verify.repeated(said, failed=failed), failed=failed) if said else None
    broken = did.broken if did else []
    lead = [
        first_screen.headline(head, stale=None if waiting is None else bool(waiting), failed=failed, broken=broken),
        first_screen.accuracy(base, head, *answers),
        first_screen.facts(base, head, state, refusal, first_screen.ahead(commit, revision)),
        first_screen.key_figures(base, head, revision, commit),
        first_screen.limits(head),
    ]
    differing = lockfile.changes(base.lock, head.lock) if base.lock else {}
    if failed:
        differing.pop(repro.CHECK, None)
    here = lockfile.in_this_run(lockfile.changes(recorded, head.lock), did, failed=failed)
    folded = [
        details.params(base, head),
        details.stages(differing, here),
        details.classes(base, head),
        details.confusions(*answers),
        details.curves(base, head),
        details.metrics(base, head),
    ]
    return assemble("\n\n".join(filter(None, lead)) + "\n", [part for part in folded if part], ending(artifact))


def _check_failed(head: Snapshot) -> bool:
    """Whether `check` has judged what is there, and refused it."""
    return head.verdict.get("passed") is False and not first_screen.outdated(head)


def ending(artifact: str | None) -> str:
    """Where to see more."""
    noise = (
        "\n<sub>More than noise: McNemar's test, two-sided, exact, at 5 %. It is about these two models on "
        "these images; training with another seed can still turn a small difference around.</sub>\n"
    )
    pictures = "Pictures: `results/evaluate/worst_mistakes.png`; `make plots` draws the others into `dvc_plots/`."
    if not artifact:
        return f"{pictures}\n{noise}"
    if not artifact.startswith("https://") or not artifact.isascii() or set(artifact) & set(" <>()[]\"'`|\\\n\r\t"):
        return f"Model, model card and pictures: {code(artifact, 200)}\n{noise}"
    return f"[Model, model card and pictures of this run]({artifact}). On your machine: {pictures[10:]}\n{noise}"


if __name__ == "__main__":
    run(main)
