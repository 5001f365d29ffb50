"""hooks/warm.py: a stage in a copy of a process that has torch goes as if it had been started alone."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.project import Project, cold, wait_for

pytestmark = pytest.mark.e2e

STAGE = """\
import os, sys, time
from pathlib import Path
from stages.beside import NAME

print(NAME, Path.cwd(), __name__, sys.argv[1:], os.environ["WORD"], "torch" in sys.modules)
print("in vain", file=sys.stderr)
Path("pid").write_text(str(os.getpid()))
while "WAIT" in os.environ:
    time.sleep(0.05)
sys.exit(3)
"""


@pytest.fixture
def project(env, tmp_path) -> Project:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/beside.py").write_text("NAME = 'of this folder'\n")
    (tmp_path / "stages/train.py").write_text(STAGE)
    wait_for(Path(env["WARM"]).exists)
    return Project(tmp_path, env | {"WORD": "given"})


@pytest.mark.parametrize("warm", [True, False])
def test_folder_environment_streams_and_exit_code_are_those_of_the_command(project, warm):
    env = project.env if warm else cold(project.env)
    answer = subprocess.run(
        ["python", "-m", "stages.train"], cwd=project.path, env=env, capture_output=True, text=True, check=False
    )
    assert answer.stdout == f"of this folder {project.path} __main__ [] given {warm}\n"
    assert (answer.returncode, answer.stderr) == (3, "in vain\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_command(project, number):
    process = subprocess.Popen(["python", "-m", "stages.train"], cwd=project.path, env=project.env | {"WAIT": "1"})
    wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text())
    copy = int((project / "pid").read_text())
    assert copy != process.pid
    process.send_signal(number)
    assert process.wait() == -number
    wait_for(lambda: not Path(f"/proc/{copy}").exists())


def test_the_command_ends_with_it(project):
    process = subprocess.Popen(["python", "-m", "stages.train"], cwd=project.path, env=project.env | {"WAIT": "1"})
    wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text())
    project.run("kill", "-KILL", (project / "pid").read_text())
    assert process.wait() == -signal.SIGKILL


def test_where_nobody_listens_it_goes_alone(project):
    project.env["WARM"] += " is not here"
    output = project.run("python", "-m", "stages.train", fails=True)
    assert output == f"in vain\nof this folder {project.path} __main__ [] given False\n"
