"""Kill the service under load, again and again on one log: every answer has to be in it, and it has to open clean.

python -m benchmarks.crashes [--kills 50] [--seed 0]
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.asking import Answer, asking
from benchmarks.machine import publish, table
from benchmarks.running import SMOKE, free_port, service, started, workspace
from delivery.log import as_bytes
from digits.storage import read_arrays

LONGEST = 1.0  # seconds of load before a kill
LOG = "logs/production.db"


def main() -> None:
    """Kill, look at what is left, and start again from that."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)  # noqa: S311, of times
    answered, lost, unclean, rows = [], 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = workspace(folder / "service")
        for kill in range(arguments.kills):
            port = free_port()
            with started(service(port), port, place) as process, asking(port, folder / "answers") as client:
                time.sleep(moments.uniform(0, LONGEST))
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            answers = [answer for answer in client.answers if answer.status]
            said, missing, rows = look(place, folder / "left", answers)
            answered.append(len(answers))
            unclean += said != "ok"
            lost += missing
            print(f"kill {kill + 1}: {len(answers)} answers, {missing} not in the log, integrity: {said}", flush=True)
    header = ["kills", "answered predictions", "of them not in the log", "logs that did not open clean"]
    body = table(header, [[str(arguments.kills), f"{sum(answered):,}", str(lost), str(unclean)]])
    body += (
        f"\n\n`kill -9` at a random moment, up to {LONGEST:g} s after 16 connections began to ask for one image after "
        f"the other; {statistics.median(answered):,.0f} answers between two kills ({min(answered):,} to "
        f"{max(answered):,}), all in one SQLite log, {rows:,} predictions in the end. In the log means by its id, with "
        f"the answered label and version and the pixels that were sent. Clean means `PRAGMA integrity_check` of what "
        f"the kill left."
    )
    command = f"python -m benchmarks.crashes --kills {arguments.kills} --seed {arguments.seed}"
    publish("crashes", command, body, "fastapi", "uvicorn", "sqlalchemy")


def look(place: Path, left: Path, answers: list[Answer]) -> tuple[str, int, int]:
    """What SQLite says of a copy of the log, how many answers it does not have, and its number of predictions.

    A copy, so that the service itself has to recover what the kill left.
    """
    (images,) = read_arrays(SMOKE, "images")
    shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(place / "logs", left)
    with sqlite3.connect(left / Path(LOG).name) as log:
        said = "; ".join(line for (line,) in log.execute("PRAGMA integrity_check"))
        missing = 0
        for answer in answers:
            (prediction,) = answer.body["predictions"]
            stated = (prediction["label"], answer.body["version"], images[answer.image].tobytes())
            found = "SELECT label, version, pixels FROM predictions WHERE id = ?"
            missing += log.execute(found, (as_bytes(prediction["id"]),)).fetchone() != stated
        (rows,) = log.execute("SELECT count(*) FROM predictions").fetchone()
    log.close()
    return said, missing, rows


if __name__ == "__main__":
    main()
