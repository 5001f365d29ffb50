import pytest

from delivery.gto_tags import Event, events, timeline, way_back
from tests.delivery.tagged import Tagged


@pytest.fixture
def repository(tmp_path):
    return Tagged(tmp_path / "repository")


def kinds(found: list[Event]) -> list[tuple]:
    return [(event.tag.name, event.version, event.stage, event.undone) for event in found]


def test_all_kinds_of_tags_are_told_apart(repository):
    names = [
        ("mnist@v0.1.0", "v0.1.0", None, False),
        ("mnist@v1.0.0-rc.1", "v1.0.0-rc.1", None, False),
        ("mnist@v0.1.0!", "v0.1.0", None, True),
        ("mnist#staging", None, "staging", False),
        ("mnist#staging#2", None, "staging", False),
        ("mnist#eu/west_1#3", None, "eu/west_1", False),
        ("mnist#staging!#4", None, "staging", True),
        ("mnist@deprecated", None, None, True),
    ]
    for name, *_ in names:
        repository.tag(name, "a")
    assert kinds(events(repository.path, "mnist")) == names


@pytest.mark.parametrize(
    "name", ["mnist@0.1.0", "mnist@v01.0.0", "mnist@v1.0", "mnist#-x#1", "mnist#a#b", "mnist2@v0.1.0", "x-mnist#a#1"]
)
def test_other_tags_are_left_out(repository, name):
    repository.tag(name, "a")
    assert events(repository.path, "mnist") == []


def test_light_tags_and_tags_of_files_are_left_out(repository):
    repository.commit("a")
    repository.git("tag", "mnist@v0.1.0")
    (repository.path / "file").write_text("content")
    blob = repository.git("hash-object", "-w", "file")
    repository.git("tag", "--annotate", "--message", "x", "mnist@v0.2.0", blob)
    assert events(repository.path, "mnist") == []


def test_dates_order_the_tags_and_numbers_those_of_one_second(repository):
    repository.tag("mnist#staging#9", "a")
    repository.tag("mnist#staging#11", "b")
    repository.tag("mnist#staging#10", "c", after=0)
    repository.tag("mnist#staging#12", "d", after=-5)
    assert [event.tag.name for event in events(repository.path, "mnist")] == [
        f"mnist#staging#{number}" for number in (12, 9, 10, 11)
    ]


def test_an_artifact_in_a_subfolder_is_found_by_its_name(repository):
    repository.tag("models=mnist@v0.1.0", "a")
    assert kinds(events(repository.path, "models:mnist")) == [("models=mnist@v0.1.0", "v0.1.0", None, False)]


@pytest.mark.parametrize(
    ("changes", "states"),
    [
        ("", ""),
        ("a b", "a b"),
        ("a b a", "a b a"),
        ("a b -b", "a b a"),  # what was there before is there again: GTO's rule
        ("a b -a", "a b b"),
        ("a b a -a", "a b a b"),
        ("a -a", ""),
        ("a -a b", "a b"),
    ],
)
def test_a_stage_has_what_was_put_in_last_and_not_taken_out(changes, states):
    parsed = [(change.lstrip("-"), change.startswith("-")) for change in changes.split()]
    assert timeline(parsed) == states.split()


@pytest.mark.parametrize(
    ("states", "way"),
    [
        ("", ""),
        ("a", ""),
        ("a b c", "b a"),
        ("a b c b", "a"),  # c was left: nothing leads there
        ("a b c b a", ""),
        ("a b c b d", "b a"),
        ("a b a b", "a"),
        ("a a b", "a"),
    ],
)
def test_rollbacks_lead_back_and_never_forward(states, way):
    assert way_back(states.split()) == way.split()
