"""Tables as lines of text, which a pipe gets as whole as a terminal does."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows of equal length as lines with columns below each other; two spaces between them, none at the end.

    Args:
      right: columns that are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{'>' if n in right else '<'}{widths[n]}}" for n, cell in enumerate(row)).rstrip()
        for row in rows
    )


def size(count: int) -> str:
    """A number of bytes for people: "0 B", "1.5 kB", "23.4 MB" (powers of ten)."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if unit != "B" else f"{count} B"
        count /= 1000
    return f"{count:.1f} GB"
