"""What stands beside a text in the question about it: the classes that it may be, and worked examples like it.

Both come from what is known when the text is first asked about, and are kept then: the student and people's labels
move on, and a question that changed would be another one, to be bought again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from agent.job import OracleSettings
from agent.oracle import Put, Questions
from agent.pairing import shortened
from agent.records import Floats, Source, Text, TextId, Value
from agent.selection.coldstart import zero_shot
from agent.selection.neighbours import nearest
from agent.selection.seam import Indices
from agent.store import FrameRow
from agent.tasks import ExtractiveQa, Generation, Spans
from agent.workbench import Workbench

MOST_WRITTEN_OF = 2000
"""The same of an example of a text that is written; a longer one is not shown."""
NEIGHBOURS = 10
"""Labelled texts whose labels speak for a text, beside the student."""
MOST_CHARS = 300
"""Characters of a worked example: each text brings its own, and no prefix of such a prompt can be cached."""


def puts(
    bench: Workbench, settings: OracleSettings, questions: Questions, texts: Sequence[Text], *, keep: bool = True
) -> dict[TextId, Put]:
    """How each text is put to an oracle the first time.

    Args:
        keep: note what stands beside the texts, so that they are put the same way again; False only looks.
    """
    plain = {t.id: questions.first(t) for t in texts}
    if not _wanted(settings):
        return plain
    frames = bench.store.frames(bench.job.name, plain)
    new = [t for t in texts if not _suffices(bench, settings, frames.get(t.id))]
    if new:
        made = _frames(bench, settings, new)
        if keep:
            bench.store.keep_frames(bench.job.name, made)
        frames |= made
    shown = _shown(bench, frames)
    return {
        i: replace(
            put,
            names=frames[i].names if settings.format.shortlist is not None else None,
            examples=tuple(shown[e, v] for e, v in _nearest_last(settings, frames[i]) if (e, v) in shown),
        )
        for i, put in plain.items()
    }


def _wanted(settings: OracleSettings) -> bool:
    return settings.format.shortlist is not None or settings.format.examples == "nearest"


def _most(bench: Workbench, settings: OracleSettings) -> tuple[int, int]:
    """The longest shortlist and the most examples that any oracle of the job is shown: one frame serves all."""
    forms = [settings.format, *(o.format for o in bench.job.oracle)]
    listed = max((f.shortlist or 0 for f in forms), default=0)
    return listed, max((f.nearest for f in forms if f.examples == "nearest"), default=0)


def _suffices(bench: Workbench, settings: OracleSettings, frame: FrameRow | None) -> bool:
    """Whether a kept frame holds what the format wants. Of examples it holds what there was."""
    if frame is None:
        return False
    wanted = min(settings.format.shortlist or 0, len(bench.task.names))
    return len(frame.names) >= wanted and (settings.format.examples != "nearest" or frame.examples is not None)


def _nearest_last(settings: OracleSettings, frame: FrameRow) -> list[tuple[TextId, str]]:
    """The nearest example stands right before the text: what a model read last, it follows most."""
    if settings.format.examples != "nearest":
        return []
    return list(reversed((frame.examples or ())[: settings.format.nearest]))


def _frames(bench: Workbench, settings: OracleSettings, texts: Sequence[Text]) -> dict[TextId, FrameRow]:
    """What is known now of some texts. One product of texts and known texts, in blocks of a thousand."""
    listed, most = _most(bench, settings)
    known = reviewed(bench)
    vectors = np.asarray(bench.first_vectors([t for t, _ in known])) if known else None
    found: dict[TextId, FrameRow] = {}
    for start in range(0, len(texts), 1000):
        part = texts[start : start + 1000]
        own = np.asarray(bench.first_vectors(part))
        near = nearest(own, vectors, max(most, NEIGHBOURS) + 1, "cosine")[0] if vectors is not None else None
        names = likely(_chances(bench, part, own, known, near), bench.task.names, listed) if listed else None
        for k, text in enumerate(part):
            rows = [] if near is None else [i for i in near[k].tolist() if known[i][0].text != text.text]
            examples = tuple((known[i][0].id, bench.task.show(known[i][1])) for i in rows[:most])
            found[text.id] = FrameRow(names[k] if names else (), examples if most else None)
    return found


def reviewed(bench: Workbench) -> list[tuple[Text, Value]]:
    """Labels that people stand for: the seed's, and what was reviewed so far."""
    people = {i: x.value for i, x in bench.store.current(bench.job.name).items() if x.source is Source.PERSON}
    words = bench.store.texts(bench.job.name, people)
    seed = [(t, v) for t, v in bench.seed if t.id not in people]
    return seed + [(Text(i, words[i]), people[i]) for i in people if i in words]


def _chances(
    bench: Workbench,
    texts: Sequence[Text],
    vectors: Floats,
    known: Sequence[tuple[Text, Value]],
    near: Indices | None,
) -> Floats:
    """(n, C) how likely each class is: the mean of the student's word, what neighbours are, and whose name sounds
    like the text; of those that there are."""
    names = bench.task.names
    said: list[Floats] = []
    if bench.trained:
        told = bench.student.predict(texts).probabilities
        if told is not None:
            said.append(told)
    if near is not None:
        is_class = np.array([[v == n for n in names] for _, v in known], np.float32)
        said.append(is_class[near[:, :NEIGHBOURS]].mean(axis=1))
    if not bench.trained and bench.class_texts:
        said.append(zero_shot(vectors, np.asarray(bench.first_vectors(bench.class_texts))))
    return np.asarray(np.mean(said, axis=0), np.float32) if said else np.zeros((len(texts), len(names)), np.float32)


def likely(chances: Floats, names: Sequence[str], most: int) -> list[tuple[str, ...]]:
    """The `most` likeliest classes of each text, likeliest first; of equal ones the first in the job's order."""
    order = np.argsort(-chances, axis=1, kind="stable")[:, :most]
    return [tuple(names[i] for i in row) for row in order.tolist()]


def _shown(bench: Workbench, frames: Mapping[TextId, FrameRow]) -> dict[tuple[TextId, str], tuple[Text, Value]]:
    """Worked examples by id and shown value, as texts and values."""
    wanted = {example for frame in frames.values() for example in frame.examples or ()}
    seed = {t.id: t.text for t, _ in bench.seed}
    words = seed | bench.store.texts(bench.job.name, {i for i, _ in wanted} - set(seed))
    seen = {i: bench.shown(Text(i, words[i])) for i, _ in wanted if i in words}  # redacted whole, then cut
    found: dict[tuple[TextId, str], tuple[Text, Value]] = {}
    for i, shown in wanted:
        if (text := seen.get(i)) is not None:
            value = bench.task.read(shown, Text(i, words[i]))
            if isinstance(bench.task, Generation):  # what was written of a whole text does not fit a part of it
                if len(text.text) <= MOST_WRITTEN_OF and (both := bench.shown_example(Text(i, words[i]), value)):
                    found[i, shown] = both
                continue
            text = Text(i, shortened(text.text, MOST_CHARS))
            if not isinstance(bench.task, Spans | ExtractiveQa) or bench.task.stands(value, text):
                found[i, shown] = text, value
    return found
