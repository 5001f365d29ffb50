"""Verify that what is committed is fit to be shared: `dvc repro` has nothing to do, and `dvc pull` finds everything.

Run by `make verify` and by CI: python -m reporting.verify
"""

import json
import subprocess
import sys

REPRO = "make repro, then: dvc push && git add dvc.lock results .dvcstore && git commit"
PUSH = "dvc push && git add .dvcstore && git commit"
COMMIT = "git add dvc.lock results .dvcstore && git commit"


def main() -> None:
    """Exit with the complaints, each with the commands that mend it."""
    complaints = [*stale_stages(), *missing_objects(), *uncommitted_files()]
    if complaints:
        sys.exit("\n".join(complaints))
    print("dvc.lock is current, all it names is in the remote, and both are committed")


def run(*command: str) -> str:
    """Output of a command; its error ends the program."""
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"error: {' '.join(command)}: {answer.stderr.strip() or answer.stdout.strip()}")
    return answer.stdout


def stale_stages() -> list[str]:
    """Stages that `dvc repro` would run. A dry run exits with 0 even then, so its words have to tell."""
    output = run("dvc", "repro", "--dry", "--allow-missing")
    stages = [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
    return [f"dvc.lock is stale: {', '.join(stages)} would run; mend it with:\n  {REPRO}"] if stages else []


def missing_objects() -> list[str]:
    """Outputs that dvc.lock names and the default remote does not have."""
    missing = json.loads(run("dvc", "data", "status", "--not-in-remote", "--json")).get("not_in_remote", [])
    return [f"not in the DVC remote: {', '.join(missing)}; mend it with:\n  {PUSH}"] if missing else []


def uncommitted_files() -> list[str]:
    """Results and remote objects that Git does not have."""
    output = run("git", "status", "--porcelain", "--untracked-files=all", "--", "dvc.lock", "results", ".dvcstore")
    files = [line[3:] for line in output.splitlines()]
    shown = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    return [f"not committed: {shown}; mend it with:\n  {COMMIT}"] if files else []


if __name__ == "__main__":
    main()
