"""Run stages again and again in one process: whoever starts it says when, a line of input each time.

Started by its path, not imported, by scaling/warm.py: working folder and PYTHONPATH are a folder with the stages of any
revision, so nothing here may come from this revision. Answers a line of JSON: {"error": null} or what went wrong.
"""

import importlib
import json
import sys


def main() -> None:
    """Run the stages that are named as arguments, in their order, for each line that comes in."""
    answers, sys.stdout = sys.stdout, sys.stderr  # stages print, too
    error_of_users = importlib.import_module("digits.errors").PipelineError
    for _ in sys.stdin:
        error = None
        try:
            for name in sys.argv[1:]:
                # Not before: train settles what torch finds in the environment when it is loaded.
                importlib.import_module(f"stages.{name}").main()
        except error_of_users as problem:
            error = str(problem)
        print(json.dumps({"error": error}), file=answers, flush=True)


if __name__ == "__main__":
    main()
