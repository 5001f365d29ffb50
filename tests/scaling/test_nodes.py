import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import ray.cloudpickle

import scaling
from scaling import nodes
from scaling.nodes import AFTERWARDS, NodeError, Spec, VersionError, cache_folder, digest, prepare_node, versions
from tests.scaling.repository import SUMS

ROOT = Path(__file__).parents[2]

# A worker: it has Ray, as Ray's own worker has, and nothing of ours to import. It runs what the driver pickled.
WORKER = """
import importlib.abc, pickle, sys
from pathlib import Path
import ray.cloudpickle
class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("digits", "stages", "scaling"):
            raise ModuleNotFoundError(f"a worker has no {name}")
refuse = Nothing()
sys.meta_path.insert(0, refuse)
sys.path[:] = [path for path in sys.path if path]
prepare, spec = ray.cloudpickle.loads(Path(sys.argv[1]).read_bytes())
%s
try:
    answer = prepare(spec)
    sys.meta_path.remove(refuse)
    import digits.version
    answer = [answer, prepare(spec), digits.version.__file__, sys.path[0], sys.path.count(str(answer))]
except Exception as error:
    answer = error
Path(sys.argv[2]).write_bytes(ray.cloudpickle.dumps(answer))
"""


@pytest.fixture
def by_value():
    ray.cloudpickle.register_pickle_by_value(scaling)
    yield
    ray.cloudpickle.unregister_pickle_by_value(scaling)


@pytest.fixture
def fetched(repository) -> Spec:
    """What a driver tells the nodes of a cluster."""
    return Spec(
        None, str(repository.path), repository.git("rev-parse", "HEAD"), SUMS, versions(), digest(repository.path)
    )


@pytest.fixture
def local(repository) -> Spec:
    """What a driver tells a Ray of its own."""
    return Spec(str(repository.path), None, None, SUMS, versions(), digest(repository.path))


def in_a_worker(spec, folder, before="", path=""):
    """What `prepare_node` and the code that it brought say in a worker, as the driver gets it."""
    (folder / "sent").write_bytes(ray.cloudpickle.dumps((prepare_node, spec)))
    script, env = WORKER % before, os.environ | {"PYTHONPATH": str(path)}
    command = [sys.executable, "-W", "ignore", "-c", script, folder / "sent", folder / "answer"]
    answer = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return ray.cloudpickle.loads((folder / "answer").read_bytes())


def test_a_worker_without_our_code_gets_it(by_value, fetched, outside):
    root, again, imported, first, count = in_a_worker(fetched, outside)

    assert root == again == outside / "cache/checkouts" / fetched.commit
    assert imported == f"{root}/digits/version.py"
    assert (first, count) == (str(root), 1)
    assert not list(root.rglob("__pycache__"))  # a full disk could cut such a file short, and it would stay so


def test_an_error_reaches_the_driver_as_what_it_is(by_value, fetched, outside):
    error = in_a_worker(dataclasses.replace(fetched, commit="a" * 40), outside)

    assert type(error) is NodeError
    assert str(error).startswith(f"node {os.uname().nodename}: commit {'a' * 40} can't be fetched from ")


IMPORT = "sys.meta_path.remove(refuse); import digits.version; sys.meta_path.insert(0, refuse)"


def test_code_of_another_commit_that_is_imported_already_is_refused(by_value, fetched, repository, outside):
    other = repository.copy(outside / "other")
    other.write({"digits/version.py": "HERE = 2\n"})
    theirs = other.commit()
    error = in_a_worker(fetched, outside, before=IMPORT, path=other.path)

    assert type(error) is VersionError
    assert f"another version of digits is imported here already, from {other.path}/digits: commit {theirs}" in str(
        error
    )
    assert f"the sweep is of commit {fetched.commit}" in str(error)


def test_the_same_code_from_elsewhere_is_as_good(by_value, fetched, repository, outside):
    other = repository.copy(outside / "other")
    assert in_a_worker(fetched, outside, before=IMPORT, path=other.path)[2] == f"{other.path}/digits/version.py"


def test_code_that_is_there_but_not_imported_does_not_count(by_value, fetched, repository, outside):
    other = repository.copy(outside / "other")
    other.write({"digits/version.py": "HERE = 2\n"})
    assert in_a_worker(fetched, outside, path=other.path)[2].startswith(f"{outside}/cache/")


@pytest.fixture
def _path_as_it_was(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    # In this process what is imported is the project itself.
    monkeypatch.setattr(nodes, "_nothing_else_imported", lambda root, commit: None)


@pytest.mark.usefixtures("_path_as_it_was")
def test_a_ray_of_ones_own_takes_the_working_folder(local, outside):
    assert prepare_node(local) == Path(local.folder)
    assert sys.path[0] == local.folder
    assert not (outside / "cache").exists()


@pytest.mark.usefixtures("_path_as_it_was")
def test_a_working_folder_without_the_data_is_refused(local, repository):
    (repository / "data/prepared/train.npz").write_bytes(b"others")
    with pytest.raises(NodeError, match=r"node .+: .+/train.npz: its MD5 sum is .+; run `dvc pull`, or `dvc repro` if"):
        prepare_node(local)
    shutil.rmtree(repository / "data")
    with pytest.raises(NodeError, match=r"train.npz: not there; run `dvc pull`"):
        prepare_node(local)
    assert local.folder not in sys.path


@pytest.mark.usefixtures("_path_as_it_was")
def test_code_that_was_edited_since_is_refused(local, repository):
    """A worker that starts anew would train with it, and the others go on without."""
    repository.write({"digits/version.py": "HERE = 2\n"})
    with pytest.raises(
        VersionError, match=r"node .+: digits, stages, scaling in .+ are not the code that the sweep was"
    ):
        prepare_node(local)
    assert local.folder not in sys.path
    repository.git("checkout", "digits")
    repository.write({"README.md": "no code"})
    prepare_node(local)


@pytest.mark.usefixtures("_path_as_it_was")
@pytest.mark.parametrize(("package", "version"), [("torch", "1.0.0"), ("python", "3.1.4"), ("numpy", "1.0")])
def test_another_version_is_refused_and_both_are_named(local, package, version):
    spec = dataclasses.replace(local, versions=local.versions | {package: version})
    with pytest.raises(VersionError, match=rf"node .+: {package} {versions()[package]} is here, {version} where"):
        prepare_node(spec)


@pytest.mark.usefixtures("_path_as_it_was")
def test_another_build_or_bug_fix_of_python_is_not_another_version(local):
    here = versions()
    other = here | {"torch": here["torch"].partition("+")[0] + "+cu999", "python": here["python"] + "7"}
    prepare_node(dataclasses.replace(local, versions=other))


def test_a_node_without_torch_says_so(local, monkeypatch):
    monkeypatch.setattr(nodes, "versions", lambda: versions() | {"torch": "not installed"})
    with pytest.raises(NodeError, match="torch not installed is here, 2"):
        prepare_node(local)
    monkeypatch.undo()
    assert nodes._installed("no-such-package") == "not installed"


def test_the_cache_lies_where_the_node_was_told(outside, monkeypatch):
    assert cache_folder() == outside / "cache"
    monkeypatch.delenv("MNIST_NODE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(outside / "xdg"))
    assert cache_folder() == outside / "xdg/mnist-mlops"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == outside / "home/.cache/mnist-mlops"


def test_a_spec_without_anything_to_fetch_is_refused(fetched):
    with pytest.raises(NodeError, match="the driver named no repository or no commit"):
        prepare_node(dataclasses.replace(fetched, commit=None))


def test_code_that_only_shows_results_is_no_other_code(tmp_path):
    for path in ("digits/a.py", "stages/train.py", "stages/check.py", "scaling/trial.py", "scaling/picture.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("1")
    before, changes = digest(tmp_path), {}
    for path in ("digits/a.py", "stages/train.py", "stages/check.py", "scaling/trial.py", "scaling/picture.py"):
        (tmp_path / path).write_text("2")
        changes[path] = digest(tmp_path) != before
        (tmp_path / path).write_text("1")
    assert [path for path, changed in changes.items() if changed] == [
        "digits/a.py",
        "stages/train.py",
        "scaling/trial.py",
    ]


def test_trials_depend_on_nothing_of_what_only_shows_results():
    found, waiting = set(), {"scaling/trial.py", "scaling/proposals.py"}
    while waiting:
        found |= waiting
        waiting = {other for path in waiting for other in imported(path)} - found
    assert found & AFTERWARDS == set()
    assert all((ROOT / path).is_file() for path in AFTERWARDS)


def imported(path) -> set[str]:
    """Modules of scaling that a file imports."""
    pattern = re.compile(r"^ *(?:from|import) scaling(?:\.(\w+)| import ([\w, ]+))", re.MULTILINE)
    names = pattern.findall((ROOT / path).read_text())
    return {f"scaling/{name.strip()}.py" for pair in names for text in pair if text for name in text.split(",")}


def test_what_is_shipped_needs_the_standard_library_alone():
    """Or a node without our code could not even read it."""
    import ast

    allowed = sys.stdlib_module_names | {"scaling"}
    for name in ("nodes", "checkout", "fetching"):
        tree = ast.parse((ROOT / f"scaling/{name}.py").read_text())
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {module.partition(".")[0] for module in imported} <= allowed
        ours = {module for module in imported if module.startswith("scaling")}
        assert ours <= {"scaling.checkout", "scaling.fetching"}
