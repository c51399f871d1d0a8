"""How numbers and counts stand in the page, and its templates."""

import functools
import math
from typing import Any

import jinja2


def number(value: Any, digits: int = 4) -> str:
    """A value as it stands in a table: `digits` significant digits, a dash for what is no number."""
    if isinstance(value, bool) or value is None:
        return "–" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
        if value and not 1e-3 <= abs(value) < 1e6:
            return f"{value:.{digits - 1}g}"
        whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
        return f"{value:,.{max(0, digits - whole)}f}"
    return str(value)


def counted(count: int, what: str) -> str:
    """A count with its noun: "1 picture", "1,200 pictures"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


@functools.cache
def template(text: str) -> jinja2.Template:
    """A template of the page or of a section; what is put in is escaped, and a name without a value is an error."""
    return jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined).from_string(text)
