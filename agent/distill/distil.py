"""Labels into a model of your own: fine-tune the encoder on them, calibrate it, and save it where anyone can load it.

Knows labelled texts and a folder; no store, no oracle and no loop.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agent.distill.abstaining import Choose, decide
from agent.distill.card import FACTS, Card, Figure
from agent.distill.checkpoint import PACE, Checkpoint, Note, Pace, forget
from agent.distill.deciding import AT_HALF, Holds, best_threshold
from agent.distill.finetune import Trained, rate_for
from agent.distill.making import Made, cool, fingerprint, make
from agent.distill.network import HALF
from agent.distill.reference import write_reference
from agent.distill.saving import replacing, replacing_file
from agent.distill.shown import public_facts, public_name
from agent.distill.start import SEEN, Source, Start
from agent.distill.targets import Examples
from agent.distill.training import Progress
from agent.distill.trials import Attempt, Watched, choose_loss, right_of
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.records import Floats, Label, Student, Text
from agent.student.encoder import BUILTIN, Encoder
from agent.student.head import Head
from agent.tasks import Task
from agent.tasks.intervals import wilson

FORMAT = 1
MEASURED_FROM = 20
"""With fewer labels than this, agreement with them says nothing."""


class Saves(Protocol):
    """Whatever writes itself into a folder."""

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class Distilled:
    """What came of it.

    Attributes:
        folder: the model's.
        trained: epochs and losses.
        temperature: that its logits were divided by after the training.
        figures: agreement with labels: those held out, or by cross-validation before the encoder learnt.
        learnt, held_out, replayed: numbers of texts.
        seconds: that it took.
    """

    folder: Path
    trained: Trained
    temperature: float
    figures: tuple[Figure, ...]
    learnt: int
    held_out: int
    replayed: int
    seconds: float


def distil(
    examples: Examples,
    settings: DistilSettings,
    *,
    encoder: Encoder | str = BUILTIN,
    start: Start | None = None,
    folder: str | Path,
    facts: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
    note: Note = lambda said: None,
    pace: Pace = PACE,
    chosen: Mapping[str, Any] | None = None,
    choose: Choose | None = None,
    unseen: Sequence[str] = (),
) -> Distilled:
    """Fine-tune `encoder` on labelled texts and save a standard `transformers` folder.

    The classifier starts as a penalised logistic regression on what the encoder says, its temperature fitted to
    out-of-fold logits and folded into its weights; then the whole network learns for a fixed number of epochs, from
    every label. Of thousands of labels a part is held out as well: it sets the temperature once more, and people's
    labels among it pick the epoch. The same arguments give the same files on one machine, also where a process is
    killed and another one is started: it goes on from what was kept in the hidden folder `.NAME.training` beside the
    model's.

    Args:
        examples: the labelled texts and their seed.
        settings: epochs, learning rate and loss.
        encoder: loaded, or a name that `Encoder.load` knows.
        start: a model to go on from, in place of the encoder: classes that it knows keep what it knows of them, and
            its texts are replayed, see `agent.distill.going_on`. Its labels are not known, so nothing is held out.
        folder: replaced in one step; until then, and after any failure, the old one stands.
        facts: for the model card, see `agent.distill.card.Card`; `made_from` finds its own there.
        progress: told (texts seen, texts to see).
        note: told that it goes on, and which loss was chosen and why.
        pace: how often it is kept where it stands.
        chosen: more rows for the card's table of the training.
        choose: from where on the model answers, see `agent.distill.abstaining`.
        unseen: texts such as are expected, none of them labelled, so that drift can be told from them
            (`agent.distill.reference`); without them, whoever serves the model takes its first inputs.

    Raises DataError without labels, ModelError where the encoder cannot be used, classes of the same name are of
    another kind, or the folder cannot be written.
    """
    began = time.monotonic()
    known = examples.checked()
    source = _source(encoder, start, known, note)
    why = ""
    if settings.loss == "auto":
        watched = Watched(Path(folder), progress, note, pace)
        settings, why = choose_loss(known, settings, source, watched)
        note(f"loss: {settings.loss}; {why}")
    checkpoint = Checkpoint(Path(folder), fingerprint(known, settings, source), pace, note)
    made = make(known, settings, source, checkpoint, progress=progress)
    network, held_out = made.network, made.held_out
    if made.corrected is not None and made.corrected.changed:
        usual = made.corrected.told(known.names)
        note(f"{made.corrected.changed:,} labels of machines were learnt as another class{usual and f': {usual}'}")
    temperature, logits = made.temperature, None
    if held_out is not None:
        temperature, logits = cool(network, held_out)
    holds = _threshold(made, known, settings, source, logits) if known.multilabel else AT_HALF
    network.label_threshold = holds.threshold
    figures = _figures(made, known, logits)
    training = _told(made, known, settings, source) | {"temperature": round(temperature, 4)}
    training |= ({"why this loss": why} if why else {}) | dict(chosen or {})
    way = Attempt(source.name, settings, source)
    silent = decide(known, way, made, Watched(Path(folder), progress, note, pace), choose)
    network.abstain_below = silent.below
    card = Card(
        known.names,
        known.multilabel,
        _made_of(source),
        source.max_tokens,
        training | dict(silent.told),
        (*figures, *silent.figures),
        facts or {},
        known.columns,
        abstain_below=silent.below,
        label_threshold=holds.threshold,
        why_threshold=holds.why,
    )
    with replacing(Path(folder)) as partial:
        network.save(partial)
        write_reference(network, known.texts, unseen, partial, np.random.default_rng([known.seed, 8]))
        write_card(card, partial)
    forget(Path(folder))
    seconds = time.monotonic() - began
    learnt, held = len(made.lessons), 0 if held_out is None else len(held_out)
    return Distilled(Path(folder), made.trained, temperature, figures, learnt, held, made.replayed, seconds)


def _source(encoder: Encoder | str, start: Start | None, known: Examples, note: Note) -> Source:
    if start is None:
        return encoder if isinstance(encoder, Encoder) else Encoder.load(encoder)
    start.check(known)
    note(start.told(known.names))
    return start


def _made_of(source: Source) -> str:
    return source.made_of if isinstance(source, Start) else source.name


def save_student(
    student: Student,
    task: Task,
    lessons: Sequence[tuple[Text, Label]],
    folder: str | Path,
    rng: np.random.Generator,
    *,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """For tasks without classes: fit the task's own student on all labels and let it save itself, in one step."""
    texts, labels = [t for t, _ in lessons], [label for _, label in lessons]
    student.fit(texts, task.targets(labels), np.ones(len(texts), np.float32), rng)
    with replacing(Path(folder)) as partial:
        student.save(str(partial))
        _write_json(partial / FACTS, {"format": FORMAT, "kind": task.kind, "facts": dict(facts or {})})
    return Path(folder)


def add_figures(folder: str | Path, figures: Sequence[Figure]) -> None:
    """Write the card again with more figures, such as accuracy on gold; one of the same name and texts is replaced.

    Raises ModelError where the folder is none that `distil` made.
    """
    where = Path(folder)
    card = _read_card(where)
    if card is None:
        raise ModelError(f"{where}: no model that `distil` made: it has no {FACTS}")
    new = {(f.name, f.measured_on) for f in figures}
    old = [f for f in card.figures if (f.name, f.measured_on) not in new]
    _replace_card(replace(card, figures=[*old, *figures]), where)


def add_onnx(folder: str | Path, files: Sequence[str]) -> None:
    """Say on the card that the folder holds these as well. A model that somebody else made has no card of ours."""
    where = Path(folder)
    if card := _read_card(where):
        _replace_card(replace(card, onnx=sorted({*card.onnx, *files}, key=len)), where)


def _read_card(folder: Path) -> Card | None:
    about = _read_json(folder / FACTS)
    if about is None or "card" not in about:
        return None
    said = dict(about["card"])
    return Card(**said | {"figures": [Figure(**f) for f in said["figures"]]})


def _replace_card(card: Card, folder: Path) -> None:
    for name, text in _card_files(card).items():
        with replacing_file(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


def made_from(folder: str | Path) -> str | None:
    """The fact `made_from` of the model in a folder: a hash of its labels, say. None where there is none."""
    about = _read_json(Path(folder) / FACTS) or {}
    found = (about.get("facts") or about.get("card", {}).get("facts") or {}).get("made_from")
    return None if found is None else str(found)


def _told(made: Made, known: Examples, settings: DistilSettings, source: Source) -> dict[str, Any]:
    """How it was trained, for the card."""
    told: dict[str, Any] = {
        "encoder": public_name(_made_of(source)),
        "seed": known.seed,
        "epochs": made.trained.epochs,
        "learning rate": settings.rate(rate_for(made.network)),
        "loss": settings.loss.replace("_", "-"),
    }
    if settings.layer_decay != 1:
        told["decay of the learning rate by layer"] = settings.layer_decay
    if settings.loss == "reweighted":
        told["labels that look wrong, and count less"] = made.doubted
    if made.corrected is not None:
        told |= made.corrected.rows(known.names)
    if made.forgotten:
        told["share of machines' labels that was not learnt in a step"] = round(made.forgotten, 3)
    told["texts learnt from"] = len(made.lessons)
    told["texts held out"] = 0 if made.held_out is None else len(made.held_out)
    if isinstance(source, Start):
        told["went on from"] = f"{source.name} ({source.hashed})"
        told |= dict(source.classes(known.names)) | {"texts replayed": made.replayed}
    if not made.is_measurable:
        told["why none were held out"] = SEEN
    return told


def _threshold(made: Made, known: Examples, settings: DistilSettings, source: Source, logits: Floats | None) -> Holds:
    """From which probability on a label holds: as the job says, or as labels do that taught none of these."""
    if settings.label_threshold != "auto":
        return Holds(settings.label_threshold, "as the job says")
    if not made.is_measurable:
        assert isinstance(source, Start)
        return Holds(source.label_threshold, "as of the model that it went on from")
    if logits is not None and made.held_out is not None:
        return best_threshold(made.network.chances(logits), known.targets[made.held], made.held_out.weights)
    return best_threshold(made.head.out_of_fold, known.targets[made.learn], made.lessons.weights)


def _figures(made: Made, known: Examples, logits: Floats | None) -> tuple[Figure, ...]:
    """How far the network agrees with held-out labels, or its first classifier with those it had not seen, as they
    were given."""
    network = made.network
    if logits is None:
        if not made.is_measurable:
            return ()
        given = known.targets[made.learn]
        return cross_validated(made.head, given, ", before fine-tuning", network.label_threshold)
    said = network.chances(logits) >= network.label_threshold if network.multilabel else logits
    given = known.targets[made.held]
    return (_agreement(said, given, network.multilabel, "labels held out of the training"),)


def cross_validated(head: Head, targets: Floats, when: str = "", threshold: float = HALF) -> tuple[Figure, ...]:
    """How far a head agreed with labels it had not seen, and `when` in the training; nothing for a handful."""
    if len(targets) < MEASURED_FROM or not np.ptp(head.out_of_fold):  # uniform: too few of each class to hold any out
        return ()
    said = head.out_of_fold >= threshold if head.independent else head.out_of_fold
    return (_agreement(said, targets, head.independent, f"labels, cross-validated{when}"),)


def _agreement(said: Floats | Any, targets: Floats, multilabel: bool, measured_on: str) -> Figure:
    """The share of texts where the likeliest class, or for multilabel every decision, is that of the label."""
    same = right_of(said, targets, multilabel=multilabel)
    lo, hi = wilson(float(same.sum()), len(same))
    name = "exact_match" if multilabel else "accuracy"
    return Figure(name, float(same.mean()), lo, hi, len(same), measured_on)


def save_with_card(model: Saves, card: Card, folder: Path) -> None:
    """A model and its card in place of the folder, in one step; what was kept of its training is done with."""
    with replacing(folder) as partial:
        model.save(partial)
        write_card(card, partial)
    forget(folder)


def write_card(card: Card, folder: Path) -> None:
    """The card as people read it, and as `add_figures` does."""
    for name, text in _card_files(card).items():
        (folder / name).write_text(text, encoding="utf-8")


def _card_files(card: Card) -> dict[str, str]:
    shown = replace(card, encoder=public_name(card.encoder), facts=public_facts(dict(card.facts)))
    return {"README.md": shown.text(), FACTS: _as_json({"format": FORMAT, "card": asdict(shown)})}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(_as_json(value), encoding="utf-8")


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
