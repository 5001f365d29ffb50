"""What GitHub does with a push or a pull request: act executes the workflows; actions, cml and gh are stand-ins.

The stand-ins in this folder do what the workflows depend on: a checkout is a clone of what is committed, the token of a
fork may not write, an artifact holds what was uploaded, a comment is updated in place.
"""

import dataclasses
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.project import BIN, Project, stages_run

HERE = Path(__file__).parent
REPOSITORY, FORK = "example/mnist", "somebody/mnist"
NUMBER = 7


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a workflow."""

    passed: bool
    output: str
    steps: dict[str, str]  # name of each step that ran: "success" or "failure"
    summary: str

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages of the pipeline that ran."""
        return stages_run(self.output)

    @property
    def failed(self) -> list[str]:
        return [name for name, result in self.steps.items() if result == "failure"]


class Server:
    """GitHub, as far as one project can see it."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project, self.folder = project, folder
        self.record = folder / "record"
        self.record.mkdir(parents=True)
        project.git("config", "remote.origin.url", f"https://github.com/{REPOSITORY}")

    def commit(self, revision: str = "HEAD") -> str:
        return self.project.git("rev-parse", revision).strip()

    def branch(self) -> str:
        return self.project.git("branch", "--show-current").strip()

    def comments(self) -> dict[str, str]:
        """Text of each comment, by the pull request's number and the watermark."""
        return {path.stem: path.read_text() for path in self.record.glob("comments/*.md")}

    def artifact(self, name: str) -> Path:
        return self.record / "artifacts" / name

    def pull_request(
        self,
        source: str = REPOSITORY,
        author: str = "colleague",
        actor: str | None = None,
        base: str = "main",
        **options: Any,
    ) -> Run:
        """Run what a pull request of the current branch to `base` sets off; `actor` pushed, if not its author."""
        actor = actor or author
        head = {"sha": self.commit(), "ref": self.branch(), "repo": {"full_name": source}}
        target = {"sha": self.commit(base), "ref": base, "repo": {"full_name": REPOSITORY}}
        event = {"pull_request": {"number": NUMBER, "head": head, "base": target, "user": {"login": author}}}
        may_write = source == REPOSITORY and actor != "dependabot[bot]"
        options = {"job": "pipeline", "actor": actor, "may_write": may_write} | options
        return self.run("ml-pipeline", "pull_request", event, **options)

    def push(self, before: str, **options: Any) -> Run:
        """Run what a push of the current branch sets off, which was at the commit `before`."""
        event = {"before": before, "after": self.commit(), "ref": f"refs/heads/{self.branch()}"}
        return self.run("ml-pipeline", "push", event, **{"job": "pipeline"} | options)

    def dispatched(self) -> list[dict[str, Any]]:
        """Workflows that were started by name, with what they were given."""
        return self._noted("dispatched")

    def pulls(self) -> list[dict[str, Any]]:
        """Pull requests that a workflow has opened."""
        return self._noted("pulls")

    def statuses(self) -> list[dict[str, Any]]:
        """Statuses that workflows have given to commits."""
        return self._noted("statuses")

    def sent(self) -> list[dict[str, Any]]:
        """Events that were sent to the repository from elsewhere."""
        return self._noted("sent")

    def _noted(self, name: str) -> list[dict[str, Any]]:
        path = self.record / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def completed(self, source: str = FORK, actor: str = "somebody", newest: str | None = None) -> Run:
        """Run what the end of a pull request's run sets off; `newest` is the pull request's head by now."""
        owner = source.partition("/")[0]
        run = {
            "id": 1234,
            "event": "pull_request",
            "head_sha": self.commit(),
            "head_branch": self.branch(),
            "head_repository": {"full_name": source, "owner": {"login": owner}},
            "actor": {"login": actor},
        }
        label, sha = f"{owner}:{self.branch()}", newest or self.commit()
        pulls = [
            {"number": 5, "state": "closed", "head": {"label": label, "sha": sha}},
            {"number": 6, "state": "open", "head": {"label": "another:main", "sha": sha}},
            {"number": NUMBER, "state": "open", "head": {"label": label, "sha": sha}},
        ]
        return self.run("post-report", "workflow_run", {"workflow_run": run}, env={"STAND_IN_PULLS": json.dumps(pulls)})

    def run(
        self,
        workflow: str,
        name: str,
        event: dict[str, Any],
        *,
        env: dict[str, str] | None = None,
        job: str | None = None,
        actor: str = "colleague",
        may_write: bool = True,
        attempt: int = 1,
    ) -> Run:
        """Execute a workflow of the project, or one job of it, for an event; from the second attempt on, again."""
        path = self.project / f".github/workflows/{workflow}.yml"
        event_path = self.folder / "event.json"
        event_path.write_text(json.dumps(event | {"repository": {"full_name": REPOSITORY}}))
        actions = sorted(set(re.findall(r"uses: (\S+/(\S+)@\S+)", path.read_text())))
        command = [
            *("act", name, "--json", "--workflows", str(path), "--eventpath", str(event_path), "--actor", actor),
            *("--platform", "ubuntu-latest=-self-hosted", "--no-skip-checkout", "--no-cache-server"),
            *("--action-cache-path", str(self.folder / "runner")),
            *("--secret", f"GITHUB_TOKEN={'token-may-write' if may_write else 'token-read-only'}"),
            *("--env", f"GITHUB_RUN_ATTEMPT={attempt}"),
            *(["--job", job] if job else []),
            *(part for used, stem in actions for part in ("--local-repository", f"{used}={HERE / 'actions' / stem}")),
        ]
        stand_ins = {
            "STAND_IN_ORIGIN": str(self.project.path),
            "STAND_IN_RECORD": str(self.record),
            "STAND_IN_VENV": str(BIN.parent),
            "STAND_IN_CML": str(HERE / "cml"),
            "PATH": f"{HERE / 'bin'}:{self.project.env['PATH']}",
        }
        answer = subprocess.run(
            command,
            cwd=self.project.path,
            env=self.project.env | stand_ins | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return parse(answer.returncode == 0, answer.stdout)


def parse(passed: bool, log: str) -> Run:
    """Read what act says in JSON, a line at a time."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    steps = [line for line in lines if line.get("stage") == "Main" and len(line.get("stepID", ())) == 1]
    assert passed or steps, log
    return Run(
        passed,
        "".join(line["msg"] for line in lines if line.get("raw_output")),
        {line["step"]: line["stepResult"] for line in steps if "stepResult" in line},
        "".join(line["content"] for line in lines if line.get("command") == "summary"),
    )
