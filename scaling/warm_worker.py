"""Run stages again and again in one process: whoever starts it says when, a line of input each time.

Started by its path, not imported, by scaling/warm.py: working folder and PYTHONPATH are a folder with the stages of any
revision, so nothing here may come from this revision. Answers a line of JSON: {"error": null} or what went wrong.
"""

import importlib
import json
import os
import sys


def main() -> None:
    """Run the stages that are named as arguments, in their order, for each line that comes in."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # stages print, and what they start does
        problems = importlib.import_module("digits.errors").PipelineError
        for _ in sys.stdin:
            error = None
            try:
                for name in sys.argv[1:]:
                    # Not before: train settles what torch finds in the environment when it is loaded.
                    importlib.import_module(f"stages.{name}").main()
            except problems as problem:
                error = str(problem)
            except SystemExit as ended:  # of several processes that train; what failed in one of them, it has printed
                error = f"ended with {ended.code}"
            print(json.dumps({"error": error}), file=answers, flush=True)


if __name__ == "__main__":
    main()
