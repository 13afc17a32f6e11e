"""Cells that a spreadsheet program leaves alone, and that come back exactly.

A cell that begins like a formula can run one when the table is opened (CWE-1236); an id such as 00123 or 12e7 comes
back as another number. Both get an apostrophe in front, which such programs show as text, and which `unguarded`
takes off again. A cell that looks guarded already gets one more, so that nothing is lost.
"""

from __future__ import annotations

import re

FORMULA = r"\s*[=+\-@＝＋－＠|%]|[\t\r\n\0]"
NUMBER = r"0\d+$|\d+(?:[.,]\d*)?[eE][+-]?\d+$|\d{16,}$"
_RISKY = re.compile(rf"'*(?:{FORMULA}|{NUMBER})")


def guarded(cell: str) -> str:
    """`cell` as it is safe to write."""
    return f"'{cell}" if _RISKY.match(cell) else cell


def unguarded(cell: str) -> str:
    """What `guarded` was given. A cell that a person typed without the apostrophe stays as it is."""
    return cell[1:] if cell.startswith("'") and _RISKY.match(cell) else cell
