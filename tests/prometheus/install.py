"""Install Prometheus and Alertmanager with their tools: python -m tests.prometheus.install

They come out of Debian's packages, or Ubuntu's, which are unpacked beside the environment and not installed: that takes
no rights of an administrator and starts no service. Elsewhere they have to be on the PATH already; what is missing is
said, and the tests that need it fail.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER, BIN = Path(sys.prefix) / "prometheus", Path(sys.prefix) / "bin"
# The last one where it is not part of the first, as in Debian 13.
PACKAGES = ("prometheus", "prometheus-alertmanager", "promtool")
# By the names that their makers give them; Debian has another for one.
PROGRAMS = {
    "prometheus": "prometheus",
    "promtool": "promtool",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "amtool",
}
# Debian's Alertmanager reads its templates from where it would be installed. Here that has to be another place, whose
# name is no longer: one of a file descriptor that is opened first.
TEMPLATES, DESCRIPTOR = b"/usr/share/prometheus/alertmanager", b"/proc/self/fd/9"
LAUNCHER = """#!/bin/sh
exec 9<"{templates}" && exec "{program}" "$@"
"""
ELSEWHERE = (
    "install Prometheus (2.42 or newer) and Alertmanager, so that prometheus, promtool, alertmanager and amtool are on "
    "the PATH; Homebrew, for one, has both: brew install prometheus alertmanager"
)


def main() -> None:
    """Unpack into an empty folder, or say what to do."""
    if shutil.which("apt-get") is None:
        if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
            print(f"warning: no {', '.join(missing)}: some tests will fail; {ELSEWHERE}", file=sys.stderr)
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    lists = FOLDER / "lists"
    lists.mkdir(parents=True)
    # Lists of its own, for the machine's may be missing or old. The user whom apt-get runs downloads as, where it may
    # choose, can't write here.
    settings = {"Dir::State::Lists": lists, "Dir::Cache": FOLDER / "cache", "APT::Sandbox::User": "root"}
    options = [f"--option={key}={value}" for key, value in {**settings, "Acquire::Languages": "none"}.items()]
    fetch("apt-get", *options, "--quiet=2", "update")
    for name in PACKAGES:
        if name in PROGRAMS and (FOLDER / "usr/bin" / name).exists():
            continue
        fetch("apt-get", *options, "--quiet=2", "download", name)
        (package,) = FOLDER.glob("*.deb")
        fetch("dpkg-deb", "--extract", str(package), ".")
        package.unlink()
    for folder in (lists, FOLDER / "cache"):
        shutil.rmtree(folder, ignore_errors=True)
    for name, packaged in PROGRAMS.items():
        link, packed = BIN / name, FOLDER / "usr/bin" / packaged
        link.unlink(missing_ok=True)
        content = packed.read_bytes()
        if TEMPLATES in content:
            packed.write_bytes(content.replace(TEMPLATES, DESCRIPTOR.ljust(len(TEMPLATES), b"/")))
            link.write_text(LAUNCHER.format(templates=f"{FOLDER}{TEMPLATES.decode()}", program=packed))
            link.chmod(0o755)
        else:
            link.symlink_to(os.path.relpath(packed, BIN))
        subprocess.run([link, "--version"], stdout=subprocess.DEVNULL, check=True)


def fetch(*command: str) -> None:
    """Run a command in the folder, or end with what it says."""
    answer = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"error: `{' '.join(command)}` failed: {answer.stderr.strip()}\nor {ELSEWHERE}")


if __name__ == "__main__":
    main()
