"""The student of tasks that label pieces of a text: a light head that tags each word, on the encoder's states.

It reads a layer two thirds up: the last one of a sentence encoder has forgotten which word is which. With 300 texts
of bc5cdr its F1 was 0.55, that of the last layer 0.47, of both together 0.55.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.errors import ModelError
from agent.records import Floats, Prediction, Rows, Text, TextId, Value
from agent.student.head import Head
from agent.tasks.bio import spans_of, tags_for, tags_of

if TYPE_CHECKING:
    from agent.student.encoder import Encoder, Words

AT_ONCE = 512
"""Texts whose words are in memory together."""
WORDS_KEPT = 200_000
"""Words of taught texts whose states are kept from round to round: 150 MB."""
FEWEST_OUTSIDE, OUTSIDE_SHARE = 4000, 4
"""Of words outside of all spans, most are alike: so many teach, or so many times those inside, each for several."""


class Tagger:
    """`agent.records.Student` for spans. Its targets are values of `agent.tasks.Spans`.

    A span begins and ends where the tokenizer parts words. The doubt of a text is that of its least certain word.
    """

    def __init__(self, types: Sequence[str], encoder: Callable[[], Encoder]) -> None:
        self.tags = tags_for(types)
        self._encoder = encoder
        self._head = Head(len(self.tags))
        self._scale = np.float32(1)
        self._known: OrderedDict[TextId, Words] = OrderedDict()

    def fit(self, texts: Sequence[Text], targets: Any, weights: Floats, rng: np.random.Generator) -> None:
        """Learn from texts and their spans."""
        place = {tag: i for i, tag in enumerate(self.tags)}
        states, wanted, counts = [], [], []
        for words, value, weight in zip(self._taught(texts), targets, weights.tolist(), strict=True):
            tags = tags_of([(a, b, label) for a, b, label, _ in value], words.places)
            states.append(words.states)
            wanted += [place.get(tag, 0) for tag in tags]
            counts += [weight] * len(tags)
        if not wanted:
            raise ModelError("nothing to learn from: no labelled text has a word")
        target, weight_of = np.array(wanted), np.array(counts, np.float32)
        rows, weight_of = _some_outside(target, weight_of, rng)
        vectors = np.concatenate(states)[rows].astype(np.float32)
        self._scale = np.float32(max(float(np.linalg.norm(vectors, axis=1).mean()), 1e-6))
        one_hot = np.eye(len(self.tags), dtype=np.float32)[target[rows]]
        self._head.fit(vectors / self._scale, one_hot, weight_of[rows], rng)

    def predict(self, texts: Sequence[Text]) -> Prediction:
        values: list[Value] = []
        doubt = np.zeros(len(texts), np.float32)
        for start in range(0, len(texts), AT_ONCE):
            chunk = [t.text for t in texts[start : start + AT_ONCE]]
            for text, words in zip(chunk, self._encoder().words(chunk), strict=True):
                value: Value = ()
                if words.places:
                    chances = self._head.predict(words.states / self._scale)
                    value, doubt[len(values)] = marked(text, words.places, chances, self.tags)
                values.append(value)
        return Prediction(values, np.clip(doubt, 0, 1))

    def _taught(self, texts: Sequence[Text]) -> Iterator[Words]:
        """Words of each text, those that were taught before as they were kept."""
        new = {t.id: t.text for t in texts if t.id not in self._known}
        fresh = dict(zip(new, self._encoder().words(list(new.values())), strict=True))
        for text in texts:
            words = self._known.get(text.id) or fresh[text.id]
            self._known[text.id] = words
            yield words
        left = sum(len(w.places) for w in self._known.values())
        while left > WORDS_KEPT:
            left -= len(self._known.popitem(last=False)[1].places)

    def save(self, folder: str) -> None:
        """Head and tags; the encoder is the job's."""
        from safetensors.numpy import save_file

        state = self._head.state() | {"scale": np.array([self._scale], np.float32)}
        save_file(state, Path(folder) / "tagger.safetensors", {"tags": "\n".join(self.tags)})

    def load(self, folder: str) -> None:
        from safetensors.numpy import load_file

        path = Path(folder) / "tagger.safetensors"
        try:
            state = load_file(path)
            self._head.restore(state)
            self._scale = np.float32(state["scale"][0])
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{path}: no tagger of these {len(self.tags)} tags: {error}") from None


def marked(text: str, places: Sequence[tuple[int, int]], chances: Floats, tags: Sequence[str]) -> tuple[Value, float]:
    """The spans that the likeliest tags of a text's words make, and the doubt in the least certain word.

    Args:
        places: of its w words, at least one.
        chances: (w, C) probabilities of their `tags`.
    """
    likeliest = [tags[i] for i in chances.argmax(axis=1).tolist()]
    value = tuple((a, b, name, text[a:b]) for a, b, name in spans_of(likeliest, places))
    return value, float(1 - chances.max(axis=1).min())


def _some_outside(target: Rows, weights: Floats, rng: np.random.Generator) -> tuple[Rows, Floats]:
    """Rows of all words inside spans and of some outside, and weights in which each of those stands for several."""
    outside = np.flatnonzero(target == 0)
    most = max(FEWEST_OUTSIDE, OUTSIDE_SHARE * (len(target) - len(outside)))
    if len(outside) <= most:
        return np.arange(len(target)), weights
    kept = rng.choice(outside, most, replace=False)
    weights = weights.copy()
    weights[outside] *= np.float32(len(outside) / most)
    return np.sort(np.concatenate([np.flatnonzero(target), kept])), weights
