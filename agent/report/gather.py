"""Fills `Findings` from a job's store, and from what only the end of a run knows (`Evidence`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

from agent.agreeing import agreeing
from agent.certifying import certificates
from agent.opinions import named, opinions
from agent.picture import quoted
from agent.records import Label, MicroDollars, Source, Text, TextId, Value
from agent.report import truth
from agent.report.books import Books
from agent.report.comparison import gain, gain_of
from agent.report.explained import explained
from agent.report.findings import (
    MODELS,
    Estimate,
    Findings,
    Gain,
    Model,
    Quoted,
    Reviews,
    Round,
    Tally,
    Unfitting,
    WaitingText,
)
from agent.report.frontier import Frontier
from agent.report.outlook import Outlook, Standing, look_ahead
from agent.report.sums import known
from agent.report.wording import plain, reason
from agent.store import JobRow, PickRow, QueueRow, RoundRow, RouteRow, Store
from agent.studentless import has_student
from agent.tasks import Task
from agent.tasks.hierarchy import depth

Final = Mapping[str, Mapping[str, Any]]
WAITING = 40
TEXT_CHARACTERS = 2000
VERSIONS = ("labelwright", "torch", "transformers", "datasets", "numpy", "scikit-learn", "openai", "sqlalchemy")


@dataclass(frozen=True)
class Evidence:
    """What the store does not hold.

    Attributes:
        final: `oracle`, `student_random`, `student_selected`, `distilled`, each a dict with `accuracy`, `lo`, `hi`,
            `n`, `measured_on`, where it is not accuracy the `metric`, and for students how many `labels` taught
            them; other shares in it are shown as well.
            What is missing is taken from the last round, or measured here against gold or people.
        gold: gold values; those whose text an oracle labelled tell how often it is right.
        gold_answers: what the oracle said of gold texts that are not in the pool; by default what the rounds kept.
        calibrator: see `truth.Calibrator`; `lambda c, r: Calibration.fit(c, r).apply`.
        pool_texts: distinct texts of the pool.
        copies: rows of the pool that repeat an earlier text.
        stop: why the loop ended, where the last round's figures do not say.
        gain: what selection bought over chance, where a control job was run; else the rounds tell.
        redacted, quoted, unfitting: see `Findings`.
        frontier: the oracles of a cascade against each other.
    """

    final: Final = field(default_factory=dict)
    gold: Sequence[tuple[Text, Value]] | None = None
    gold_answers: Mapping[TextId, Value] | None = None
    calibrator: truth.Calibrator | None = None
    pool_texts: int | None = None
    copies: int | None = None
    stop: str | None = None
    gain: Gain | None = None
    redacted: Mapping[str, int] | None = None
    quoted: Quoted | None = None
    unfitting: Unfitting | None = None
    frontier: Frontier | None = None


@dataclass(frozen=True)
class _Known:
    """What the store holds of a job, read once."""

    picks: Mapping[TextId, PickRow]
    current: Mapping[TextId, Label]  # the label that counts
    routes: Mapping[TextId, RouteRow]
    rounds: Sequence[RoundRow]
    answered: Mapping[TextId, Label]  # the newest label of an oracle, for every text that has one
    audited: Set[TextId]  # texts that an audit ever drew


def gather(store: Store, job: str, task: Task, evidence: Evidence | None = None) -> Findings:
    """Everything known of a job. Raises StoreError where the store has no job of that name."""
    evidence = evidence or Evidence()
    row = store.job(job)
    given = store.labels(job, source=Source.ORACLE)
    said = opinions(store, job, task, named(row.settings.get("oracle", ())))
    have = _Known(
        picks={p.text_id: p for p in store.picks(job)},
        current={**store.current(job), **said.counts},
        routes=store.routes(job),
        rounds=store.rounds(job),
        answered={label.text_id: label for label in given},
        audited=store.audited(job),
    )
    books = Books.open(store, job)
    money = books.money()
    rounds = tuple(_round(r, books) for r in have.rounds if r.round >= 0)
    return Findings(
        job=job,
        kind=task.kind,
        names=task.names,
        pool_texts=evidence.pool_texts,
        bought=len(have.answered),
        labelled=len(have.current),
        money=replace(money, per_label=money.spent / len(have.answered) if have.answered else None),
        oracles=books.oracles(row.settings),
        saved=books.saved(row.settings, evidence.copies),
        rounds=rounds,
        stop=evidence.stop or (rounds[-1].stop if rounds else None),
        gain=evidence.gain or gain(rounds),
        # a control job tells of its whole budget: a slice of this job's would stand oddly beside it
        gain_dollars=None if evidence.gain else next((r.at_dollars for r in reversed(rounds) if r.at_dollars), None),
        outlook=_outlook(have, books, evidence.pool_texts),
        unasked=_left(have, evidence.pool_texts, have.routes),
        picked=explained(list(have.picks.values()), have.current, have.routes, books.costs, have.audited),
        tallies=_tallies(task, have, evidence.gold),
        **_against_truth(task, have, evidence, rounds, MODELS if has_student(row.settings) else MODELS[:1]),
        several=truth.several(task, said),
        again=truth.asked_again(store.asked_again(job), given, have.current),
        suspects=truth.suspects(task, have.routes, given, have.current),
        agreement=agreeing(store, job, task, _whole(row.settings.get("seed")) or 0),
        frontier=evidence.frontier,
        reviews=_reviews(store, row),
        waiting_count=store.queue_size(job, include_skipped=True),
        waiting=tuple(_waiting(task, q) for q in store.queue(job, include_skipped=True, limit=WAITING)),
        **books.failed(),
        audits=certificates(store, job, task),
        redacted=evidence.redacted,
        quoted=evidence.quoted,
        unfitting=evidence.unfitting and _shortened(evidence.unfitting),
        settings=row.settings,
        versions=_versions(),
        prompt_hashes=tuple(sorted({x.prompt_hash for x in given if x.prompt_hash})),
        started_at=row.created_at.isoformat(timespec="seconds"),
        finished_at=have.rounds[-1].finished_at.isoformat(timespec="seconds") if have.rounds else None,
    )


def last_final(folder: Path) -> dict[str, dict[str, Any]]:
    """`Evidence.final` of the report that was written to `folder` last; empty where there is none.

    A run knows its final figures once; a report made again later, when people have answered, still shows them.
    """
    try:
        models = json.loads((folder / "report.json").read_text(encoding="utf-8"))["models"]
        return {m["name"]: _as_final(m) for m in models if m["accuracy"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _as_final(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model of report.json as the loop would give it."""
    levels = {"levels": [_as_figures(e) for e in model["levels"]]} if model.get("levels") else {}
    return {**model["figures"], **_as_figures(model["accuracy"]), "labels": model.get("labels"), **levels}


def _as_figures(estimate: Mapping[str, Any]) -> dict[str, Any]:
    return {"accuracy": estimate["value"]} | {k: v for k, v in estimate.items() if k != "value"}


# Rounds and models -------------------------------------------------------------------------------------------------


def _round(row: RoundRow, books: Books) -> Round:
    f = row.figures
    picked = f.get("picked")
    weights = f["weights"] if isinstance(f.get("weights"), Mapping) else {}
    settled, ambiguous = books.of_round(row.round)
    return Round(
        round=row.round,
        labels=_whole(f.get("labels")) or 0,
        spent=MicroDollars(_whole(f.get("spent")) or 0),
        picked={str(k): _whole(v) or 0 for k, v in picked.items()} if isinstance(picked, Mapping) else {},
        accepted=_whole(f.get("accepted")) or 0,
        people=_whole(f.get("people")) or 0,
        failed=_whole(f.get("failed")) or 0,
        selected=Estimate.of(f, "accuracy", "accuracy_"),
        random=Estimate.of(f, "accuracy_random", "accuracy_random_"),
        random_labels=_whole(f.get("random_labels")),
        labels_spent=books.labels_spent(row.round),
        random_spent=books.random_spent(row.round),
        selected_equal=Estimate.of(f, "selected_equal", "selected_equal_"),
        equal_labels=_whole(f.get("equal_labels")),
        at_labels=gain_of(f, "labels"),
        at_dollars=gain_of(f, "dollars"),
        clipped=_whole(weights.get("clipped")),
        effective=known(weights.get("effective")),
        kappa=known(f.get("kappa")),
        seconds=known(f.get("seconds")),
        stop=str(f["stop"]) if f.get("stop") else None,
        settled=settled,
        ambiguous=ambiguous,
    )


def _outlook(have: _Known, books: Books, pool_texts: int | None) -> Outlook:
    """What more money would have bought."""
    return look_ahead(
        Standing(
            figures=[r.figures for r in have.rounds if r.round >= 0],
            paid=sum(c.cost for c in books.costs),
            picked=len(have.picks),
            left=_left(have, pool_texts, have.picks),
            spent=books.spending.spent,
        )
    )


def _left(have: _Known, pool_texts: int | None, done: Collection[TextId]) -> int | None:
    """How many texts of the pool are neither done nor labelled by the seed; None where the pool is not known."""
    seeds = sum(label.source is Source.SEED and i not in done for i, label in have.current.items())
    return None if pool_texts is None else max(0, pool_texts - len(done) - seeds)


def _whole(value: object) -> int | None:
    number = known(value)
    return None if number is None else int(number)


def _against_truth(
    task: Task, have: _Known, evidence: Evidence, rounds: Sequence[Round], names: Sequence[str]
) -> dict[str, Any]:
    """The findings that need a truth: models (`names` are those that are expected), confusion, calibration."""
    gold = {text.id: value for text, value in evidence.gold or ()}
    said = evidence.gold_answers or _gold_answers(task, have.rounds, evidence.gold or ())
    sure = _gold_confidences(have.rounds)
    asked = {i: Label(i, value, Source.ORACLE, by="", confidence=known(sure.get(i))) for i, value in said.items()}
    by_gold = truth.judged_by_gold(task, asked | dict(have.answered), gold)
    by_people = truth.judged_by_people(task, have.answered, have.current, have.routes, have.audited)
    judged, measured_on = (by_gold, "gold") if by_gold else (by_people, "people")
    return {
        "models": _models(evidence.final, rounds, _oracle(task, judged, measured_on), names),
        "confusion": truth.confused(task, judged, measured_on),
        # answers on gold may have come without a confidence: then people's verdicts have to do
        "calibration": truth.calibration(judged, by_people, evidence.calibrator, measured_on)
        or truth.calibration(by_people, by_people, evidence.calibrator, "people"),
    }


def _gold_answers(task: Task, rounds: Sequence[RoundRow], gold: Sequence[tuple[Text, Value]]) -> dict[TextId, Value]:
    """Answers about these gold texts that a round's figures hold, as `task.show` wrote them."""
    for row in reversed(rounds):
        if isinstance(said := row.figures.get("gold_answers"), Mapping):
            return {text.id: task.read(said[text.id], text) for text, _ in gold if text.id in said}
    return {}


def _gold_confidences(rounds: Sequence[RoundRow]) -> Mapping[str, Any]:
    """How sure those answers were, likewise."""
    kept = (row.figures.get("gold_confidences") for row in reversed(rounds))
    return next((said for said in kept if isinstance(said, Mapping)), {})


def _oracle(task: Task, judged: Sequence[truth.Judged], measured_on: str) -> Model:
    """The oracle, where the run did not measure it."""
    levels = [truth.accuracy_at(judged, level, measured_on) for level in range(1, depth(task.names))]
    shown = levels if task.widget == "choice" else []
    return Model("oracle", truth.accuracy(judged, measured_on), levels=tuple(e for e in shown if e is not None))


def _models(final: Final, rounds: Sequence[Round], oracle: Model, expected: Sequence[str]) -> tuple[Model, ...]:
    """The final figures; where the run gave none, what the last round or the truth at hand says."""
    chance = next((r for r in reversed(rounds) if r.random), None)
    chosen = next((r for r in reversed(rounds) if r.selected), None)
    instead = {"oracle": oracle}
    if chance is not None:
        instead["student_random"] = Model("student_random", chance.random, labels=chance.random_labels)
    if chosen is not None:
        instead["student_selected"] = Model("student_selected", chosen.selected, labels=chosen.labels)
    names = [*expected, *(n for n in final if n not in expected)]
    return tuple(_model(name, final.get(name) or {}) or instead.get(name) or Model(name) for name in names)


def _model(name: str, figures: Mapping[str, Any]) -> Model | None:
    """A model as the run measured it; None where it did not."""
    found = Estimate.of(figures)
    if found is None:
        return None
    more = {str(k): known(v) for k, v in figures.items() if k not in ("accuracy", "lo", "hi", "n", "labels")}
    shares = {k: v for k, v in more.items() if v is not None and 0 <= v <= 1}
    levels = [e for e in map(Estimate.of, figures.get("levels") or ()) if e is not None]
    return Model(name, found, shares, _whole(figures.get("labels")), tuple(levels))


# Labels and people -------------------------------------------------------------------------------------------------


def _tallies(task: Task, have: _Known, gold: Sequence[tuple[Text, Value]] | None) -> tuple[Tally, ...]:
    """Texts a class, by who decided. A text of several classes counts for each; gold texts do not belong here."""
    outside = {text.id for text, _ in gold or ()}.difference(have.picks)
    counts = {name: dict.fromkeys(("accepted", "person", "seed", "waiting"), 0) for name in task.names}
    for i, label in have.current.items():
        said = label.value if isinstance(label.value, list | tuple) else [label.value]
        for name in said if i not in outside else ():
            if name in counts:
                counts[name][standing(label, have.routes.get(i))] += 1
    return tuple(Tally(name, **c) for name, c in counts.items())


def standing(label: Label, route: RouteRow | None) -> str:
    """`person`, `seed`, `accepted` (also while a person audits it blind) or `waiting`."""
    if label.source in (Source.PERSON, Source.SEED):
        return label.source.value
    return "accepted" if route is not None and route.is_accepted else "waiting"


def _waiting(task: Task, q: QueueRow) -> WaitingText:
    hidden = q.blind or q.suggestion is None
    return WaitingText(
        id=q.text_id,
        text=plain(quoted(q.text), TEXT_CHARACTERS),
        reason=reason(q.reason),
        suggestion=None if hidden or q.suggestion is None else task.show(q.suggestion.value),
        confidence=None if hidden or q.suggestion is None else known(q.suggestion.confidence),
        blind=q.blind,
        skipped=q.skipped,
        round=q.round,
        slice=q.slice,
    )


def _shortened(found: Unfitting) -> Unfitting:
    groups = tuple((size, tuple(plain(t, TEXT_CHARACTERS) for t in texts)) for size, texts in found.groups)
    return replace(found, groups=groups)


def _reviews(store: Store, job: JobRow) -> Reviews:
    rows = store.reviews(job.name)
    budget = job.settings.get("budget")
    standing_rows = [r for r in rows if not r.undone]
    return Reviews(
        labelled=len({r.text_id for r in standing_rows if r.label_id is not None}),
        skipped=len({r.text_id for r in standing_rows if r.action in {"skip", "flag"}}),
        people=len({r.person for r in rows}),
        seconds=store.review_seconds(job.name),
        minutes=known(budget.get("minutes")) if isinstance(budget, Mapping) else None,
    )


def _versions() -> dict[str, str]:
    """What this was made with; a package that is not installed is left out."""
    found = {"python": python_version()}
    for name in VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
