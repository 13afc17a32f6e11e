"""What a person sees at the end of a run, and a line a step while it goes on.

Everything is built as rich `Text`, which reads no markup, and other people's text is cleaned first, so that a label
named `[bold]` or one with escape codes shows as it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from agent.redaction import WORDS
from agent.report import agreement, certificate
from agent.report.comparison import gain_of
from agent.report.findings import Estimate, Findings, Gain, Model
from agent.report.frontier import PEOPLE, Frontier
from agent.report.sums import known
from agent.report.wording import (
    against,
    count,
    decimal,
    dollars,
    dollars_each,
    percent,
    plain,
    points,
    round_dollars,
    stopped,
)

TITLES = {
    "oracle": "oracle",
    "student_random": "student on random labels",
    "student_selected": "student on selected labels",
    "distilled": "distilled model",
}
SLICES = {"cold": "typical", "named": "by class name", "random": "at random"}


def final_table(findings: Findings, *, job_file: str = "job.yaml") -> Group:
    """The table that ends a run: money, people, and every model with its interval and what it was held against."""
    money = findings.money
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    to_measure = f", {count(money.elsewhere_count)} of them outside the rounds" if money.elsewhere_count else ""
    answers = f"{count(money.settled_count)} paid answers{to_measure}"
    _row(table, "bought", f"{count(findings.bought)} labels", answers)
    share = percent(money.spent / money.cap) if money.cap else "no cap"
    _row(table, "spent", dollars(money.spent), f"of {dollars(money.cap)} ({share}), {_ambiguous(findings)}")
    saved = findings.saved
    if saved.answers:
        _row(table, "saved", dollars(saved.answers_cost), f"by {count(saved.answers)} answers already bought")
    if findings.failed_count:
        texts = f"{count(findings.failed_count)} text{'s' if findings.failed_count != 1 else ''}"
        _row(table, "failed", texts, f"{dollars(findings.failed_cost)}; they wait for a person")
    _special(table, findings)
    _row(table, "waiting for people", f"{count(findings.waiting_count)} texts", f"labelwright review {job_file}")
    for model in findings.models:
        _model(table, model)
    said = stopped(findings.stop) if findings.stop else "it did not: the run was interrupted or goes on"
    lines = [line("why it stopped", said)]
    if findings.has_student:
        lines.append(line("selection", _gain(findings.gain)))
    if findings.gain_dollars is not None:
        lines.append(line("same money", _gain(findings.gain_dollars)))
    if findings.frontier is not None:
        lines.append(line("oracles", _oracles(findings.frontier)))
    if findings.audits:  # the newest; all are in the report
        lines.append(line("audit", certificate.headline(findings.audits[-1])))
    if findings.agreement is not None:
        lines.append(line("agreement", agreement.in_a_line(findings.agreement)))
    if not findings.has_student:
        return Group(table, Text(), *lines, *_without_student(findings))
    if findings.bought:
        lines += [line("more money", told) for told in _outlook(findings)]
    return Group(table, Text(), *lines)


def _special(table: Table, findings: Findings) -> None:
    """What only some jobs have."""
    if findings.redacted is not None:
        _row(table, "redacted", *_redacted(findings.redacted))
    if findings.quoted is not None and findings.quoted.spans:
        spans, repaired = findings.quoted.spans, findings.quoted.repaired
        _row(
            table, "quoted", f"{count(spans)} spans", f"{count(repaired)} of them carelessly, and found all the same"
        )
    if findings.unfitting is not None:
        found = findings.unfitting
        _row(table, found.name, f"{count(found.texts)} texts", "that none of the labels fits; the report shows some")


def line(head: str, said: str) -> Text:
    """One line: a word in colour, and what is said of it."""
    return Text.assemble((f"{plain(head):<9}", "bold cyan"), " ", plain(said))


def picked(number: int, counts: Mapping[str, int]) -> Text:
    """`round 7  picked 100 (70 unsure, 10 at random)`."""
    said = ", ".join(f"{count(n)} {SLICES.get(name, name)}" for name, n in counts.items())
    return line(f"round {number}", f"picked {count(sum(counts.values()))}" + (f" ({said})" if said else ""))


def triaged(accepted: int, people: int, failed: int, waiting: int) -> Text:
    """`triage   88 accepted · 12 for people (queue: 57)`."""
    some = f" · {count(failed)} failed" if failed else ""
    return line("triage", f"{count(accepted)} accepted · {count(people)} for people{some} (queue: {count(waiting)})")


def student(figures: Mapping[str, Any]) -> Text:
    """A round's figures: `student  accuracy 91.3 % (89.0 % to 93.0 %), ...`."""
    whole, held = Estimate.of(figures, ends="accuracy_"), gain_of(figures, "labels")
    said = []
    if whole is not None:
        said.append(f"{_metric(whole.metric)} {_estimate(whole)}, {against(whole.measured_on)}")
    if held is not None:
        each = f"with {count(held.labels)} labels each"
        said.append(f"{each}: {percent(held.selected)} selected, {percent(held.random)} at random")
    if (kappa := known(figures.get("kappa"))) is not None:
        said.append(f"kappa {decimal(kappa)}")
    return line("student", " · ".join(said) or "not measured: no gold set, and too few labels on the random slice")


def _redacted(counts: Mapping[str, int]) -> tuple[str, str]:
    texts = counts.get("texts", 0)
    of_kinds = ", ".join(
        f"{count(counts[kind])} with {plural}" for kind, (_, plural) in WORDS.items() if counts.get(kind)
    )
    return f"{count(texts)} text{'s' if texts != 1 else ''}", of_kinds or "nothing was found to hide"


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(plain(c), style="dim" if i == 2 else "") for i, c in enumerate(cells)))


def _model(table: Table, model: Model) -> None:
    title = TITLES.get(model.name, model.name)
    if model.accuracy is None:
        _row(table, title, "not measured", "")
        return
    e = model.accuracy
    ends = _ends(e)
    n = f", {count(e.n)} texts" if e.n is not None else ""
    n += "".join(f"; {_metric(name)} {percent(value)}" for name, value in model.figures.items())
    n += f"; taught by {count(model.labels)} labels" if model.labels is not None else ""
    metric = "" if e.metric == "accuracy" else f"{_metric(e.metric)}, "
    _row(table, title, percent(e.value), f"{metric}{ends}{against(e.measured_on)}{n}")
    for level, at in enumerate(model.levels, 1):
        _row(table, f"  at level {level}", percent(at.value), f"{_ends(at)}the first {_steps(level)} of its labels")


def _ends(e: Estimate) -> str:
    return f"{percent(e.lo)} to {percent(e.hi)}, " if e.lo is not None and e.hi is not None else ""


def _steps(count_: int) -> str:
    return "step" if count_ == 1 else f"{count_} steps"


def _estimate(e: Estimate) -> str:
    return percent(e.value) + (
        f" ({percent(e.lo)} to {percent(e.hi)})" if e.lo is not None and e.hi is not None else ""
    )


def _metric(name: str) -> str:
    return plain(name, 40).replace("_", " ")


def _ambiguous(findings: Findings) -> str:
    n = findings.money.ambiguous_count
    return f"{dollars(findings.money.ambiguous)} of it ambiguous" if n else "none of it ambiguous"


def _gain(g: Gain | None) -> str:
    """Law 4 in a line."""
    if g is None:
        return "not compared with chance: no round taught a student by the random slice alone"
    ends = f" (95 %: {points(g.lo)} to {points(g.hi)})" if g.lo is not None and g.hi is not None else ""
    if g.dollars is not None:
        random = count(g.random_labels or 0)
        some = f"{count(g.labels)} labels against {random} random ones for {dollars(g.dollars)} each"
    else:
        some = f"{count(g.labels)} labels" + (" each" if g.paired else "")
    on = f", on the same {count(g.n)} texts" if g.paired and g.n is not None else ""
    with_labels = f"{points(g.difference)} points over chance with {some}{ends}{on}"
    verdicts = {
        "better": f"bought {with_labels}",
        "worse": f"cost: {with_labels}; random picks would have done better",
        "same": f"bought nothing that can be told from chance: {with_labels}",
        "unknown": f"{with_labels}; without an interval this proves nothing",
    }
    return verdicts[g.verdict]


def _without_student(findings: Findings) -> list[Text]:
    """What stands in the place of all that a student is for."""
    lines = [line("no student", "asked about in an order by chance; nothing was chosen, learnt or distilled")]
    if findings.unasked:
        each = findings.money.per_label
        price = f", about {dollars(each * findings.unasked)} at what a label cost so far" if each else ""
        lines.append(line("not asked", f"{count(findings.unasked)} texts of the pool{price}"))
    return lines


def _oracles(found: Frontier) -> str:
    """What each is right on and what it costs, for a thousand labels."""
    if found.why_not is not None:
        return f"how often each is right cannot be told yet: {found.why_not}"
    said = [
        f"{w.name} {percent(w.accuracy.value)}{' of hard texts' if w.hard else ''} for {dollars_each(w.price)}"
        for w in found.ways
        if w.accuracy is not None and w.price is not None and w.name != PEOPLE
    ]
    better = f"; {found.better} alone is right on as many, for less" if found.better else ""
    return f"1,000 labels: {', '.join(said)}{better}"


def _outlook(findings: Findings) -> list[str]:
    """What more money would have bought, a line a sum."""
    ahead = findings.outlook
    if not ahead.prospects:
        return [f"what it would have bought cannot be told yet: {ahead.why_not or 'no round has finished'}"]
    lines: list[str] = []
    for p in ahead.prospects:
        again = " (as much again)" if p.dollars == findings.money.spent else ""
        paid = f"the whole rest of the pool, {count(p.labels)} texts" if p.whole_pool else f"{count(p.labels)} labels"
        far = ", far beyond what was measured" if p.far else ""
        lines.append(
            f"the next {round_dollars(p.dollars)}{again} would have bought {points(p.gain)} points "
            f"(95 %: {points(p.lo)} to {points(p.hi)}{far}): {paid}"
        )
        if p.whole_pool:
            break  # a larger sum buys the same
    return lines
