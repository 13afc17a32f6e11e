"""Everything a report says, as one frozen value: the page, `report.json` and the table at the end are made of it.

Knows no database, no model and no HTML. Money is whole micro-dollars, shares lie between 0 and 1, times are UTC in
ISO 8601. A figure that is not known is None, never a not-a-number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from agent.agreeing import Agreement
from agent.certifying import Certificate
from agent.records import MicroDollars
from agent.report.explained import Picked
from agent.report.outlook import Outlook
from agent.report.sums import NOTHING, FailedText, Money, OracleUse, Saved, as_json, known
from agent.studentless import has_student

if TYPE_CHECKING:
    from agent.report.frontier import Frontier

FORMAT = 1
UNITS = {"money": "micro-dollars", "time": "UTC", "price": "dollars per million tokens, or per GPU-hour"}
# The models that every job compares, in the order in which a person reads them.
MODELS = ("oracle", "student_random", "student_selected", "distilled")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its 95 % interval, the number of texts it rests on, and what it was measured against.

    `measured_on` is `gold`, `people`, or `random slice` and `oracle`, which mean agreement with the oracle only.
    `metric` is the task's headline figure: `accuracy`, `micro_f1` and the like.
    """

    value: float
    lo: float | None = None
    hi: float | None = None
    n: int | None = None
    measured_on: str = "gold"
    metric: str = "accuracy"

    @classmethod
    def of(cls, figures: Mapping[str, Any], name: str = "accuracy", ends: str = "") -> Estimate | None:
        """The figure `name` of a loop's dict with `{ends}lo` and `{ends}hi` beside it; None where it is not known."""
        value = known(figures.get(name))
        if value is None:
            return None
        lo, hi, n = known(figures.get(f"{ends}lo")), known(figures.get(f"{ends}hi")), known(figures.get("n"))
        if lo is None or hi is None:
            lo = hi = None
        against = str(figures.get("measured_on") or "gold")
        return cls(value, lo, hi, None if n is None else int(n), against, str(figures.get("metric") or "accuracy"))


@dataclass(frozen=True, slots=True)
class Model:
    """One of the models compared. `figures` holds further measures by name (macro F1 and the like), `labels` is how
    many taught it. Where labels are paths, `levels` is how often it is right at each level above them, the broadest
    first."""

    name: str
    accuracy: Estimate | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    labels: int | None = None
    levels: tuple[Estimate, ...] = ()


@dataclass(frozen=True, slots=True)
class Gain:
    """What selection bought over chance; `difference` is one of shares.

    At equal labels both students learnt from `labels`. At equal dollars (`dollars`, micro-dollars) the selected one
    learnt from `labels` and the random one from `random_labels`. Where both were judged by the same `n` texts it is
    `paired`: `only_selected` and `only_random` count those that one of them alone got right, and `p` is McNemar's.
    """

    labels: int
    selected: float
    random: float
    difference: float
    lo: float | None = None
    hi: float | None = None
    interpolated: bool = False
    measured_on: str = "gold"
    metric: str = "accuracy"
    random_labels: int | None = None
    dollars: MicroDollars | None = None
    paired: bool = False
    n: int | None = None
    only_selected: int | None = None
    only_random: int | None = None
    p: float | None = None

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `same` (the interval holds zero) or `unknown` (there is no interval)."""
        if self.lo is None or self.hi is None:
            return "unknown"
        return "better" if self.lo > 0 else "worse" if self.hi < 0 else "same"


@dataclass(frozen=True, slots=True)
class Round:
    """One finished round. `labels` and `spent` are totals so far, the other amounts are of this round alone.

    `selected` is the student taught by every label, `random` the one taught by the random slice's `random_labels`
    alone. `labels_spent` and `random_spent` are what answers about the texts of all rounds, and of the random slice,
    have cost so far; what was spent to measure is in `spent` alone. `selected_equal` is a student taught by
    `equal_labels` selected labels, as many as the random slice holds where there are as many. `at_labels` and
    `at_dollars` hold the two students against each other on the same texts. `clipped` weights of `selection.unbiased`
    were cut down, and all of them are worth `effective` equal ones.
    """

    round: int
    labels: int = 0
    spent: MicroDollars = NOTHING
    picked: Mapping[str, int] = field(default_factory=dict)
    accepted: int = 0
    people: int = 0
    failed: int = 0
    selected: Estimate | None = None
    random: Estimate | None = None
    random_labels: int | None = None
    labels_spent: MicroDollars | None = None
    random_spent: MicroDollars | None = None
    selected_equal: Estimate | None = None
    equal_labels: int | None = None
    at_labels: Gain | None = None
    at_dollars: Gain | None = None
    clipped: int | None = None
    effective: float | None = None
    kappa: float | None = None
    seconds: float | None = None
    stop: str | None = None
    settled: MicroDollars = NOTHING
    ambiguous: MicroDollars = NOTHING


@dataclass(frozen=True, slots=True)
class Tally:
    """How many texts a class received, by who decided."""

    name: str
    accepted: int = 0
    person: int = 0
    seed: int = 0
    waiting: int = 0

    @property
    def total(self) -> int:
        return self.accepted + self.person + self.seed + self.waiting


@dataclass(frozen=True, slots=True)
class Cell:
    """How often the oracle said `given` where the truth is `truth`."""

    truth: str
    given: str
    count: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """The oracle's answers against the truth, as the cells that are not empty. `names` are in the job's order."""

    names: tuple[str, ...]
    cells: tuple[Cell, ...]
    n: int
    agreed: int
    measured_on: str = "gold"

    def pairs(self) -> list[Cell]:
        """The confusions, the most frequent first."""
        return sorted((c for c in self.cells if c.truth != c.given), key=lambda c: (-c.count, c.truth, c.given))


@dataclass(frozen=True, slots=True)
class Noise:
    """How one oracle errs, where several answered: how often it is right, how much its word counts beside the others
    (1 where its errors have nothing to do with theirs), and what it most often takes for what: `share` of a class."""

    name: str
    accuracy: float
    weight: float
    takes: tuple[Taken, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """A class, what an oracle takes it for, and for what share of it."""

    truth: str
    given: str
    share: float


@dataclass(frozen=True, slots=True)
class Several:
    """Texts that oracles answered more than once and no person decided: how many, in how many all answers were the
    same, and in how many the likeliest class is another than the newest answer's. What is known of the oracles rests
    on `reviewed` texts that people labelled, too."""

    texts: int
    agreed: int
    changed: int
    reviewed: int
    oracles: tuple[Noise, ...] = ()


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """Labels that looked wrong and were asked again (`selection.relabel`): how many, of how many texts another label
    counts now, and what the second answers cost."""

    texts: int
    changed: int
    cost: MicroDollars


@dataclass(frozen=True, slots=True)
class Suspects:
    """Accepted labels that looked wrong and were shown to people for that (`labelwright suspects`): how many, and of
    how many people said that they are right, or wrong; the others wait."""

    texts: int
    right: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence lies in [lo, hi): how many, their mean confidence, and the share that was right."""

    lo: float
    hi: float
    count: int
    confidence: float
    accuracy: float
    accuracy_lo: float
    accuracy_hi: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins that are not empty, and the expected calibration error: the mean gap between the two, by weight."""

    bins: tuple[Bin, ...]
    ece: float
    n: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """The oracle's confidence as it gave it (`before`) and as it was calibrated (`after`, where it was)."""

    before: Reliability
    after: Reliability | None = None
    measured_on: str = "gold"


@dataclass(frozen=True, slots=True)
class WaitingText:
    """One text that waits for a person. `suggestion` is the machine's label, None where it is shown blind."""

    id: str
    text: str
    reason: str
    suggestion: str | None = None
    confidence: float | None = None
    blind: bool = False
    skipped: bool = False
    round: int | None = None
    slice: str = ""


@dataclass(frozen=True, slots=True)
class Reviews:
    """What people did: labels given, texts skipped, seconds spent in all, and the minutes they have (None: any)."""

    labelled: int = 0
    skipped: int = 0
    people: int = 0
    seconds: float = 0.0
    minutes: float | None = None


@dataclass(frozen=True)
class Quoted:
    """Of tasks with spans: how many `spans` oracles' answers had, and how many were `repaired`: quoted carelessly,
    and found in the text all the same."""

    spans: int
    repaired: int


@dataclass(frozen=True)
class Unfitting:
    """Texts that none of the labels fits, which have the label `name`: `texts` of the `labelled`, `waiting` of which
    wait for a person. `groups` has clusters of them, the largest first: how many, and the most typical texts."""

    name: str
    texts: int
    labelled: int
    waiting: int = 0
    groups: tuple[tuple[int, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Findings:
    """All that is known of a job at one moment.

    `gain` is what selection bought over chance at equal labels, `gain_dollars` at equal dollars. `waiting` and
    `failed` hold the first items, `waiting_count` and `failed_count` say how many there are; `failed`
    are texts that were asked in vain and wait for a person, `failed_reasons` why, with how many texts each.
    `frontier` holds the oracles of a cascade against each other; None where there is one.
    `bought` counts labels that an oracle's answers gave, `labelled` the texts with a label that stands. `redacted`
    counts, by kind and as `texts` in all, the picked texts of which oracles did not see everything; None where the
    job hides nothing, or it cannot be told here. `audits` are what blind samples of the labels said, oldest first.
    `unasked` texts of the pool have no answer yet. `several` is None where no text was answered more than once,
    `again` where no label was asked again, `suspects` where none was shown to people since it looked wrong,
    `agreement` where no two labelled the same text, `quoted` where a label is no piece of a text, `unfitting` where
    no label is for what fits none.
    """

    job: str
    kind: str
    names: tuple[str, ...] = ()
    pool_texts: int | None = None
    bought: int = 0
    labelled: int = 0
    money: Money = field(default_factory=Money)
    oracles: tuple[OracleUse, ...] = ()
    saved: Saved = field(default_factory=Saved)
    models: tuple[Model, ...] = tuple(Model(name) for name in MODELS)
    stop: str | None = None
    rounds: tuple[Round, ...] = ()
    gain: Gain | None = None
    gain_dollars: Gain | None = None
    outlook: Outlook = field(default_factory=Outlook)
    unasked: int | None = None
    picked: Picked = field(default_factory=Picked)
    tallies: tuple[Tally, ...] = ()
    confusion: Confusion | None = None
    several: Several | None = None
    again: AskedAgain | None = None
    suspects: Suspects | None = None
    agreement: Agreement | None = None
    calibration: Calibration | None = None
    frontier: Frontier | None = None
    reviews: Reviews = Reviews()
    waiting_count: int = 0
    waiting: tuple[WaitingText, ...] = ()
    failed_count: int = 0
    failed_cost: MicroDollars = NOTHING
    failed_reasons: tuple[tuple[str, int], ...] = ()
    failed: tuple[FailedText, ...] = ()
    audits: tuple[Certificate, ...] = ()
    redacted: Mapping[str, int] | None = None
    quoted: Quoted | None = None
    unfitting: Unfitting | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    prompt_hashes: tuple[str, ...] = ()
    started_at: str | None = None
    finished_at: str | None = None

    @property
    def has_student(self) -> bool:
        """Whether somebody learnt from the labels."""
        return has_student(self.settings)

    @property
    def metric(self) -> str:
        """The headline figure that models and rounds were measured by: `accuracy` unless they say another."""
        found = [m.accuracy for m in self.models] + [r.selected for r in self.rounds]
        return next((e.metric for e in found if e is not None), "accuracy")

    def as_json(self) -> dict[str, Any]:
        """Plain JSON: the same names, what is not finite as null. Money is in micro-dollars."""
        data: dict[str, Any] = {"format": FORMAT, "units": UNITS}
        data |= as_json(asdict(self))
        for name, gain in (("gain", self.gain), ("gain_dollars", self.gain_dollars)):
            if gain is not None:
                data[name]["verdict"] = gain.verdict
        return data
