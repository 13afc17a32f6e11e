"""What the page's tables show: the findings sorted, cut and measured for the eye. Numbers in, plain values out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.report import wording
from agent.report.findings import Confusion, Model, Tally
from agent.report.sums import Money
from agent.tasks.hierarchy import at_level, depth, is_tree, ordered, parent

MATRIX_AT_MOST = 12  # classes: beyond that a matrix is a carpet, and the confused pairs say more
PAIRS = 20
KINDS = ("accepted", "person", "seed", "waiting")


def meter(money: Money) -> dict[str, str]:
    """How full the budget is: widths in per cent of the cap, and the same in words."""
    cap = max(money.cap, 1)
    settled = max(0, money.spent - money.ambiguous)
    return {
        "settled": f"{min(100.0, 100 * settled / cap):.2f}",
        "ambiguous": f"{min(100.0, 100 * money.ambiguous / cap):.2f}",
        "share": wording.percent(money.spent / cap),
        "left_dollars": wording.dollars(max(0, money.cap - money.spent - money.reserved)),
        "settled_dollars": wording.dollars(settled),
    }


def classes(tallies: Sequence[Tally]) -> dict[str, Any]:
    """The bars of the label distribution, the longest first; classes without any label close it. Labels that are
    paths stand group by group."""
    most = max((t.total for t in tallies), default=0) or 1
    names = [t.name for t in tallies]
    place = {group: k for k, group in enumerate(dict.fromkeys(map(parent, ordered(names))))}
    group = [place[parent(name)] if is_tree(names) else 0 for name in names]
    order = sorted(range(len(tallies)), key=lambda i: (group[i], -tallies[i].total, i))
    rows = [
        {
            "name": tallies[i].name,
            "path": f"tallies.{i}",
            **{kind: getattr(tallies[i], kind) for kind in KINDS},
            "width": {kind: f"{100 * getattr(tallies[i], kind) / most:.2f}" for kind in KINDS},
        }
        for i in order
    ]
    return {
        "tallies": rows if any(t.total for t in tallies) else [],
        "any_seed": any(t.seed for t in tallies),
        "empty_classes": sum(not t.total for t in tallies),
    }


def confusions(found: Confusion | None) -> dict[str, Any]:
    """The confusion matrix where it can be read, else the most confused pairs."""
    if found is None:
        return {"matrix": None, "pairs": [], "more_pairs": 0}
    if len(found.names) > MATRIX_AT_MOST:
        pairs = found.pairs()
        return {"matrix": None, "pairs": pairs[:PAIRS], "more_pairs": max(0, len(pairs) - PAIRS)}
    counts = {(c.truth, c.given): c.count for c in found.cells}
    rows = []
    for truth in found.names:
        total = sum(counts.get((truth, given), 0) for given in found.names)
        cells = [(given, counts.get((truth, given), 0)) for given in found.names]
        rows.append(
            {
                "name": truth,
                "cells": [
                    {"count": n, "share": round(n / max(total, 1), 3), "hit": given == truth} for given, n in cells
                ],
                "recall": wording.percent(counts.get((truth, truth), 0) / total, 0) if total else "no text",
            }
        )
    return {"matrix": {"names": found.names, "rows": rows}, "pairs": [], "more_pairs": 0}


def levels(models: Sequence[Model], names: Sequence[str]) -> list[dict[str, Any]]:
    """How often each model is right at each level of labels that are paths, the broadest first and the labels
    themselves last: (level, how many labels there are at it, [(title, place in the findings, estimate)])."""
    steps = depth(tuple(names))
    rows = []
    for level in range(1, steps + 1) if any(m.levels for m in models) else ():
        found = []
        for k, model in enumerate(models):
            if level <= len(model.levels):
                found.append((model.name, f"models.{k}.levels.{level - 1}", model.levels[level - 1]))
            elif level == steps and model.levels and model.accuracy is not None:
                found.append((model.name, f"models.{k}.accuracy", model.accuracy))
        rows.append({"level": level, "labels": len({at_level(n, level) for n in names}), "models": found})
    return rows


def settings(found: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Every setting as (section, [(key, value)]); keys of what is nested are dotted, None is what is not set."""
    top = [(str(k), _said(v)) for k, v in found.items() if not isinstance(v, dict | list)]
    out = [("job", top)] if top else []
    for key, value in found.items():
        if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            out += [(f"{key} {v.get('name', i + 1)}", list(_flat(v, ""))) for i, v in enumerate(value)]
        elif key == "task" and isinstance(value, dict) and value.get("labels"):
            out.append(("task", list(_flat({k: v for k, v in value.items() if k != "labels"}, ""))))
            out.append(("labels", [(str(k), _said(v)) for k, v in dict(value["labels"]).items()]))
        elif isinstance(value, dict | list):
            out.append((str(key), list(_flat(value, "")) or [("", None)]))
    return out


def _flat(value: Any, path: str) -> Iterator[tuple[str, str | None]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, _said(value)


def _said(value: Any) -> str | None:
    """A value as a person would write it into the job file."""
    if value is None or value in ({}, []):
        return None
    if isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False, default=str)
