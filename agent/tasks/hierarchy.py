"""Labels whose names are paths, such as `sport/football`: what stands before the last slash is the group of a label.

Names make a tree where at least two of them begin alike: `n/a` and `and/or` are just names. Level 1 is the broadest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from agent.records import Floats

MARK = "/"


def parts(name: str) -> tuple[str, ...]:
    """The steps of a path; a name that is none is one step.

    >>> parts("sport/football"), parts("a//b")
    (('sport', 'football'), ('a//b',))
    """
    found = tuple(name.split(MARK))
    return found if all(part.strip() for part in found) else (name,)


def parent(name: str) -> str:
    """The group of a label, "" where it has none."""
    return MARK.join(parts(name)[:-1])


def at_level(name: str, level: int) -> str:
    """The first `level` steps of a path; the whole of a shorter one."""
    return MARK.join(parts(name)[:level])


@cache
def depth(names: tuple[str, ...]) -> int:
    """Steps of the longest path, where names make a tree: at least two begin with the same step and go on. Else 1."""
    if not names:
        return 1
    firsts = [parts(name)[0] for name in names if len(parts(name)) > 1]
    return max(len(parts(name)) for name in names) if len(set(firsts)) < len(firsts) else 1


def is_tree(names: Sequence[str]) -> bool:
    return depth(tuple(names)) > 1


def ordered(names: Sequence[str]) -> tuple[str, ...]:
    """Names with those of one group beside each other, groups and names as they come first; flat ones as they are."""
    if not is_tree(names):
        return tuple(names)
    places: dict[str, int] = {}
    for name in names:
        for level in range(1, len(parts(name)) + 1):
            places.setdefault(at_level(name, level), len(places))

    def key(name: str) -> list[int]:
        return [places[at_level(name, level)] for level in range(1, len(parts(name)) + 1)]

    return tuple(sorted(names, key=key))


@cache
def parents(names: tuple[str, ...]) -> tuple[str, ...]:
    """Every group, at any level, in the order of `ordered`; none of flat names."""
    if not is_tree(names):
        return ()
    found: dict[str, None] = {}
    for name in ordered(names):
        found |= {at_level(name, level): None for level in range(1, len(parts(name)))}
    return tuple(found)


def listed(labels: Mapping[str, str], other: str | None = None) -> list[dict[str, Any]]:
    """Names and descriptions as a prompt lists them: of a tree with the `parent` of each, those of one beside each
    other; and which one is the `other`."""
    is_path = is_tree(tuple(labels))
    return [
        {"name": n, "description": labels[n]}
        | ({"parent": parent(n)} if is_path else {})
        | ({"other": True} if n == other else {})
        for n in ordered(tuple(labels))
    ]


def accuracy_at(level: int) -> str:
    """What the share of labels is called that are right at a level."""
    return f"accuracy_level_{level}"


def within(names: Sequence[str], group: str) -> list[int]:
    """Places of the labels that lie in a group, itself among them where it is a label too."""
    return [i for i, name in enumerate(names) if name == group or name.startswith(group + MARK)]


def summed(probabilities: Floats, names: Sequence[str]) -> Floats:
    """(n, C) probabilities of labels → (n, P) of `parents`, each the sum over the labels that lie in it."""
    groups = parents(tuple(names))
    out = np.zeros((len(probabilities), len(groups)), np.float32)
    for k, group in enumerate(groups):
        out[:, k] = probabilities[:, within(names, group)].sum(axis=1)
    return np.minimum(out, np.float32(1.0))
