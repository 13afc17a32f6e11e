"""Class names as people and models write them: matching a cell or an answer to the job's own names."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence


def unknown(name: object, names: Sequence[str]) -> str:
    """The sentence for a label that is not in the job: names the nearest known one."""
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    if near:
        return f"unknown label {str(name)[:80]!r}; did you mean {near[0]!r}?"
    some = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"unknown label {str(name)[:80]!r}; the job's labels are {some}"


def match(name: object, names: Sequence[str]) -> str | None:
    """The job's own spelling of `name`, ignoring blanks around it, quotes and case; None where there is none.

    Case is ignored only where that leaves one candidate, so that `US` and `us` stay two labels.
    """
    if name is None or (isinstance(name, float) and math.isnan(name)):
        return None  # an empty cell is no label, also where one is called "none" or "nan"
    whole = str(name).strip()
    said = whole.strip("\"'`").strip()
    for exact in (whole, said):  # a name may have quotes of its own
        if exact in names:
            return exact
    same = [n for n in names if n.casefold() == said.casefold()]
    return same[0] if len(same) == 1 else None
