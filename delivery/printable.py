"""Text that nobody vouches for, such as reasons and names in tags, on one line of a terminal."""


def one_line(text: str, longest: int = 1000) -> str:
    """The text without line ends and control characters, which could pass for words of ours or steer a terminal."""
    words = " ".join(text.split())
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in words)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
