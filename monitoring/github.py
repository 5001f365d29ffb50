"""What retraining says to GitHub, and asks of it, through `gh`."""

import dataclasses
import json
import subprocess

from delivery.printable import one_line
from digits.errors import PipelineError
from monitoring.dispatches import Dispatch

CONTEXT = "retraining"  # of statuses, as .github/workflows/retrain.yml calls it


class GitHubError(PipelineError):
    """GitHub refuses, or can't be reached."""


def asked(dispatch: Dispatch, moment: int, lost_hours: float) -> Dispatch:
    """What came of a retraining, as the workflow has told it in a status of the branch's commit.

    What cannot be asked now is asked by the next look. A run that GitHub cancels, or that dies early, tells nothing:
    after `lost_hours` without a word it is taken for lost.

    Args:
        dispatch: that was started.
        moment: now; microseconds since 1970, UTC.
        lost_hours: hours.
    """
    try:
        found = json.loads(gh(f"repos/{{owner}}/{{repo}}/commits/{dispatch.commit}/statuses") or "[]")
    except (GitHubError, ValueError) as error:
        print(one_line(f"what came of {dispatch.branch} is not known: {error}"))
        return dispatch
    newest = next((one for one in found if isinstance(one, dict) and one.get("context") == CONTEXT), None)
    if newest is None:
        return dispatch.at(moment, lost_hours)
    words = one_line(f"{newest.get('description') or ''} {newest.get('target_url') or ''}", 400)
    told = dataclasses.replace(dispatch, outcome=one_line(str(newest.get("state")), 20), text=words)
    return told.at(moment, lost_hours)


def gh(*arguments: str, given: str = "") -> str:
    """What GitHub's API answers.

    Raises:
        GitHubError: it refuses, or can't be reached.
    """
    by_hand = "start it by hand: `gh workflow run retrain.yml -f branch=... -f reason=...`, or on GitHub's page Actions"
    try:
        answer = subprocess.run(
            ["gh", "api", *arguments], input=given, capture_output=True, text=True, timeout=120, check=False
        )
    except FileNotFoundError:
        raise GitHubError(f"gh: not found; install GitHub's command line and `gh auth login`, or {by_hand}") from None
    except subprocess.TimeoutExpired:
        raise GitHubError("`gh api` has not answered for 120 seconds; try again") from None
    if answer.returncode:
        raise GitHubError(f"`gh api` failed: {(answer.stderr or answer.stdout).strip()}; {by_hand}")
    return answer.stdout
