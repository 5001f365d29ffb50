"""Say under each result which of the things that it holds for are others by now, or that none is any longer.

python -m benchmarks.stale      until it is measured again
"""

from benchmarks.basis import others
from benchmarks.machine import RESULTS, rewritten

STALE = "Not measured again since these changed: "


def main() -> None:
    """Mark the results, also where they are quoted."""
    for path in sorted(RESULTS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        rewritten(path, marked(text))


def marked(text: str) -> str:
    """A result's text with the mark that it needs."""
    text = text.partition(f"\n{STALE}")[0]
    changed = others(text)
    return f"{text}\n{STALE}{', '.join(f'`{name}`' for name in changed)}.\n" if changed else text


if __name__ == "__main__":
    main()
