import dataclasses
import subprocess
import sys

import pytest

from delivery import promote, registry, rollback
from delivery.promote import PromotionError
from delivery.settings import DeliveryParams, StageParams
from digits import params
from tests.delivery.answering import SMOKE, service
from tests.delivery.released import ROOT
from tests.delivery.tagged import ENVIRONMENT, Tagged


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Versions a (10 mistakes among 1,000 images), b (12) and c (40), with the date of long ago; the working folder."""
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    made = Tagged(tmp_path / "repository")
    made.seconds = -1_000_000_000
    for number, (letter, mistakes) in enumerate({"a": 10, "b": 12, "c": 40}.items(), start=1):
        made.trained(letter, range(mistakes))
        made.tag(f"mnist@v0.{number}.0", letter)
    monkeypatch.chdir(made.path)
    return made


@pytest.fixture
def staging(repository):
    """A service of staging that has whatever the tags say."""
    answer = {}
    with service(answer) as url:
        answer |= {"ready": True, "stage": "staging", "smoke": SMOKE}

        def serves(name):
            version = registry.read(".", "mnist").find(name)
            answer.update(version=version.name, commit=version.commit)

        serves.url = url
        yield serves


@pytest.fixture
def settings(staging):
    stages = {"staging": StageParams(staging.url), "production": StageParams("http://127.0.0.1:9")}
    loaded = params.load(DeliveryParams, "delivery", ROOT / "params.yaml")
    return DeliveryParams(**vars(loaded) | {"stages": stages})


def current(stage):
    found = registry.current(".", "mnist", stage)
    return found and found.name


def tags(repository):
    return repository.git("tag").split()


def test_staging_takes_the_newest_version_without_conditions(repository, settings, capsys):
    promote.promote(settings, "staging", None, None)
    assert current("staging") == "v0.3.0"
    assert capsys.readouterr().out == (
        "staging: v0.3.0 (was empty), tag mnist#staging#1; deploy it with: make deploy STAGE=staging\n"
    )


def test_what_is_there_already_is_no_error_and_no_tag(repository, settings, capsys):
    repository.tag("mnist#staging#1", "b", by="Ben\x1b[2J")
    promote.promote(settings, "staging", "v0.2.0", None)
    assert capsys.readouterr().out.startswith("staging has v0.2.0 already, since 19")
    assert tags(repository) == ["mnist#staging#1", "mnist@v0.1.0", "mnist@v0.2.0", "mnist@v0.3.0"]


def test_once_leaves_alone_what_somebody_took_back(repository, settings, capsys):
    repository.tag("mnist#staging#1", "c")
    repository.tag("mnist#staging#2", "b")
    promote.promote(settings, "staging", None, None, once=True)
    assert current("staging") == "v0.2.0"
    assert capsys.readouterr().out == "staging had v0.3.0 before, and has v0.2.0 now: left as it is\n"
    promote.promote(settings, "staging", "v0.1.0", None, once=True)
    assert current("staging") == "v0.1.0"


def test_the_first_one_goes_from_staging_into_an_empty_production(repository, settings, staging):
    repository.tag("mnist#staging#1", "a")
    staging("v0.1.0")
    promote.promote(settings, "production", None, None)
    assert registry.read(".", "mnist").assigned("production").message == (
        "Promote v0.1.0 to production (was empty)\n\n"
        "Met: v0.1.0 is served in staging, smoke test 49 of 50 images right\n"
        "Met: nothing to be compared with: the stage is empty"
    )


def test_one_that_is_not_worse_than_chance_explains_follows(repository, settings, staging):
    repository.tag("mnist#production#1", "a")
    repository.tag("mnist#staging#2", "b")
    staging("v0.2.0")
    promote.promote(settings, "production", None, None)
    assert current("production") == "v0.2.0"
    assert "within noise" in registry.read(".", "mnist").assigned("production").message


def test_all_conditions_that_are_not_met_are_said_at_once(repository, settings, staging, capsys):
    repository.tag("mnist#production#1", "a")
    repository.tag("mnist#staging#2", "c")
    staging("v0.1.0")
    before = tags(repository)
    with pytest.raises(PromotionError) as caught:
        promote.promote(settings, "production", None, None)

    lines = str(caught.value).splitlines()
    assert lines[0] == "v0.3.0 stays out of production, since a condition is not met:"
    assert lines[1].startswith("  - staging serves 'v0.1.0', not v0.3.0; deploy it with `make deploy STAGE=staging`")
    assert "v0.3.0 against v0.1.0: -3.00 accuracy points" in lines[2]
    assert "worse, by more than chance" in lines[2]
    assert lines[3].endswith("make promote STAGE=production VERSION=v0.3.0 REASON='...'")
    assert tags(repository) == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("change", [{"margin": 3.0}, {"significance": 1e-10}])
def test_how_much_worse_a_version_may_be_is_a_param(repository, settings, staging, change):
    repository.tag("mnist#production#1", "a")
    repository.tag("mnist#staging#2", "c")  # 30 images of 1,000 newly wrong, p = 1.9e-9
    staging("v0.3.0")
    with pytest.raises(PromotionError, match="worse, by more than chance"):
        promote.promote(settings, "production", None, None)
    promote.promote(dataclasses.replace(settings, **change), "production", None, None)
    assert current("production") == "v0.3.0"


def test_a_reason_overrides_and_is_kept_with_what_it_overrides(repository, settings, staging, capsys):
    repository.tag("mnist#production#1", "a")
    repository.tag("mnist#staging#2", "c")
    staging("v0.3.0")
    promote.promote(settings, "production", None, "the others fail on new scanners")
    lines = registry.read(".", "mnist").assigned("production").message.splitlines()

    assert lines[0] == "Promote v0.3.0 to production (was v0.1.0)"
    assert [line.partition(":")[0] for line in lines[2:]] == ["Met", "Overridden", "Reason"]
    assert lines[-1] == "Reason: the others fail on new scanners"
    assert "overridden: v0.3.0 against v0.1.0: " in capsys.readouterr().out


@pytest.mark.parametrize("reason", ["--force", "-", "it's $(touch pwned) `touch pwned` %(refname) \"; touch pwned #"])
def test_a_reason_is_only_text(repository, settings, reason):
    promote.promote(settings, "staging", None, promote.cleaned(reason))
    assert registry.read(".", "mnist").assigned("staging").message.endswith(f"\nReason: {reason}")
    assert not (repository.path / "pwned").exists()


def test_a_reason_stays_on_its_line_and_off_the_terminal_s_controls():
    assert promote.cleaned(" a\nMet: all\r\x1b[2J\u202eb ") == "a Met: all \\x1b[2J\\u202eb"
    assert promote.cleaned(None) is None
    assert len(promote.cleaned("a" * 5000)) == 1000


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_reason_has_to_say_something(reason):
    with pytest.raises(PromotionError, match="the reason is empty"):
        promote.cleaned(reason)


@pytest.mark.parametrize(
    ("stage", "version", "text"),
    [
        ("prod", None, "stage 'prod' is none of those in params.yaml, delivery.stages: staging, production"),
        ("staging", "v9.0.0", "mnist has no version 'v9.0.0'; there is v0.3.0, v0.2.0, v0.1.0"),
        ("staging", "--all", "mnist has no version '--all'"),
        ("production", None, "staging is empty; begin there with `make promote STAGE=staging`"),
    ],
)
def test_what_is_not_there_can_t_be_promoted(repository, settings, stage, version, text):
    with pytest.raises(registry.PipelineError) as caught:
        promote.promote(settings, stage, version, None)
    assert str(caught.value).startswith(text)


def test_without_any_version_a_release_is_asked_for(repository, settings):
    repository.git("tag", "--delete", *tags(repository))
    with pytest.raises(PromotionError, match="there is no version of mnist yet; register one with `make release`"):
        promote.promote(settings, "staging", None, None)


def test_a_stage_that_lost_its_version_can_be_given_another(repository, settings, staging):
    repository.tag("mnist#production#1", "d")  # no version there
    staging("v0.1.0")
    with pytest.raises(PromotionError, match=r"v0.1.0 can't be compared: tag mnist#production#1 assigns commit"):
        promote.promote(settings, "production", "v0.1.0", None)
    promote.promote(settings, "production", "v0.1.0", "its tag was deleted")
    assert current("production") == "v0.1.0"


def test_rollbacks_lead_back_and_never_forward(repository, settings, capsys):
    for number, letter in enumerate("abc", start=1):
        repository.tag(f"mnist#production#{number}", letter)
    rollback.rollback(settings, "production", "it fails on sevens")
    assert current("production") == "v0.2.0"
    rollback.rollback(settings, "production", None)
    assert current("production") == "v0.1.0"
    with pytest.raises(PromotionError, match=r"production has v0.1.0, and had no other version before that could come"):
        rollback.rollback(settings, "production", None)

    messages = [entry.message for entry in registry.read(".", "mnist").history["production"]]
    assert messages[3:] == [
        "Roll back production from v0.3.0 to v0.2.0\n\nReason: it fails on sevens",
        "Roll back production from v0.2.0 to v0.1.0",
    ]
    assert capsys.readouterr().out.splitlines()[0] == (
        "production: v0.2.0 again (was v0.3.0), tag mnist#production#4; deploy it with: make deploy STAGE=production"
    )
    assert len(tags(repository)) == 8


def test_an_empty_stage_can_t_be_rolled_back(repository, settings):
    with pytest.raises(PromotionError, match="production is empty: there is nothing to roll back"):
        rollback.rollback(settings, "production", None)
    with pytest.raises(PromotionError, match="stage 'prod' is none of those"):
        rollback.rollback(settings, "prod", None)


def test_the_options_of_the_commands(repository, monkeypatch):
    repository.write("params.yaml", (ROOT / "params.yaml").read_bytes())
    monkeypatch.setattr(sys, "argv", ["promote", "--stage=staging", "--version=v0.1.0", "--reason=for\na start"])
    promote.main()
    assert registry.read(".", "mnist").assigned("staging").message.endswith("\n\nReason: for a start")
    monkeypatch.setattr(sys, "argv", ["promote", "--stage=staging"])
    promote.main()
    monkeypatch.setattr(sys, "argv", ["promote", "--stage=staging", "--version=v0.1.0", "--once"])
    promote.main()
    assert current("staging") == "v0.3.0"
    monkeypatch.setattr(sys, "argv", ["rollback", "--stage=staging", "--reason=oh"])
    rollback.main()
    assert current("staging") == "v0.1.0"


@pytest.mark.parametrize("module", ["promote", "rollback"])
def test_as_a_command_errors_are_one_message(repository, module):
    repository.write("params.yaml", (ROOT / "params.yaml").read_bytes())
    command = [sys.executable, "-m", f"delivery.{module}", "--stage=nowhere", "--reason=x"]
    answer = subprocess.run(
        command, env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("error: stage 'nowhere' is none of those in params.yaml")
