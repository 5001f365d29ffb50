"""`make release`, `promote`, `rollback`, `versions`: from a model on main to production and back, by GTO's tags."""

import json
import re

import pytest

from tests.delivery.answering import SMOKE, service
from tests.e2e.project import BIN, FAST

pytestmark = pytest.mark.e2e

MAKE = ("make", "--no-print-directory", "--assume-old", ".venv/installed")  # without setting up an environment


@pytest.fixture(scope="module")
def staging():
    """What the service of staging answers, and its address."""
    answer = {"ready": True, "stage": "staging", "smoke": SMOKE}
    with service(answer) as url:
        yield answer, url


@pytest.fixture(scope="module")
def released(pulled, staging, tmp_path_factory):
    """The committed model, released, in staging and in production, with an origin. Do not change it."""
    folder = tmp_path_factory.mktemp("released")
    project = pulled.copy(folder / "project")
    (project / ".venv").mkdir()
    for part in ("bin", "lib", "pyvenv.cfg"):
        (project / ".venv" / part).symlink_to(BIN.parent / part)
    project.set(delivery__stages__staging__url=staging[1])
    project.commit("where staging answers")
    with_origin(project, folder / "origin.git")
    project.first = make(project, "release")
    make(project, "promote", "STAGE=staging")
    serve(project, staging)
    make(project, "promote", "STAGE=production")
    project.git("push", "--quiet", "origin", "--tags")
    return project


@pytest.fixture
def project(released, tmp_path):
    copy = released.copy(tmp_path / "project")
    with_origin(copy, tmp_path / "origin.git")
    return copy


def with_origin(project, path):
    project.run("git", "clone", "--quiet", "--bare", str(project.path), str(path))
    project.sh(f"git remote remove origin; git remote add origin '{path}'")
    project.git("fetch", "--quiet", "origin")


def make(project, *arguments, **options):
    return project.run(*MAKE, *arguments, **options)


def serve(project, staging):
    """Deploy what staging has."""
    answer, _ = staging
    (found,) = json.loads(project.run("gto", "show", "mnist#staging", "--json"))
    answer.update(version=found["version"], commit=found["commit_hexsha"])


def merge(project, pushed):
    """A colleague's smaller model, merged and pushed."""
    project.git("fetch", "--quiet", str(pushed.path), "main")
    project.git("checkout", "--quiet", "FETCH_HEAD", "--", "dvc.lock", "results", ".dvcstore")
    project.change(FAST)
    project.commit("a smaller model")
    project.git("push", "--quiet", "origin", "main")
    project.dvc("pull")


def current(project):
    stages = json.loads(project.run("python", "-m", "delivery.versions", "--json"))["stages"]
    return {stage: found["current"] and found["current"]["version"] for stage, found in stages.items()}


def test_the_first_version_is_described_by_its_model_card(released):
    card = (released / "results/check/model_card.md").read_text().strip()
    head = released.git("rev-parse", "--short=7", "HEAD").strip()

    assert released.first == (
        f"mnist v0.0.1\n\n{card}\n\nmnist v0.0.1: registered commit {head} by tag mnist@v0.0.1\n"
        "share it with: git push origin mnist@v0.0.1\n"
    )
    assert released.git("tag", "--list", "--format=%(contents)", "mnist@v0.0.1").strip() == f"mnist v0.0.1\n\n{card}"


def test_a_release_that_is_there_already_is_no_error(project):
    tags = project.git("tag")
    assert make(project, "release").startswith("this commit is mnist v0.0.1 already: nothing to release\n")
    (project / "README.md").write_text("Other words\n")
    project.commit()
    assert make(project, "release") == "the model is that of mnist v0.0.1: nothing to release\n"
    assert project.git("tag") == tags


def test_another_model_goes_to_staging_is_kept_from_production_and_overridden_and_rolled_back(project, pushed, staging):
    merge(project, pushed)
    output = make(project, "release", "BUMP=minor", "PUSH=1")
    assert output.startswith("mnist v0.1.0\n\n## ✅ All 6 limits kept\n")
    assert re.search(r"\*\*Test accuracy 99\.\d\d % → 9\d\.\d\d %: worse by .* points, more than noise\*\*", output)
    assert "model.channels" in output
    assert "<details>" not in output
    assert output.endswith("shared with origin\n")

    assert "staging: v0.1.0 (was v0.0.1), tag mnist#staging#3" in make(project, "promote", "STAGE=staging", "PUSH=1")
    tags = project.git("tag")
    output = make(project, "promote", "STAGE=production", fails=True)
    assert "error: v0.1.0 stays out of production, since a condition is not met:\n" in output
    assert "\n  - staging serves 'v0.0.1', not v0.1.0; deploy it with `make deploy STAGE=staging`\n" in output
    assert re.search(r"\n  - v0.1.0 against v0.0.1: -\d\.\d\d accuracy points .*: worse, by more than chance", output)
    assert project.git("tag") == tags

    serve(project, staging)
    reason = 'it\'s `$(touch pwned)` $$(touch pwned)\n\ttouch pwned # "half" the size \\'
    output = make(project, "promote", "STAGE=production", f"REASON={reason}", "PUSH=1")
    assert "production: v0.1.0 (was v0.0.1), tag mnist#production#4" in output
    text = project.git("tag", "--list", "--format=%(contents)", "mnist#production#4")
    assert "Met: v0.1.0 is served in staging, smoke test 49 of 50 images right\nOverridden: v0.1.0 against" in text
    assert text.rstrip().endswith('\nReason: it\'s `$(touch pwned)` $$(touch pwned) touch pwned # "half" the size \\')
    assert not (project / "pwned").exists()
    assert current(project) == {"staging": "v0.1.0", "production": "v0.1.0"}

    output = make(project, "rollback", "STAGE=production", "REASON=sevens", "PUSH=1")
    assert "production: v0.0.1 again (was v0.1.0), tag mnist#production#5" in output
    assert "had no other version before" in make(project, "rollback", "STAGE=production", fails=True)
    assert current(project) == {"staging": "v0.1.0", "production": "v0.0.1"}

    lines = [line.split("│")[3:8] for line in project.run("gto", "history", "--asc").splitlines() if "mnist" in line]
    events = [" ".join(cell.strip() for cell in line[:3]) for line in lines]
    assert events == [
        "registration v0.0.1 -",
        "assignment v0.0.1 staging",
        "assignment v0.0.1 production",
        "registration v0.1.0 -",
        "assignment v0.1.0 staging",
        "assignment v0.1.0 production",
        "assignment v0.0.1 production",
    ]
    assert project.run("git", "ls-remote", "--tags", "origin").count("{}") == 7
    table = make(project, "versions")
    assert re.search(r"^staging     v0\.1\.0   20\d\d-\d\d-\d\d \d\d:\d\d UTC  Test  mnist#staging#3$", table, re.M)
    assert re.search(r"^v0\.0\.1   99\.\d\d %  +\d+ +production +20", table, re.M)


def test_what_is_stale_or_changed_is_not_released(project, pushed):
    merge(project, pushed)
    project.set(evaluate__seed=5)
    output = make(project, "release", fails=True)
    assert "\nchanged since the commit: params.yaml; commit that, or put it away with `git stash`\n" in output
    assert "\ndvc.lock is stale: evaluate, check would run; mend it with:\n  dvc repro && dvc push" in output
    project.commit()
    output = make(project, "release", fails=True)
    assert "\nit is not part of origin/main; merge it, or push it" in output
    assert "\ndvc.lock is stale: evaluate, check would run" in output
    assert "mnist@v0.0.2" not in project.git("tag")


def test_what_was_not_pushed_to_the_dvc_remote_is_not_released(project, pushed):
    merge(project, pushed)
    project.object("models/model.onnx", ".dvcstore").unlink()
    project.commit()
    project.git("push", "--quiet", "origin", "main")
    output = make(project, "release", fails=True)
    assert "\nnot in the DVC remote: models/model.onnx" in output
    assert "mnist@v0.0.2" not in project.git("tag")


def test_the_environment_of_make_promotes_nothing(project):
    surroundings = {"STAGE": "production", "VERSION": "v0.0.1", "REASON": "by chance", "PUSH": "1", "BUMP": "major"}
    tags = project.git("tag")
    assert "the following arguments are required: --stage" in make(project, "promote", env=surroundings, fails=True)
    make(project, "release", env=surroundings)
    assert project.git("tag") == tags
