"""Whatever the files hold that the report reads: it comes out, and names those that it could not read."""

import copy
import itertools
import json
import math

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reporting import first_screen, lockfile, predictions, report, revisions
from tests.reporting import history

FILES = ("dvc.yaml", "dvc.lock", "params.yaml", revisions.EVALUATION, revisions.VERDICT)
SCALARS = (None, True, 0, -1.5, math.nan, 10**400, "text", "\ud800\0")
ODD = (*SCALARS, [], [1], ["a", ["b"]], {}, {"a": 1}, {"a": {"b": []}})
WORDS = (
    *("stages", "do", "cmd", "deps", "outs", "params", "path", "md5", "metrics", "accuracy", "per_class", "recall"),
    *("limits", "metric", "relation", "limit", "value", "margin", "passed", "params.yaml", revisions.EVALUATION),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Content of each file after a run of the pipeline."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("good"))
        classes = {name: history.METRICS["per_class"][name] for name in "01"}  # all ten would be more of the same
        history.results(metrics=history.altered(history.METRICS, per_class=classes))
        return {path: revisions.workspace(path) for path in (*FILES, revisions.LOSS)}


@pytest.fixture
def told(good, monkeypatch, tmp_path):
    """Report after some files became others, of the base, of the head, or of both."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "resolve", lambda _: "0" * 40)
    monkeypatch.setattr(first_screen, "git", lambda *_: "0")
    monkeypatch.setattr(lockfile, "waiting", list)
    monkeypatch.setattr(predictions, "find", lambda *_: None)

    def told(changes, of=("base", "head")):
        read = {name: (good | changes if name in of else good).get for name in ("base", "head")}
        monkeypatch.setattr(report, "committed", lambda _: read["base"])
        monkeypatch.setattr(report, "workspace", read["head"])
        return report.report("base")

    return told


def dumped(path, value):
    text = json.dumps(value) if path.endswith(".json") else yaml.safe_dump(value)
    return text.encode()


def places(tree, path=()):
    """Keys that lead to each value of a nested one."""
    yield path
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in entries:
        yield from places(value, (*path, key))


def replaced(tree, path, value):
    if not path:
        return value
    tree = copy.deepcopy(tree)
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return tree


def test_good_files_are_no_problem(told):
    assert "Can't be read" not in told({})


@pytest.mark.parametrize("path", FILES)
def test_an_odd_value_at_any_place(told, good, path):
    tree = yaml.safe_load(good[path])
    for place, value in itertools.product(places(tree), ODD):
        text = told({path: dumped(path, replaced(tree, place, value))}, of=["head"])
        assert ("Can't be read" in text) == (f"left out: `{path}` of the head" in text), (place, value)
        assert f"`{path}` of the base" not in text
        if not place and not isinstance(value, dict):
            assert f"left out: `{path}` of the head" in text, value


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.integers().map(str) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(FILES), values, min_size=1), st.sampled_from(["base", "head"]))
def test_any_values_in_any_files(told, trees, side):
    text = told({path: dumped(path, tree) for path, tree in trees.items()}, of=[side])

    for path, tree in trees.items():
        read = path != revisions.EVALUATION or "dvc.yaml" not in trees  # which says that it is one of the metrics
        assert isinstance(tree, dict) or not read or f"`{path}`" in text.partition("left out:")[2]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.floats() | st.integers() | st.text(max_size=3), min_size=1, max_size=3)))
def test_any_loss_curve(told, rows):
    told({revisions.LOSS: "\n".join("\t".join(map(str, row)) for row in [["step", "loss"], *rows]).encode()})


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{half",
        b"a: [",
        b"\xff\xfe\0",
        b"text",
        b"[1, 2]",
        b"[" * 100_000,
        b"{'a':" * 100_000,
        b'{"a": ' * 200 + b"1" + b"}" * 200,
        b"a: &a [*a]",
        b'a: !!int ""',
        b"a: !!python/object:os.system {}",
        b"\n".join([b"a0: &a0 [1]", *(b"a%d: &a%d [%s]" % (n, n, b"*a%d," % (n - 1) * 10) for n in range(1, 12))]),
    ],
    ids=lambda content: content[:8].decode(errors="replace"),
)
def test_what_cannot_be_read_is_named(told, path, content):
    text = told({path: content})

    assert f"Can't be read, and so is left out: `{path}` of the base" in text
    assert f"Can't be read, and so is left out: `{path}` of the head" in text


@pytest.mark.parametrize(
    ("path", "tree"),
    [
        ("dvc.yaml", {"stages": None}),
        ("dvc.yaml", {"stages": ["evaluate"]}),
        ("dvc.yaml", {"stages": {"evaluate": "run"}}),
        ("dvc.yaml", {"stages": {"evaluate": {"do": 1}}}),
        ("dvc.yaml", {"metrics": "metrics.json"}),
        ("dvc.yaml", {"metrics": [1]}),
        ("dvc.lock", {"stages": []}),
        ("dvc.lock", {"stages": None}),
        ("dvc.lock", {"stages": {"train": ["cmd"]}}),
        ("dvc.lock", {"stages": {"train": {"outs": {"path": "model"}}}}),
        ("dvc.lock", {"stages": {"train": {"deps": ["model"]}}}),
        ("dvc.lock", {"stages": {"train": {"deps": [{"md5": "1"}]}}}),
        ("dvc.lock", {"stages": {"train": {"params": ["train"]}}}),
        (revisions.VERDICT, {"limits": 1}),
        (revisions.VERDICT, {"limits": {"accuracy": 1}}),
        (revisions.VERDICT, {"limits": ["accuracy"]}),
        (revisions.VERDICT, {"limits": [{"metric": "accuracy"}]}),
        (revisions.VERDICT, {"limits": [history.limit(relation=["above"])]}),
        (revisions.VERDICT, {"limits": [history.limit(metric={"accuracy": 1})]}),
    ],
)
def test_another_form_than_dvc_s_or_the_check_s_is_named(told, path, tree):
    assert f"left out: `{path}` of the head" in told({path: dumped(path, tree)})


def test_several_are_named_together(told):
    changes = dict.fromkeys((revisions.EVALUATION, "params.yaml"), b"{half") | {revisions.LOSS: b"step\tloss\n1\tlow\n"}
    named = f"`{revisions.EVALUATION}`, `params.yaml`, `{revisions.LOSS}`"

    assert f"Can't be read, and so is left out: {named} of the head." in told(changes, of=["head"])


def test_without_a_verdict_there_is_none(told):
    assert told({revisions.VERDICT: b"[]"}).startswith("## ⚠️ No verdict")


def test_a_committed_lock_that_is_none(told):
    assert "`dvc.lock` is not committed.**" in told({"dvc.lock": b"stages: ["}, of=["base"])


def test_a_figure_that_is_no_number_is_the_same_as_itself(told):
    metrics = history.altered(history.METRICS, loss=math.nan)
    verdict = {"limits": [history.limit("loss", "below", value=math.nan, margin=math.nan, passed=False)]}
    changes = {
        path: json.dumps(tree).encode()
        for path, tree in ((revisions.EVALUATION, metrics), (revisions.VERDICT, verdict))
    }

    assert "These are not the figures above" not in told(changes)
    assert "These are not the figures above" in told({revisions.VERDICT: changes[revisions.VERDICT]})


def test_a_param_that_is_no_number_does_not_differ_from_itself(told):
    changes = {"params.yaml": b"a: .nan\n"}

    assert "**Params:** none differ." in told(changes)
    assert "**Params:** none differ." not in told(changes, of=["head"])
