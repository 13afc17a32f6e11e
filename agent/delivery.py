"""What a job hands over: the distilled model, the report, the labels. Made again, the same labels give the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from agent import gold
from agent.distilling import MODEL, compare_encoders, distil_model
from agent.doubt import Calibration
from agent.errors import StoreError, UserError
from agent.frontier import frontier_of
from agent.lessons import learnable, wanted
from agent.measuring import Quality, quality
from agent.promoting import is_measurable, made_and_kept, predicted
from agent.records import Prediction, Source, Text, Value
from agent.report import Evidence, Findings, Gain, PoolRow, Quoted, export, formats_of, gather, last_final, write
from agent.rest import Rest, rest_of, told
from agent.tasks import ExtractiveQa, Generation, Spans, Task, is_right
from agent.unfitting import unfitting
from agent.workbench import MEASURE, Workbench

REPORT, LABELS = "report", "labels"
ROWS_AT_ONCE = 4096
Final = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Delivered:
    """What was handed over: the final figures, everything that was found, and where it was written."""

    final: Final
    findings: Findings
    paths: dict[str, Path]


def deliver(bench: Workbench, stop: str) -> Delivered:
    """Distil, report, export. `stop` says why the loop ended."""
    paths: dict[str, Path] = {}
    if bench.job.distil.enabled and learnable(bench):
        paths["model"] = made_and_kept(bench, lambda: distil_model(bench))
    elif bench.job.distil.enabled:
        bench.watch.note(f"no model was distilled: {wanted(bench)} must be accepted")
    final = final_figures(bench)
    found = findings(bench, final, stop=stop)
    paths |= written(bench, found)
    paths |= export_labels(bench, formats_of(bench.task))
    return Delivered(final, found, paths)


# Distil -----------------------------------------------------------------------------------------------------------


def distil_again(bench: Workbench, *, promote: bool = False, start: Path | None = None) -> Path:
    """`distil_model`, whatever is there, and the model's card told how good it is.

    With `start` that model goes on learning, unless it did so from these labels already; `promote` does it again.
    """
    again = start is None or promote
    folder = made_and_kept(bench, lambda: distil_model(bench, again=again, start=start), promote=promote)
    _told_quality(bench)
    return folder


def distil_best(bench: Workbench, encoders: Sequence[str], *, promote: bool = False) -> Any:
    """`agent.distilling.compare_encoders`, and the card of the one that was kept told how good it is."""
    found: list[Any] = []

    def make() -> Path:
        found.append(compare_encoders(bench, encoders))
        return bench.output(MODEL)

    made_and_kept(bench, make, promote=promote)
    _told_quality(bench)
    return found[0]


# Measure ----------------------------------------------------------------------------------------------------------


def final_figures(bench: Workbench) -> Final:
    """Oracle, students and distilled model, each on the best truth there is: gold, else what people said."""
    final: Final = {}
    if (oracle := oracle_quality(bench)) is not None:
        final["oracle"] = oracle.figures()
    rounds = bench.store.rounds(bench.job.name)
    last = rounds[-1].figures if rounds else {}
    for name, key in (("student_random", "accuracy_random"), ("student_selected", "selected_equal")):
        if last.get(key) is not None:
            ends = {"lo": last.get(f"{key}_lo"), "hi": last.get(f"{key}_hi"), "n": len(bench.gold)}
            final[name] = {"accuracy": last[key], **ends, "measured_on": "gold", "metric": last.get("metric")}
            final[name]["labels"] = last.get("equal_labels")
    if (model := _told_quality(bench)) is not None:
        final["distilled"] = model.figures()
    return final


def oracle_quality(bench: Workbench) -> Quality | None:
    """The first oracle: on the gold texts it was asked about, else on labelled pool texts with gold or a person's."""
    rng = bench.rng(MEASURE, 1_000_000)
    said = gold.answers(bench)
    if said:
        both = [(v, said[t.id]) for t, v in bench.gold if t.id in said]
        return _quality(bench.task, [g for g, _ in both], [s for _, s in both], "gold", rng)
    if not bench.pool_gold and not bench.store.count_labels(bench.job.name).get(Source.PERSON):
        return None
    given = {x.text_id: x.value for x in bench.store.labels(bench.job.name, source=Source.ORACLE)}
    if both := [(v, given[i]) for i, v in bench.pool_gold.items() if i in given]:
        return _quality(bench.task, [g for g, _ in both], [s for _, s in both], "gold", rng)
    routes = bench.store.routes(bench.job.name)
    blind = [
        (x.value, given[i])
        for i, x in bench.store.current(bench.job.name).items()
        if x.source is Source.PERSON and i in given and routes[i].blind
    ]
    return _quality(bench.task, [g for g, _ in blind], [s for _, s in blind], "people", rng)


def model_quality(bench: Workbench) -> Quality | None:
    """The distilled model on gold."""
    found = _measured(bench)
    return None if found is None else found[0]


def _told_quality(bench: Workbench) -> Quality | None:
    """The same, and the model's card told of it."""
    found = _measured(bench)
    if found is None:
        return None
    _tell_card(bench, *found)
    return found[0]


def _measured(bench: Workbench) -> tuple[Quality, Prediction] | None:
    """The distilled model on gold, and what it says of each text."""
    folder = bench.output(MODEL)
    if not is_measurable(bench, folder):
        return None
    said = predicted(bench, folder)
    rng, right = bench.rng(MEASURE, 1_000_001), [v for _, v in bench.gold]
    found = _quality(bench.task, right, list(said.values), "gold", rng)
    return None if found is None else (found, said)


def _quality(
    task: Task, gold: Sequence[Value], said: Sequence[Value], measured_on: str, rng: np.random.Generator
) -> Quality | None:
    """`quality`; of texts, whose worth no single figure tells, with all others that the field reports."""
    found = quality(task, gold, said, measured_on, rng)
    if found is None or not isinstance(task, Generation):
        return found
    return replace(found, beside={k: v for k, v in task.metrics(gold, said).items() if k != found.metric})


def _tell_card(bench: Workbench, found: Quality, said: Prediction) -> None:
    """The model card carries what the model was measured at, and of one that abstains how often it answers."""
    from agent import distill

    folder = bench.output(MODEL)
    told = [distill.Figure(q.metric, q.value, q.low, q.high, q.n, q.measured_on) for q in (found, *found.levels)]
    told += [distill.Figure(k, v, n=found.n, measured_on=found.measured_on) for k, v in found.beside.items()]
    below = distill.abstains_below(folder)
    right = [is_right(bench.task, v, p) for (_, v), p in zip(bench.gold, said.values, strict=True)]
    distill.add_figures(folder, [*told, *distill.answered(1 - said.doubt, right, below, found.measured_on)])


# Report and export --------------------------------------------------------------------------------------------------


def findings(
    bench: Workbench, final: Final | None = None, *, stop: str | None = None, gain: Gain | None = None
) -> Findings:
    """Everything that is known of the job, for the report and the table at the end."""
    known = _final_now(bench) if final is None else final
    copies = bench.pool.total_rows - len(bench.pool) - sum(bench.pool.left_out.values())
    known_values = [*bench.gold, *((t, bench.pool_gold[t.id]) for t in _texts_in_pool(bench))]
    evidence = Evidence(
        final=known,
        gold=known_values or None,
        gold_answers=gold.answers(bench) or None,
        calibrator=_calibrator,
        pool_texts=len(bench.pool),
        copies=copies,
        stop=stop,
        gain=gain,
        redacted=_redacted(bench),
        quoted=_quoted(bench),
        unfitting=unfitting(bench),
        frontier=frontier_of(bench),
    )
    return gather(bench.store, bench.job.name, bench.task, evidence)


def _quoted(bench: Workbench) -> Quoted | None:
    """How oracles quoted the pieces that they gave, in answers that were labels."""
    task = bench.task
    if not isinstance(task, Spans | ExtractiveQa):
        return None
    labels = bench.store.labels(bench.job.name, source=Source.ORACLE)
    said = bench.store.contents(x.answer_id for x in labels if x.answer_id is not None)
    texts = bench.store.texts(bench.job.name, [x.text_id for x in labels])
    repaired = sum(
        task.repairs(said[x.answer_id], Text(x.text_id, texts[x.text_id])) for x in labels if x.answer_id in said
    )
    return Quoted(sum(len(x.value) for x in labels), repaired)


def _redacted(bench: Workbench) -> dict[str, int] | None:
    """In how many of the picked texts something was hidden; a report can also be made where Presidio is not."""
    try:
        redactor = bench.redactor
    except UserError:
        return None
    return None if redactor is None else redactor.tally(pick.text for pick in bench.picks().values())


def _final_now(bench: Workbench) -> Final:
    """The figures of the run that ended last; those of the distilled model are of the one that is there now."""
    known = last_final(bench.output(REPORT))
    known.pop("distilled", None)
    model = model_quality(bench)
    return known if model is None else known | {"distilled": model.figures()}


def _calibrator(confidences: Sequence[float], correct: Sequence[bool]) -> Callable[[Sequence[float]], list[float]]:
    calibration = Calibration.fit(confidences, correct)
    return lambda given: [float(c) for c in calibration.apply(given)]


def _texts_in_pool(bench: Workbench) -> Any:
    rows = bench.pool.rows_of(list(bench.pool_gold))
    return bench.pool.texts(np.asarray(rows, np.int64))


def write_report(bench: Workbench) -> dict[str, Path]:
    """The report made again from the labels as they are now, with the final figures of the last run.

    Raises StoreError where the job was never run: there is nothing to report.
    """
    if not bench.store.count_picks(bench.job.name) and not bench.store.spending(bench.job.name).by_oracle:
        raise StoreError(
            f"job {bench.job.name} has not been run, so there is nothing to report yet; `labelwright run` runs it"
        )
    return written(bench, findings(bench))


def written(bench: Workbench, found: Findings) -> dict[str, Path]:
    """The report as one HTML file and as JSON."""
    html, data = write(found, bench.output(REPORT))
    return {"report": html, "figures": data}


def export_labels(
    bench: Workbench,
    formats: Sequence[str],
    *,
    all_rows: bool = False,
    with_student: bool = False,
    hide_people: bool = False,
) -> dict[str, Path]:
    """Every label with its provenance, a row for each row of the person's own file.

    With `with_student` also what the student says of texts that nobody was asked about; see `agent.rest`. With
    `hide_people` those who gave labels are numbers.
    """
    folder = bench.output(LABELS)
    rest, counts = rest_of(bench) if with_student else None, Counter[bool]()
    rows = _source_rows(bench, rest, counts)
    guidelines = bench.job.guidelines
    how: dict[str, Any] = {"all_rows": all_rows, "guidelines": guidelines, "hide_people": hide_people}
    export(bench.store, bench.job.name, bench.task, rows, folder, formats, **how)
    if rest is not None:
        bench.watch.note(told(rest, counts))
    return {"labels": folder}


def _source_rows(bench: Workbench, rest: Rest | None, counts: Counter[bool]) -> Iterator[PoolRow]:
    """Every row of the person's file, read block by block; `counts` is told of those that the student labelled."""
    copies = iter(bench.pool.copies)
    while block := list(islice(copies, ROWS_AT_ONCE)):
        texts = bench.pool.texts(np.array([c.row for c in block], np.int64))
        guesses = {} if rest is None else rest.labels(texts)
        accepted = {i: rest.accepts(label) for i, label in guesses.items()} if rest else {}
        counts.update(accepted[t.id] for t in texts if t.id in accepted)
        for c, t in zip(block, texts, strict=True):
            yield PoolRow(c.id, t.text, t.id, guesses.get(t.id), accepted.get(t.id, False))
