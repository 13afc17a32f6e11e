"""Labels into a model of your own: fine-tune the encoder on them, calibrate it, and save it where anyone can load it.

Knows labelled texts and a folder; no store, no oracle and no loop.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.distill.card import Card, Figure
from agent.distill.finetune import Course, Lessons, Progress, Trained, finetune, warm_start
from agent.distill.network import Network
from agent.distill.saving import replacing, replacing_file
from agent.distill.targets import Examples, best_temperature, hold_out
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.records import Label, Student, Text
from agent.student.encoder import BUILTIN, Encoder
from agent.tasks import Task
from agent.tasks.intervals import wilson

FACTS = "labelwright.json"
FORMAT = 1


@dataclass(frozen=True)
class Distilled:
    """What came of it.

    Attributes:
        folder: the model's.
        trained: epochs and losses.
        temperature: that its logits were divided by; 1 where too few labels were held out to tell.
        figures: on the held-out labels; none where none were held out.
        learnt, held_out: numbers of texts.
        seconds: that it took.
    """

    folder: Path
    trained: Trained
    temperature: float
    figures: tuple[Figure, ...]
    learnt: int
    held_out: int
    seconds: float


def distil(
    examples: Examples,
    settings: DistilSettings,
    *,
    encoder: Encoder | str = BUILTIN,
    folder: str | Path,
    facts: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
) -> Distilled:
    """Fine-tune `encoder` on labelled texts and save a standard `transformers` folder.

    The classifier starts as a penalised logistic regression on what the encoder says; then the whole network learns.
    Of a hundred labels or more, a fifth is held out: it picks the epoch, sets the temperature, which is folded into
    the classifier's weights, and gives the card its figure; then the network learns once more for so many epochs, from
    every label, as a fifth of a few hundred is too much to leave unused. The same arguments give the same files on
    one machine.

    Args:
        examples: the labelled texts and their seed.
        settings: epochs and learning rate.
        encoder: loaded, or a name that `Encoder.load` knows.
        folder: replaced in one step; until then, and after any failure, the old one stands.
        facts: for the model card, see `agent.distill.card.Card`; `made_from` finds its own there.
        progress: told (texts seen, texts to see).

    Raises DataError without labels, ModelError where the encoder cannot be used or the folder not be written.
    """
    began = time.monotonic()
    known = examples.checked()
    source = encoder if isinstance(encoder, Encoder) else Encoder.load(encoder)
    network = Network.open(source, known.names, multilabel=known.multilabel, seed=known.seed)
    lessons, held_out = _lessons(network, known)
    course = Course(settings.epochs, settings.learning_rate, known.seed)
    warm_start(network, lessons, known.seed)
    trained = finetune(network, lessons, course, held_out, progress)
    temperature, figures = _calibrate(network, held_out)
    if held_out is not None:
        network, lessons = _learn_everything(source, known, course, trained.epochs, temperature)
    training = {
        "encoder": _public_name(source.name),
        "seed": known.seed,
        "epochs": trained.epochs,
        "learning rate": settings.learning_rate,
        "texts learnt from": len(lessons),
        "texts held out first, to choose the epochs": 0 if held_out is None else len(held_out),
        "temperature": round(temperature, 4),
    }
    card = Card(known.names, known.multilabel, source.name, source.max_tokens, training, figures, facts or {})
    with replacing(Path(folder)) as partial:
        network.save(partial)
        _write_card(card, partial)
    seconds = time.monotonic() - began
    held = 0 if held_out is None else len(held_out)
    return Distilled(Path(folder), trained, temperature, figures, len(lessons), held, seconds)


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
    about = _read_json(where / FACTS)
    if about is None or "card" not in about:
        raise ModelError(f"{where}: no model that `distil` made: it has no {FACTS}")
    said = dict(about["card"])
    new = {(f.name, f.measured_on) for f in figures}
    old = [f for f in (Figure(**f) for f in said.pop("figures")) if (f.name, f.measured_on) not in new]
    card = Card(**said, figures=[*old, *figures])
    for name, text in _card_files(card).items():
        with replacing_file(where / name) as partial:
            partial.write_text(text, encoding="utf-8")


def made_from(folder: str | Path) -> str | None:
    """The fact `made_from` of the model in a folder: a hash of its labels, say. None where there is none."""
    about = _read_json(Path(folder) / FACTS) or {}
    found = (about.get("facts") or about.get("card", {}).get("facts") or {}).get("made_from")
    return None if found is None else str(found)


def _learn_everything(
    source: Encoder, known: Examples, course: Course, epochs: int, temperature: float
) -> tuple[Network, Lessons]:
    """A network that learnt from every label for as many epochs as proved best on the held-out ones."""
    network = Network.open(source, known.names, multilabel=known.multilabel, seed=known.seed)
    lessons = Lessons(network.tokens(known.texts), known.targets, known.weights)
    warm_start(network, lessons, known.seed)
    if epochs:
        finetune(network, lessons, replace(course, epochs=epochs))
    network.divide_logits(temperature)
    return network, lessons


def _lessons(network: Network, examples: Examples) -> tuple[Lessons, Lessons | None]:
    """What is learnt from, and what is held out."""
    learn, held = hold_out(examples, np.random.default_rng([examples.seed, 0]))
    lessons = Lessons(network.tokens(examples.texts), examples.targets, examples.weights)
    return lessons.part(learn), lessons.part(held) if len(held) else None


def _calibrate(network: Network, held_out: Lessons | None) -> tuple[float, tuple[Figure, ...]]:
    """Fold the best temperature into the network. Returns it, and how far the network agrees with held-out labels."""
    if held_out is None:
        return 1.0, ()
    logits = network.logits(held_out.tokens)
    temperature = best_temperature(logits, held_out.targets, held_out.weights, multilabel=network.multilabel)
    network.divide_logits(temperature)
    if network.multilabel:
        same = ((logits >= 0) == (held_out.targets >= 0.5)).all(axis=1)
    else:
        same = logits.argmax(axis=1) == held_out.targets.argmax(axis=1)
    lo, hi = wilson(float(same.sum()), len(same))
    name = "exact_match" if network.multilabel else "accuracy"
    return temperature, (Figure(name, float(same.mean()), lo, hi, len(same), "labels held out of the training"),)


def _public_name(encoder: str) -> str:
    """Of a folder, its own name and not the whole path, which tells about the machine."""
    return Path(encoder).name if Path(encoder).is_dir() else encoder


def _write_card(card: Card, folder: Path) -> None:
    for name, text in _card_files(card).items():
        (folder / name).write_text(text, encoding="utf-8")


def _card_files(card: Card) -> dict[str, str]:
    about = asdict(card) | {"encoder": _public_name(card.encoder)}
    return {"README.md": card.text(), FACTS: _as_json({"format": FORMAT, "card": about})}


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
