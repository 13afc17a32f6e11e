"""What of a machine may stand on a card that others read: names of files, not the folders that they lie in.

Knows names and plain settings.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SOMEWHERE = re.compile(r"~|/|\.{1,2}[/\\]|[A-Za-z]:[\\/]")
"""How a path begins that leads out of where one is, or says where that is."""


def public_name(encoder: str) -> str:
    """Of a folder or file, its own name and not the whole path, which tells about the machine; others as they are."""
    return Path(encoder).name if Path(encoder).exists() else encoder


def public_facts(facts: Any) -> Any:
    """Facts and settings of a job with paths as the names of their files, also after `--option=`, and without where
    its store lies. What labels are called is left as it is: a label may be a path."""
    if isinstance(facts, dict):
        return {k: v if k == "labels" else public_facts(v) for k, v in facts.items() if k != "store"}
    if isinstance(facts, list | tuple):
        return [public_facts(value) for value in facts]
    return _bare(facts) if isinstance(facts, str) and "\n" not in facts else facts


def _bare(value: str) -> str:
    option, mark, path = value.partition("=")
    if SOMEWHERE.match(value) or not mark:
        option, mark, path = "", "", value
    if not SOMEWHERE.match(path):
        return value
    return option + mark + re.split(r"[\\/]", path.rstrip("/\\"))[-1]
