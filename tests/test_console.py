"""A run as it is watched: short lines on a narrow terminal, whole lines in a file."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from agent.asking import Asking
from agent.console import Lines
from agent.ledger import Purse
from agent.records import MicroDollars

FIGURES = {"accuracy": 0.913, "accuracy_lo": 0.89, "accuracy_hi": 0.93, "measured_on": "gold", "random_labels": 60,
           "accuracy_random": 0.871, "selected_equal": 0.9, "equal_labels": 60, "kappa": 0.98,
           "beside": {"labels": {"selected_labels": 60, "random_labels": 60, "metric": "accuracy", "n": 400,
                                 "selected": 0.9, "random": 0.871, "difference": 0.029, "lo": 0.001, "hi": 0.057,
                                 "measured_on": "gold"}}}  # fmt: skip


def watched(width: int, *, terminal: bool) -> tuple[Lines, io.StringIO]:
    out = io.StringIO()
    return Lines(Console(file=out, width=width, force_terminal=terminal, color_system=None, highlight=False)), out


def purse(ambiguous: int = 0) -> Purse:
    return Purse(MicroDollars(5_000_000), spent=1_834_200, reserved=0, ambiguous_count=ambiguous)


def test_a_long_line_goes_on_under_its_own_beginning_on_a_narrow_terminal() -> None:
    lines, out = watched(80, terminal=True)
    lines.measured(FIGURES)
    first, *rest = out.getvalue().splitlines()
    assert first.startswith("student   accuracy 91.3")
    assert rest
    assert all(line.startswith(" " * 10) and line[10] != " " for line in rest)
    assert all(len(line) <= 80 for line in (first, *rest))


def test_a_file_gets_whole_lines() -> None:
    lines, out = watched(80, terminal=False)
    lines.measured(FIGURES)
    (line,) = out.getvalue().splitlines()
    assert "kappa 0.980" in line


@pytest.mark.parametrize("ambiguous", [0, 12])
def test_what_an_asking_came_to_is_money_and_speed_and_what_is_unclear(ambiguous: int) -> None:
    lines, out = watched(120, terminal=False)
    lines.asking("local", Asking(total=20, done=20, known=3), purse(ambiguous))
    lines.stopped("two rounds, and stop.max_rounds is 2")
    said = out.getvalue()
    assert said.startswith("asked     local 20/20 (3 known already) · ")
    assert "labels/s · $1.8342 of $5.0000" in said
    assert ("12 ambiguous" in said) == (ambiguous > 0)


def test_what_comes_after_the_last_answer_is_no_part_of_their_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("agent.console.time.monotonic", lambda: now)
    lines, out = watched(120, terminal=False)
    state = Asking(total=20)
    lines.asking("local", state, purse())
    now, state.done = 101.0, 20
    lines.asking("local", state, purse())
    now = 161.0  # the answers were read, and compared with their neighbours
    lines.triaged(20, 0, 0, 0)
    assert "20.0 labels/s" in out.getvalue()
