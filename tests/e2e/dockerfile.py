"""A Dockerfile without an engine: what it copies, runs, sets and starts, for those who do that by hand."""

import json
import re
import shutil
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]


class Image:
    """The instructions of the one stage that there is."""

    def __init__(self, context: Path) -> None:
        self.context = context
        text = re.sub(r"^\s*#.*\n", "", (context / "Dockerfile").read_text(), flags=re.MULTILINE)
        lines = re.sub(r"\\\n\s*", "", text).splitlines()
        self.instructions = [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]

    def values(self, name: str) -> list[str]:
        return [value for instruction, value in self.instructions if instruction == name]

    def words(self, name: str) -> list[str]:
        """Of an instruction in its form as a JSON list."""
        return json.loads(self.values(name)[-1])

    @property
    def env(self) -> dict[str, str]:
        return dict(part.split("=", 1) for value in self.values("ENV") for part in value.split())

    @property
    def health(self) -> list[str]:
        """Command of the health check."""
        return json.loads(self.values("HEALTHCHECK")[-1].partition("CMD ")[2])

    def copy(self, value: str, to: Path) -> None:
        """Carry out a COPY into the working folder, of what .dockerignore lets through."""
        *sources, target = value.split()
        for source in sources:
            for path in [self.context / source, *(self.context / source).rglob("*")]:
                inside = path.relative_to(self.context)
                if path.is_file() and not self.ignored(inside.as_posix()):
                    copied = to / (inside.name if target == "./" else Path(target) / inside.relative_to(source))
                    copied.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, copied)

    def ignored(self, name: str) -> bool:
        """Whether .dockerignore keeps a file out: the last pattern that matches it or a folder above it decides."""
        ignored = False
        path = PurePosixPath(name)
        for line in (self.context / ".dockerignore").read_text().splitlines():
            pattern = line.removeprefix("!").strip("/")
            if pattern and not line.startswith("#"):
                expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
                if any(re.fullmatch(expression, str(part)) for part in (path, *path.parents)):
                    ignored = not line.startswith("!")
        return ignored
