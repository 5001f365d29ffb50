import os
import shutil
from pathlib import Path

paths = [Path(line) for line in os.environ["PATHS"].split("\n") if line]
found = [Path(file) for path in paths for file in sorted(Path().glob(str(path)))]
missing = [str(path) for path in paths if not list(Path().glob(str(path)))]
assert not missing, f"no such file: {missing}"

folder = Path(os.environ["STAND_IN_RECORD"], "artifacts", os.environ["NAME"])
shutil.rmtree(folder, ignore_errors=True)  # of an earlier run
for path in found:
    target = folder / (path.name if len(found) == 1 else path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copyfile(path, target)
