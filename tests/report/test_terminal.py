"""What a person sees in the terminal at the end."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from agent.report.findings import Model
from agent.report.terminal import final_table, line, picked, student, triaged
from tests.report import sample


def shown(what: Any) -> str:
    out = io.StringIO()
    Console(width=110, color_system=None, file=out).print(what)
    return out.getvalue()


def test_the_table_names_every_figure_and_what_it_was_held_against() -> None:
    said = shown(final_table(sample.news()))
    for part in (
        "526 labels", "$0.0189", "of $0.0200", "57 texts", "87.8", "78.1", "90.5", "92.8", "against gold labels",
        "by 14 answers already bought", "$0.0004; they wait for a person",
        "audit     nothing is known yet: none of 100 items",
        "89.8 % to 94.9 %", "budget is used up", "nothing that can be told from chance", "400 texts",
    ):  # fmt: skip
        assert part in said


def test_an_empty_job_has_a_table_too() -> None:
    said = shown(final_table(sample.nothing()))
    assert said.count("not measured") == 4
    assert "nan" not in said
    assert "None" not in said


def test_names_with_markup_or_escape_codes_show_as_they_are_written() -> None:
    hostile = "[bold red]x[/] \x1b[31m"
    findings = replace(sample.news(), stop=hostile, models=(Model(hostile, sample.estimate(0.5, 4, hostile)),))
    said = shown(final_table(findings)) + shown(picked(1, {hostile: 3})) + shown(line(hostile, hostile))
    assert "[bold red]x[/]" in said
    assert "\x1b" not in said


def test_lines_of_a_round() -> None:
    assert "round 7   picked 80 (70 unsure, 10 at random)" in shown(picked(7, {"unsure": 70, "random": 10}))
    assert "88 accepted · 12 for people (queue: 57)" in shown(triaged(88, 12, 0, 57))
    figures = {"accuracy": 0.913, "accuracy_lo": 0.89, "accuracy_hi": 0.93, "measured_on": "gold",
               "kappa": 0.98, "beside": {"labels": {"selected_labels": 30, "random_labels": 30, "selected": 0.9,
                                                    "random": 0.871, "difference": 0.029}}}  # fmt: skip
    said = shown(student(figures))
    assert "91.3" in said
    assert "87.1" in said
    assert "kappa 0.980" in said
    assert "not measured" in shown(student({"accuracy": float("nan")}))


def test_the_end_says_what_the_same_and_more_money_would_have_bought() -> None:
    said = " ".join(shown(final_table(sample.news())).split())
    assert "+1.8 points over chance with 101 labels against 108 random ones for $0.0028 each" in said
    assert "on the same 400 texts" in said
    assert "the next $0.0189 (as much again) would have bought +1.2 points (95 %: +0.3 to +2.6)" in said
    said = " ".join(shown(final_table(sample.banking())).split())
    assert "cannot be told yet: 3 rounds were measured alike" in said
