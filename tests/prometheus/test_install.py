import pytest

from tests.prometheus import install


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Nothing of the environment is touched, and no program found but those that a test puts into `bin`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(install, "FOLDER", tmp_path / "prometheus")
    monkeypatch.setattr(install, "BIN", tmp_path / "environment")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def put(folder, name, script="exit 0"):
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_without_packages_it_says_what_is_missing_and_where_to_get_it(folder, capsys):
    for name in ("prometheus", "promtool"):
        put(folder, name)
    install.main()
    said = capsys.readouterr().err
    assert said.startswith("warning: no alertmanager, amtool: some tests will fail; install Prometheus (2.42 or newer)")
    for name in ("alertmanager", "amtool"):
        put(folder, name)
    install.main()
    assert capsys.readouterr().err == ""
    assert not (folder / "prometheus").exists()


def test_a_download_that_fails_ends_it_with_what_was_said(folder):
    put(folder, "apt-get", "echo 'E: no such host' >&2; exit 100")
    with pytest.raises(SystemExit, match=r"error: `apt-get .* update` failed: E: no such host\nor install Prometheus"):
        install.main()
