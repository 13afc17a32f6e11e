"""The student of questions about a text: a light head that points at where the answer begins and ends.

Two linear scores of each word, softmax over the words of a context (as BERT's head for SQuAD has it, Devlin et al.
2019, arXiv:1810.04805, 4.2), on what a frozen encoder says of the word behind its question, how near that is to the
question, and what words they share (`agent.student.clues`). It knows no task and no pool.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.errors import ModelError
from agent.pairing import split
from agent.records import Floats, Prediction, Rows, Text, TextId, Value
from agent.student.choosing import MOST_WORDS, Scores, as_value, choose, words_of_answer
from agent.student.clues import IN_ALL, clues, of_context, sentence_numbers
from agent.student.head import one_thread
from agent.student.solver import minimise
from agent.student.windows import SEGMENTS, Window

if TYPE_CHECKING:
    from agent.student.encoder import Encoder

AT_ONCE = 256
"""Texts whose words are in memory together."""
WORDS_KEPT = 200_000
"""Words of taught texts whose states are kept from round to round: 150 MB."""
MOST_TAUGHT = 1500
"""Texts; of more, so many by chance teach."""
NEARNESS = 2
PENALTY = 2.0
"""Of the squared weights, in nats: with 100 and 400 questions of xquad_en F1 was 0.29 and 0.39; a tenth of it cost
0.03, and so did five times as much with 400."""
TOLERANCE = 1e-4
LENGTH_PRIOR = 0.5
"""Answers of each length that are taken for seen beforehand."""


@dataclass(frozen=True, eq=False)
class Passage:
    """A question and the w words of its context.

    Attributes:
        places: characters of each word.
        states: (w, dim) float16.
        asked: (dim,) float32, the mean of the question's tokens.
    """

    question: str
    context: str
    places: list[tuple[int, int]]
    states: Floats
    asked: Floats

    def features(self, scale: float) -> Floats:
        """(w, dim + `NEARNESS` + `clues.SIZE`) float32."""
        states = self.states.astype(np.float32)
        shared = clues(self.question, self.context, self.places)
        near = _nearness(states, self.asked, sentence_numbers(self.context, self.places))
        return np.hstack([states / np.float32(scale), near, shared])

    def whole(self) -> Floats:
        """(`IN_ALL`,) float32 of question and context as a whole."""
        return of_context(clues(self.question, self.context, self.places))


def _nearness(states: Floats, asked: Floats, sentences: np.ndarray) -> Floats:
    """(w, `NEARNESS`) float32: how near each word is to the question, and its sentence, by their cosines."""
    out = np.zeros((len(states), NEARNESS), np.float32)
    if not len(states):
        return out
    sums = np.zeros((int(sentences[-1]) + 1, states.shape[1]), np.float32)
    np.add.at(sums, sentences, states)
    out[:, 0], out[:, 1] = _cosines(states, asked), _cosines(sums, asked)[sentences]
    return out


def _cosines(rows: Floats, other: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(other)
    found: Floats = rows @ other / np.maximum(lengths, np.float32(1e-6))
    return found


class Reader:
    """`agent.records.Student` for questions. Its targets are values of `agent.tasks.ExtractiveQa`.

    An answer begins and ends where the tokenizer parts words. The doubt of a text is what the probability of its
    answer lacks to one, among all pieces of the context and, where that may be, no answer.
    """

    def __init__(self, encoder: Callable[[], Encoder], *, may_be_none: bool) -> None:
        self._encoder, self._may_be_none = encoder, may_be_none
        self._weights: Floats = np.zeros((0, 2), np.float32)
        self._none: Floats = np.zeros((IN_ALL, 2), np.float32)
        self._lengths: Floats = np.zeros(MOST_WORDS, np.float32)
        self._scale = 1.0
        self._known: OrderedDict[TextId, Passage] = OrderedDict()

    def fit(self, texts: Sequence[Text], targets: Any, weights: Floats, rng: np.random.Generator) -> None:
        """Learn from texts and their answers."""
        kept: Rows = np.flatnonzero(weights > 0)
        if len(kept) > MOST_TAUGHT:
            kept = np.sort(rng.choice(kept, MOST_TAUGHT, replace=False))
        passages = list(self._taught([texts[i] for i in kept.tolist()]))
        wanted = [targets[i] for i in kept.tolist()]
        answers = [words_of_answer(value, p.places) for value, p in zip(wanted, passages, strict=True)]
        is_taught = [
            bool(p.places) and (answer is not None or (self._may_be_none and not value))
            for value, p, answer in zip(wanted, passages, answers, strict=True)
        ]
        places = [k for k, taught in enumerate(is_taught) if taught]
        if not places:
            raise ModelError("nothing to learn from: no answer stands where it is read")
        self._fit([passages[k] for k in places], [answers[k] for k in places], weights[kept][places])

    def _fit(self, passages: Sequence[Passage], answers: Sequence[tuple[int, int] | None], weights: Floats) -> None:
        norms = [np.linalg.norm(p.states.astype(np.float32), axis=1).mean() for p in passages]
        self._scale = max(float(np.mean(norms)), 1e-6)
        lessons = _Lessons.of(passages, answers, weights / weights.mean(), self._scale, self._may_be_none)
        with one_thread():
            found = minimise(lessons.loss, np.zeros((lessons.width, 2), np.float32), TOLERANCE)
        self._weights, self._none = found[:-IN_ALL], found[-IN_ALL:]
        sizes = [min(answer[1] - answer[0], MOST_WORDS - 1) for answer in answers if answer]
        counts = np.bincount(sizes, minlength=MOST_WORDS) + LENGTH_PRIOR
        self._lengths = np.log(counts / counts.max()).astype(np.float32)

    def predict(self, texts: Sequence[Text]) -> Prediction:
        if not len(self._weights):
            raise RuntimeError("the reader has learnt nothing yet: fit it or load it first")
        values: list[Value] = []
        doubt = np.zeros(len(texts), np.float32)
        for start in range(0, len(texts), AT_ONCE):
            chunk = [t.text for t in texts[start : start + AT_ONCE]]
            for passage in passages_of(self._encoder(), chunk):
                value, doubt[len(values)] = self._read(passage)
                values.append(value)
        return Prediction(values, np.clip(doubt, 0, 1))

    def _read(self, passage: Passage) -> tuple[Value, float]:
        """The answer, and the doubt in it."""
        with one_thread():
            scores = passage.features(self._scale) @ self._weights
            if self._may_be_none:
                scores = scores - passage.whole() @ self._none
        stretch = Scores(0, scores[:, 0], scores[:, 1])
        found = choose([stretch], len(passage.places), self._lengths, may_be_none=self._may_be_none)
        return as_value(found, passage.context, passage.places), 1 - found.probability

    def _taught(self, texts: Sequence[Text]) -> Iterator[Passage]:
        """The words of each text, those that were taught before as they were kept."""
        new = {t.id: t.text for t in texts if t.id not in self._known}
        fresh = dict(zip(new, passages_of(self._encoder(), list(new.values())), strict=True))
        for text in texts:
            passage = self._known.get(text.id) or fresh[text.id]
            self._known[text.id] = passage
            yield passage
        left = sum(len(p.places) for p in self._known.values())
        while left > WORDS_KEPT:
            left -= len(self._known.popitem(last=False)[1].places)

    def save(self, folder: str) -> None:
        """The head; the encoder is the job's."""
        from safetensors.numpy import save_file

        state = {"weights": self._weights, "none": self._none, "lengths": self._lengths}
        save_file(state | {"scale": np.array([self._scale], np.float32)}, Path(folder) / "reader.safetensors")

    def load(self, folder: str) -> None:
        from safetensors.numpy import load_file

        path = Path(folder) / "reader.safetensors"
        try:
            state = load_file(path)
            self._weights, self._none, self._lengths = (state[name] for name in ("weights", "none", "lengths"))
            self._scale = float(state["scale"][0])
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{path}: no reader can be read there ({error})") from None


@dataclass(frozen=True, eq=False)
class _Lessons:
    """n texts, one row for each word and one for no answer, text by text.

    Attributes:
        rows: (r, width) float32; `width` is a word's features and then those of a whole context.
        starts: (n,) the first row of each text; a text's last row is that of no answer.
        right: (n, 2) the rows where its answer begins and ends.
        weights: (n,) float32.
        has_none: whether no answer is possible.
    """

    rows: Floats
    starts: np.ndarray
    right: np.ndarray
    weights: Floats
    has_none: bool

    @property
    def width(self) -> int:
        return int(self.rows.shape[1])

    @classmethod
    def of(
        cls,
        passages: Sequence[Passage],
        answers: Sequence[tuple[int, int] | None],
        weights: Floats,
        scale: float,
        has_none: bool,
    ) -> _Lessons:
        parts, starts, right, at = [], [], [], 0
        for passage, answer in zip(passages, answers, strict=True):
            own = passage.features(scale)
            block = np.zeros((len(own) + 1, own.shape[1] + IN_ALL), np.float32)
            block[:-1, : own.shape[1]], block[-1, own.shape[1] :] = own, passage.whole()
            starts.append(at)
            right.append((at + len(own), at + len(own)) if answer is None else (at + answer[0], at + answer[1]))
            parts.append(block)
            at += len(block)
        return cls(np.concatenate(parts), np.array(starts), np.array(right), weights.astype(np.float32), has_none)

    def loss(self, theta: Floats) -> tuple[float, Floats]:
        """Nats lost a text in naming both words, and the penalty; with the gradient."""
        scores = self.rows @ theta
        sizes = np.diff(np.append(self.starts, len(scores)))
        if not self.has_none:
            scores[self.starts + sizes - 1] = -np.inf
        scores -= np.repeat(np.maximum.reduceat(scores, self.starts), sizes, axis=0)
        chances = np.exp(scores)
        totals = np.add.reduceat(chances, self.starts)
        chances /= np.repeat(totals, sizes, axis=0)
        count = np.float32(len(self.starts))
        lost = sum(float(self.weights @ (np.log(totals[:, k]) - scores[self.right[:, k], k])) for k in range(2))
        for k in range(2):
            np.add.at(chances[:, k], self.right[:, k], np.float32(-1))
        chances *= np.repeat(self.weights, sizes)[:, None]
        gradient = (self.rows.T @ chances + np.float32(PENALTY) * theta) / count
        return (lost + PENALTY / 2 * float((theta**2).sum())) / float(count), gradient


def passages_of(encoder: Encoder, texts: Sequence[str]) -> Iterator[Passage]:
    """The words of each text: one that stands in several windows as it is read in that which shows most around it."""
    every = encoder.windows(texts)
    states: list[Floats] = [np.zeros((0, encoder.dim), np.float16)] * len(every)
    asked: list[Floats] = [np.zeros(encoder.dim, np.float32)] * len(every)
    for batch in encoder.batches([len(w.tokens) for w in every]):
        rows = [every[i] for i in batch.tolist()]
        given = {"input_ids": [w.tokens for w in rows]}
        if rows[0].segments is not None:
            given[SEGMENTS] = [w.segments or [] for w in rows]
        hidden = encoder.layer_states(given)
        for row, i in enumerate(batch.tolist()):
            states[i] = hidden[row, every[i].begins].astype(np.float16)
            if every[i].asked:
                asked[i] = hidden[row, every[i].asked].mean(axis=0)
    of_text: dict[int, list[int]] = {}
    for i, window in enumerate(every):
        of_text.setdefault(window.text, []).append(i)
    for number, text in enumerate(texts):
        own = of_text[number]
        yield _merged(text, [every[i] for i in own], [states[i] for i in own], asked[own[0]])


def _merged(text: str, own: Sequence[Window], states: Sequence[Floats], asked: Floats) -> Passage:
    question, context = split(text)
    count = max(w.first + len(w.places) for w in own)
    places: list[tuple[int, int]] = [(0, 0)] * count
    whole: Any = np.zeros((count, len(asked)), np.float16)
    room = np.full(count, -1)
    for window, of_window in zip(own, states, strict=True):
        size = len(window.places)
        around = np.minimum(np.arange(size), np.arange(size)[::-1])
        for k in range(size):
            if around[k] > room[window.first + k]:
                at = window.first + k
                places[at], whole[at], room[at] = window.places[k], of_window[k], around[k]
    return Passage(question, context, places, whole, asked)
