"""One file per stage of dvc.yaml, run as `python -m stages.<name>` from the top folder."""

import sys

# Python before 3.13.2 does not notice that a full disk cut a .pyc short (python/cpython#126606), and such a file stops
# every later run, also once there is room again.
sys.dont_write_bytecode = True
