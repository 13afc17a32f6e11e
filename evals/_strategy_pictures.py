"""Draws what each strategy picks on the same two-dimensional pool: the pictures of docs/strategies.md.

    python -m evals._strategy_pictures [NAME ...]

Writes docs/images/strategies/NAME.png for each strategy, `cold_start` and `batch`. Same code, same seed, same picks.
Needs matplotlib.

The pool is made up: two frequent classes that overlap, a rare one, and a heap of the second class where nobody has
labelled anything, so that the student takes it for the first. Its points lie on a plane that is put on a sphere,
since sentence encoders give vectors of length one: distances and cosines then say the same.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from agent.records import Floats, Rows
from agent.selection import STRATEGIES, Chosen, State, Trial, cold_start, compose, find_strategy
from agent.student.head import Head

FOLDER = Path(__file__).parent.parent / "docs" / "images" / "strategies"
SEED = 7
PICKS = 12
BATCH = 20  # of the picture of a whole batch
LABELLED = (11, 10, 2)  # texts of each class
OTHERS = ("cold_start", "batch")
WIDTH, HEIGHT = (-3.6, 3.6), (-2.6, 2.9)

# place, spread and count of each heap of points, and its class; the last one holds no label
HEAPS = (
    ((-1.3, -0.2), (0.75, 0.6), 170, 0),
    ((0.9, -0.3), (0.75, 0.65), 150, 1),
    ((2.7, -1.9), (0.3, 0.24), 16, 2),
    ((-1.7, 2.1), (0.35, 0.25), 64, 1),
)
COLOURS = ("#3b6fb6", "#d98a1f", "#2f9e63")
TINTS = ("#e3ebf7", "#fbeedb", "#dcf2e6")
INK, FAR, CHANCE, BY_CLASS = "#1d1d28", "#7b2fd0", "#6b6b76", "#c2185b"
OF_SLICE = {"uncovered": FAR, "random": CHANCE}


@dataclass(frozen=True, eq=False)
class Example:
    """The pool, and what a student knows of it.

    Attributes:
        plane: (p, 2) where each text lies in the picture.
        truth: (p,) classes.
        head: the student, taught by the labelled texts.
        state: what strategies see; the extras of some are made up (prices, trust, mentions, history).
    """

    plane: Floats
    truth: Rows
    head: Head
    state: State


def on_a_sphere(plane: Floats) -> Floats:
    """(p, 2) to (p, 3) vectors of length one."""
    lifted = np.column_stack([0.35 * plane, np.ones(len(plane))])
    return np.asarray(lifted / np.linalg.norm(lifted, axis=1, keepdims=True), dtype=np.float32)


@cache
def example() -> Example:
    """The same in every process."""
    rng = np.random.default_rng(SEED)
    plane = np.concatenate([rng.normal(at, wide, (count, 2)) for at, wide, count, _ in HEAPS]).astype(np.float32)
    truth = np.concatenate([np.full(count, of_class) for *_, count, of_class in HEAPS])
    rows = np.arange(len(plane))
    known = rows[: sum(count for *_, count, _ in HEAPS[:-1])]
    drawn = [rng.choice(known[truth[known] == c], count, replace=False) for c, count in enumerate(LABELLED)]
    labelled = np.sort(np.concatenate(drawn))
    vectors = on_a_sphere(plane)
    targets = np.eye(3, dtype=np.float32)[truth[labelled]]
    head = Head(3)
    head.fit(vectors[labelled], targets, np.ones(len(labelled), np.float32), rng)
    candidates = np.setdiff1d(rows, labelled)
    said = head.predict(vectors[candidates])
    state = State(
        candidates=candidates,
        doubt=1 - said.max(axis=1),
        vectors=lambda some: vectors[some],
        probabilities=said,
        labelled=labelled,
        targets=targets,
        foreseen=head.out_of_fold,
        penalty=head.l2,
        trust=np.where(plane[labelled, 1] > 0, 0.35, 1).astype(np.float32),
        prices=prices(plane[candidates]),
        mentions=lambda some: mentioned(plane)[some],
        class_vectors=on_a_sphere(np.array([heap[0] for heap in HEAPS[:3]], np.float32)),
        history=(Trial("margin", 0.55, 30, 0), Trial("power", 0.6, 30, 0), Trial("balanced", 0.7, 30, 0)),
        seed=(SEED, 1),
    )
    return Example(plane, truth, head, state)


def prices(plane: Floats) -> Floats:
    """Micro-dollars: dearer from left to right, up to eight times."""
    return np.asarray(50 * 8 ** ((plane[:, 0] - WIDTH[0]) / (WIDTH[1] - WIDTH[0])), dtype=np.float32)


def mentioned(plane: Floats) -> Any:
    """(p, 14) CSR: one of twelve entities for each corner of the plane, which one text in eight mentions, and two
    that may be mentioned anywhere."""
    rng = np.random.default_rng(SEED + 1)
    corner = np.clip((plane[:, 0] + 3.6) / 7.2 * 4, 0, 3).astype(int) + 4 * np.clip(
        (plane[:, 1] + 2.6) / 5.5 * 3, 0, 2
    ).astype(int)
    found = np.zeros((len(plane), 14), np.float32)
    found[np.arange(len(plane)), corner] = rng.random(len(plane)) < 0.12
    found[:, 12:] = rng.random((len(plane), 2)) < 0.05
    return sparse.csr_array(found)


def picks(name: str) -> list[Chosen]:
    """What is chosen, as a job chooses it; without the random slice unless a whole batch is drawn."""
    known, rng = example().state, np.random.default_rng(SEED)
    if name == "cold_start":
        rows = np.arange(len(example().plane))
        return cold_start(rows, known.vectors, PICKS, 0.2, rng, class_vectors=known.class_vectors)
    if name == "batch":
        return compose(known, find_strategy("adaptive"), BATCH, 0.2, rng)
    if name != "trusted":
        known = replace(known, trust=None)
    return compose(known, find_strategy(name), PICKS, 0.0, rng)


# The drawing ----------------------------------------------------------------------------------------------------


def draw(name: str, folder: Path = FOLDER) -> Path:
    """One picture; returns where it is."""
    from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]

    figure, axes = pyplot.subplots(figsize=(4.4, 3.36), dpi=200)
    given = example()
    if name != "cold_start":
        _regions(axes, given.head)
    _pool(axes, given, name)
    if name != "cold_start":
        _labelled(axes, given, name)
    batch = picks(name)
    where = given.plane[[chosen.row for chosen in batch]]
    for number, (chosen, at, sign) in enumerate(zip(batch, where, apart(where), strict=True), start=1):
        _pick(axes, number, chosen, at, sign)
    axes.set(xlim=WIDTH, ylim=HEIGHT, xticks=[], yticks=[], aspect="equal")
    for side in axes.spines.values():
        side.set_color("#c9c9d1")
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.995)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    _save(figure, path)
    pyplot.close(figure)
    return path


def _regions(axes: Any, head: Head) -> None:
    across, up = np.meshgrid(np.linspace(*WIDTH, 440), np.linspace(*HEIGHT, 336))
    said = head.predict(on_a_sphere(np.column_stack([across.ravel(), up.ravel()]).astype(np.float32)))
    likeliest = said.argmax(axis=1).reshape(across.shape)
    axes.contourf(across, up, likeliest, levels=[-0.5, 0.5, 1.5, 2.5], colors=TINTS, antialiased=False)


def _pool(axes: Any, given: Example, name: str) -> None:
    rows = given.state.candidates if name != "cold_start" else np.arange(len(given.plane))
    x, y = given.plane[rows].T
    size: Any = 7
    if name == "priced":
        size = prices(given.plane[rows]) / 14
    axes.scatter(x, y, s=size, c=[COLOURS[c] for c in given.truth[rows]], alpha=0.6, linewidths=0, zorder=2)
    if name == "knowledge":
        mentions = given.state.mentions
        assert mentions is not None
        something = np.asarray(mentions(rows).sum(axis=1)).ravel() > 0
        axes.scatter(x[something], y[something], s=20, facecolors="none", edgecolors=INK, linewidths=0.5, zorder=2)


def _labelled(axes: Any, given: Example, name: str) -> None:
    rows = given.state.labelled
    x, y = given.plane[rows].T
    told = {"s": 42, "c": [COLOURS[c] for c in given.truth[rows]], "marker": "s", "zorder": 3}
    axes.scatter(x, y, edgecolors="white", linewidths=1.0, **told)
    if name == "trusted" and given.state.trust is not None:
        poor = given.state.trust < 1
        axes.scatter(x[poor], y[poor], s=30, marker="x", c="white", linewidths=1.2, zorder=4)


def apart(places: Floats, least: float = 0.23) -> Floats:
    """(k, 2) where the numbers of the picks at `places` stand, so that none hides another, inside the picture."""
    signs = places.astype(np.float64)
    signs += 1e-3 * np.column_stack([np.cos(np.arange(len(signs))), np.sin(np.arange(len(signs)))])
    inside = [(least + 0.15, most - 0.15) for least, most in (WIDTH, HEIGHT)]
    for _ in range(200):
        away = signs[:, None] - signs[None]
        length = np.linalg.norm(away, axis=2, keepdims=True)
        np.fill_diagonal(length[..., 0], np.inf)
        push = np.maximum(least - length, 0) / 2
        signs += (away / length * push).sum(axis=1)
        signs = np.column_stack([np.clip(signs[:, i], *ends) for i, ends in enumerate(inside)])
    return np.asarray(signs, dtype=np.float32)


def _pick(axes: Any, number: int, chosen: Chosen, at: Floats, sign: Floats) -> None:
    ink = OF_SLICE.get(chosen.slice, INK)
    if chosen.why.get("strategy") == "zero_shot" or chosen.why.get("short_class") is not None:
        ink = BY_CLASS
    if np.linalg.norm(at - sign) > 0.02:
        axes.plot(*np.stack([at, sign]).T, color=ink, linewidth=0.7, zorder=5)
        axes.scatter(*at, s=9, c=ink, linewidths=0, zorder=5)
    axes.scatter(*sign, s=74, c=ink, edgecolors="white", linewidths=0.9, zorder=6)
    say: Mapping[str, Any] = {"color": "white", "fontsize": 5.6, "fontweight": "bold", "zorder": 7}
    axes.text(*sign, str(number), ha="center", va="center_baseline", **say)


def _save(figure: Any, path: Path) -> None:
    """With few colours, and without the date or the version: the same picture is the same file."""
    from io import BytesIO

    from PIL import Image

    drawn = BytesIO()
    figure.savefig(drawn, format="png", facecolor="white", metadata={"Software": None})
    image = Image.open(drawn).convert("RGB").quantize(192, dither=Image.Dither.NONE)
    image.save(path, optimize=True)


def main() -> None:
    import matplotlib  # type: ignore[import-not-found, unused-ignore]

    matplotlib.use("agg")
    for name in sys.argv[1:] or [*STRATEGIES, *OTHERS]:
        path = draw(name)
        print(f"{path.name:24} {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
