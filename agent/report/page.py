"""One HTML file out of the findings: no network, no script, light and dark, screen and paper.

Every figure is looked up in the plain JSON of the findings by its path and carries that path, so page and
`report.json` cannot disagree. Other people's text is cleaned (`plain`) and escaped by the template engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from agent.errors import DataError
from agent.report import agreement, certificate, charts, frontier_chart, wording
from agent.report.findings import Estimate, Findings
from agent.report.frontier import CASCADE
from agent.report.sections import classes, confusions, levels, meter, settings
from agent.report.sums import known

TITLES = {
    "oracle": "Oracle",
    "student_random": "Student on random labels",
    "student_selected": "Student on selected labels",
    "distilled": "Distilled model",
}
MISSING = {
    "oracle": "It needs a gold set (data.gold), or people’s labels on texts that the oracle answered too.",
    "student_random": "It needs labels on the random slice: selection.random_share above 0, and one finished round.",
    "student_selected": "It needs one finished round, and a gold set (data.gold) or labels on the random slice.",
    "distilled": "No model was distilled yet: labelwright distil job.yaml, with distil.enabled on.",
}
MEASURES = {
    "accuracy": "Accuracy",
    "exact_match": "Exact match",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "chrf": "chrF",
    "bleu": "BLEU",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
}
CHARGED = {"ambiguous": "may be: counted as spent", "invalid": "yes: paid, and no label", "released": "no"}
PRICES = {"input": "input", "cached_input": "cached", "output": "output", "gpu_hour": "a GPU-hour"}
WRITERS: dict[str, Callable[[float], str]] = {
    "count": wording.count,
    "percent": wording.percent,
    "points": wording.points,
    "dollars": wording.dollars,
    "dollars_each": wording.dollars_each,
    "sum": wording.round_dollars,
    "share": wording.share,
    "decimal": wording.decimal,
    "seconds": wording.seconds,
    "minutes": wording.minutes,
    "price": wording.price,
}
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WIDE, NARROW = 524, 340


def page(findings: Findings) -> str:
    """The whole report as one HTML document. The same findings give the same bytes."""
    data = findings.as_json()
    template = _environment().get_template("report.html.jinja")
    shown: dict[str, Any] = {
        "d": data,
        "f": Figures(data),
        "css": Markup(_style()),  # noqa: S704 - our own file
        "job": findings.job,
        "has_student": findings.has_student,
        "names": findings.names,
        "multiple": findings.kind == "multilabel",
        "models": _models(findings, data),
        "charts": _charts(findings),
        "levels": levels(findings.models, findings.names),
        "titles": TITLES,
        "meter": meter(findings.money),
        "settings": settings(findings.settings),
        "curve_note": _curve_note(findings),
        "metric": _metric(findings),
        "together": _together(data),
        "audit_lines": [certificate.lines(a) for a in findings.audits],
        "measured_gold": any(m.accuracy and m.accuracy.measured_on == "gold" for m in findings.models),
    }
    return template.render(
        shown | classes(findings.tallies) | confusions(findings.confusion) | agreement.shown(findings.agreement)
    )


def write(findings: Findings, folder: Path) -> tuple[Path, Path]:
    """Write `report.html` and `report.json`, each whole or not at all. Raises DataError where that cannot be."""
    said = json.dumps(findings.as_json(), ensure_ascii=False, indent=1, allow_nan=False)
    wanted = (folder / "report.html", page(findings)), (folder / "report.json", said + "\n")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in wanted:
            part = path.with_name(f".{path.name}.part")
            part.write_bytes(text.encode("utf-8", "replace"))
            part.replace(path)
    except OSError as error:
        for path, _ in wanted:
            with suppress(OSError):
                path.with_name(f".{path.name}.part").unlink(missing_ok=True)
        raise DataError(
            f"cannot write the report to {folder}: {error.strerror or error}; make room, or choose another `output`"
        ) from None
    return wanted[0][0], wanted[1][0]


class Figures:
    """Writes figures of `report.json` onto the page: `f("money.spent", "dollars")`."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __call__(self, path: str, how: str) -> Markup:
        """The figure at `path` (dotted) as a `<data>` element with its exact value and its path."""
        value: Any = self._data
        for part in _parts(path):
            value = value[int(part)] if isinstance(value, list) else value[part]
        number = known(value)
        if number is None:
            return Markup("<span>not known</span>")
        exact = repr(int(number)) if number.is_integer() else repr(number)
        return Markup('<data value="{}" data-json="{}">{}</data>').format(
            exact, wording.plain(path, 200), WRITERS[how](number)
        )


def _parts(path: str) -> list[str]:
    """A path's parts. What follows `picked.`, `price.` or `figures.` is one name, whatever it holds."""
    head = re.match(r"(.*?\.(?:picked|price|figures))\.(.*)", path, re.DOTALL)
    return [*head[1].split("."), head[2]] if head else path.split(".")


def _models(findings: Findings, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the accuracy tiles show, on one scale so that their intervals can be held against each other."""
    there = [m.accuracy for m in findings.models if m.accuracy]
    lowest = min([e.value if e.lo is None else min(e.lo, e.value) for e in there], default=0.0)
    lo = max(0.0, int(10 * lowest - 0.2) / 10)
    return [
        {
            **data["models"][i],
            "path": f"models.{i}",
            "title": TITLES.get(m.name, wording.plain(m.name, 60)),
            "missing": MISSING.get(m.name, "The run gave no figure for it."),
            "glyph": charts.interval(m.accuracy, lo, 1.0) if m.accuracy else "",
        }
        for i, m in enumerate(findings.models)
    ]


def _charts(findings: Findings) -> dict[str, tuple[Markup, Markup] | None]:
    """Every chart in two widths, since a picture that shrinks to a phone cannot be read."""

    def both(draw: Callable[[int], Markup | None], wide: int = WIDE) -> tuple[Markup, Markup] | None:
        first, second = draw(wide), draw(NARROW)
        return None if first is None or second is None else (first, second)

    return {
        "labels": both(lambda width: charts.curves(findings, "labels", width)),
        "dollars": both(lambda width: charts.curves(findings, "dollars", width)),
        "cost": both(lambda width: charts.cost(findings, width)),
        "frontier": both(lambda width: frontier_chart.chart(findings.frontier, width)),
        "reliability": both(lambda width: charts.reliability(findings.calibration, width), 440),
    }


def _together(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """All oracles of a cascade as one, with its place in `report.json`."""
    ways = data["frontier"]["ways"] if data["frontier"] else []
    return next(({**w, "path": f"frontier.ways.{i}"} for i, w in enumerate(ways) if w["name"] == CASCADE), None)


def _metric(findings: Findings) -> str:
    """What the y axis of the curves is."""
    found = [r.selected for r in findings.rounds if r.selected] or [m.accuracy for m in findings.models if m.accuracy]
    if found and all(wording.is_agreement(e.measured_on) for e in found):
        return "Agreement with the oracle"
    return _measure(findings.metric)


def _curve_note(findings: Findings) -> str:
    """What the curves were measured against, in one sentence."""
    found: list[Estimate] = [e for r in findings.rounds for e in (r.selected, r.random) if e is not None]
    kinds = sorted({e.measured_on for e in found})
    if kinds == ["gold"]:
        return "Measured against gold labels that no student was taught with."
    if "gold" not in kinds:
        return (
            "Measured on the random slice: this is agreement with the labels bought there, not with the truth. "
            "A gold set (data.gold) measures that."
        )
    return "Rounds were measured in different ways: " + "; ".join(wording.against(k) for k in kinds) + "."


def _moment(stamp: str) -> str:
    """`2025-11-22T04:31:07+00:00` as `22 November 2025, 04:31`; what is no time stays as it is."""
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return wording.plain(stamp, 40)
    return f"{at.day} {MONTHS[at.month - 1]} {at.year}, {at:%H:%M}"


def _sentence(said: str) -> str:
    """With a capital and a full stop, as on paper; the loop speaks as the terminal does."""
    return said[:1].upper() + said[1:] + ("" if not said or said[-1] in ".!?…" else ".")


def _measure(name: str) -> str:
    return MEASURES.get(name, wording.plain(name, 40).replace("_", " "))


@cache
def _style() -> str:
    return (Path(__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("agent.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: escape("not known") if value is None else value,
    )
    env.filters |= {
        "plain": wording.plain,
        "against": wording.against,
        "is_agreement": wording.is_agreement,
        "stopped": lambda reason: _sentence(wording.stopped(reason)),
        "sentence": _sentence,
        "moment": _moment,
        "measure": _measure,
        "charged": lambda state: CHARGED.get(state, wording.plain(state, 30)),
        "price_kind": lambda kind: PRICES.get(kind, wording.plain(kind, 30)),
    }
    return env
