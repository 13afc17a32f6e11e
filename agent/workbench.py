"""Everything a job needs, each thing opened once and only when it is first used.

`labelwright status` opens a store and nothing else; `labelwright run` opens it all. No step keeps state of its own:
it reads the store, does its work, and writes the store, so a run may die anywhere and go on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from agent.errors import DataError, JobFileError, RedactionFailed, StoreError
from agent.job import Job, OracleSettings
from agent.ledger import JobLock, Ledger, PromptTokens, RunLock, Tariff
from agent.opinions import Opinions, opinions
from agent.pairing import join, split
from agent.picture import split as split_picture
from agent.picture import words_of
from agent.pool import Pool, read_labelled
from agent.records import (
    CountTokens,
    Floats,
    Label,
    MicroDollars,
    Pick,
    Picture,
    Rows,
    Said,
    Source,
    Student,
    Text,
    TextId,
    Value,
)
from agent.store import PickRow, RouteRow, Store
from agent.tasks import Generation, Task, build
from agent.tasks.loading import look_in
from agent.tasks.pairs import Paired
from agent.watch import Silent, Watch

if TYPE_CHECKING:
    from agent.oracle.process import Server
    from agent.pool import Embeddings
    from agent.pool.knowledge import Mentions
    from agent.redaction import Redactor
    from agent.selection import Strategy
    from agent.student.encoder import Encoder


NOWHERE = -1  # the row of a text that is not in the pool

MOST_SCORED = 500_000

NO_SLICE = (
    "`selection.random_share` is 0, so that choosing cannot be compared with chance, and no figure speaks of the pool"
)

# one number a kind of random choice, so that no two choices share a stream
SELECT, FIT, TRIAGE, MEASURE, STOP_SET, SAMPLE, REFRESH, UNLABELLED, PILOT, RELABEL, AUDIT = range(11)
VALUE, SUSPECTS = range(11, 13)


class Workbench:
    """One job, opened.

    Args:
        job: the job.
        watch: who is told.
    """

    def __init__(self, job: Job, watch: Watch | None = None) -> None:
        self.job = job
        self.watch: Watch = watch or Silent()
        self.halted = False
        self.trained = False  # the student has learnt something
        self.taught: list[tuple[Text, Label]] = []  # what it learnt last, in that order
        self._tuned: Encoder | None = None  # the encoder as it was refreshed last
        self._temperature = 1.0
        self.milestone: dict[str, Any] | None = None  # what came of refreshing it last, in this run
        self._locks: list[RunLock | JobLock] = []
        look_in(job.folder)  # a user's own modules
        self._opened: list[Any] = []
        self._on_halt: list[Callable[[], None]] = []
        self._rows: dict[TextId, int] = {}  # where picked texts are in the pool
        self._picked: dict[TextId, PickRow] | None = None  # as they were last read
        self.gold_said: dict[str, dict[TextId, Said]] = {}  # what each oracle said of gold texts in this run
        self.servers: dict[str, Server] = {}  # oracle to the server that was started for it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened, the lock last."""
        while self.servers:  # who asked has ended them; this is for those who bring their own loop
            self.servers.popitem()[1].close()
        for thing in reversed(self._opened):
            thing.close()
        self._opened.clear()
        self._let_go()

    def own(self) -> None:
        """Take the job, so that one run at a time spends its money: its folder, and its name in the store.

        Nothing of the job is changed before both are had. Raises JobLocked, StoreError also for a damaged file.
        """
        if self._locks:
            return
        try:
            self._locks.append(RunLock(self.job.output_folder))
            self._locks.append(JobLock(self.existing_store, self.job.name))
            self.existing_store.check()
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        while self._locks:
            self._locks.pop().close()

    def halt(self) -> None:
        """A person wants to stop: nothing new is sent. Safe to call from a signal handler."""
        self.halted = True
        for listener in self._on_halt:
            listener()

    def on_halt(self, listener: Callable[[], None]) -> None:
        """Have `listener` called when a person stops the run; at once where that has happened."""
        self._on_halt.append(listener)
        if self.halted:
            listener()

    def rng(self, *where: int) -> np.random.Generator:
        """A generator for one random choice, the same whenever that choice is made again (law 3)."""
        return np.random.default_rng([self.job.seed, *where])

    # What a label is, and who gave which -------------------------------------------------------------------------

    @cached_property
    def task(self) -> Task:
        with self.job.telling_lines():
            return build(self.job.task)

    @cached_property
    def store(self) -> Store:
        """The store, with the job in it. Raises StoreError."""
        store = self.existing_store
        # who only looks changes nothing of a job that is there: its cap is that of the run that owns it
        looks = not self._locks
        store.open_job(self.job.name, self.job.settings(), self.job.fingerprint(), self.cap, keep=looks)
        if not looks:
            store.set_votes(self.job.name, self.job.people.votes)
        return store

    @property
    def store_of_run(self) -> Store:
        """The store that a run made: it is not made by looking. Raises StoreError where there is none."""
        file = self.job.store_url.removeprefix("sqlite:///")
        if file != self.job.store_url and not Path(file).is_file():
            raise StoreError(f"store {file}: no such file: `labelwright run` makes it")
        return self.existing_store

    @property
    def cap(self) -> MicroDollars:
        """The budget as the job file has it now."""
        return MicroDollars(int(self.job.budget.dollars * 1_000_000))

    @cached_property
    def existing_store(self) -> Store:
        """The store as it is: for commands that only look."""
        store = Store.open(self.job.store_url)
        self._opened.append(store)
        return store

    @cached_property
    def ledger(self) -> Ledger:
        """The purse. Opening it calls ambiguous what a dead run left open, so the job must be owned."""
        bounds = {name: tokens.bound for name, tokens in self.tokenizers.items()}
        ledger = Ledger(self.store, self.job.name, self.job.oracle, bounds=bounds)
        if not self._locks:
            raise RuntimeError("own the job before its ledger is opened")
        ledger.recover()
        self._opened.append(ledger)
        return ledger

    @cached_property
    def tokenizers(self) -> dict[str, PromptTokens]:
        """Oracle to its model's own tokenizer, for those that the job names one for. Raises ModelError."""
        named = {o.name: o.tokenizer for o in self.job.oracle if o.tokenizer is not None}
        folders = {name: self.job.path(given) for name, given in named.items()}
        found = {name: str(folders[name]) if folders[name].is_dir() else given for name, given in named.items()}
        return {name: PromptTokens.load(given) for name, given in found.items()}

    def tariff(self, oracle: OracleSettings) -> Tariff:
        """What an oracle's questions cost, live or in batches as the job says. Raises PriceMissing, ModelError."""
        tokens = self.tokenizers.get(oracle.name)
        of = Tariff.in_batches if oracle.in_batches else Tariff.of
        return of(oracle) if tokens is None else of(oracle, tokens.bound)

    @cached_property
    def strategy(self) -> Strategy:
        """Which texts are asked about; what it needs is looked at, so that nothing is spent before it is missed.

        Raises JobFileError, DataError for a knowledge graph that is not there or no good.
        """
        from agent.selection import find_strategy, is_own, tried, with_parts
        from agent.selection.strategies import Knowledge

        settings = self.job.selection
        with self.job.telling_lines():
            found = find_strategy(settings.strategy, settings.options)
            covers = any(isinstance(part, Knowledge) for part in with_parts(found))
            if settings.knowledge is not None and not covers and not is_own(found):
                said = f"`selection.knowledge`: strategy {settings.strategy} does not use it; "
                said += "set `strategy: knowledge` (docs/strategies.md), or leave it out"
                raise JobFileError("job", [(0, said)])
            if covers and self.mentions is None:
                said = "`selection.strategy`: knowledge needs `selection.knowledge`, a file of entities or triples"
                raise JobFileError("job", [(0, said)])
            if is_own(found):
                several = self.task.widget == "multiple"
                tried(found, len(self.task.names), multilabel=several, mentions=self._few_mentions())
        return found

    def _few_mentions(self) -> Callable[[Rows], Any] | None:
        """What the knowledge graph says of made-up texts, for a strategy of a user's own that is tried: nothing."""
        if self.job.selection.knowledge is None:
            return None
        from scipy import sparse

        return lambda rows: sparse.csr_array((len(rows), 1), dtype=np.float32)

    @property
    def without_slice(self) -> str | None:
        """What a job gives up that draws nothing by chance, as a sentence; None where it draws some."""
        settings = self.job.selection
        return NO_SLICE if settings.random_share == 0 and settings.strategy != "random" else None

    # Texts ----------------------------------------------------------------------------------------------------------

    @cached_property
    def first_encoder(self) -> Encoder:
        """The encoder that the job names, before any label tuned it."""
        from agent.student import load_encoder

        return load_encoder(self.job)

    @property
    def encoder(self) -> Encoder:
        """The encoder as it is now."""
        return self._tuned or self.first_encoder

    @property
    def is_tuned(self) -> bool:
        """Whether the encoder is another than the job names."""
        return self._tuned is not None

    def tune(self, encoder: Encoder, temperature: float) -> None:
        """Go on with a refreshed encoder beside the first: its vectors are made when they are next asked for.

        `temperature` is what the logits of the student's head on it are divided by: the encoder knows by heart what
        teaches the student, which is surer than it should be.
        """
        self._tuned, self._temperature = encoder, temperature
        for name in ("tuned_embeddings", "class_vectors", "student"):
            self.__dict__.pop(name, None)

    @cached_property
    def pool(self) -> Pool:
        return Pool.open(self.job.data, self.job, self.count_tokens)

    @cached_property
    def count_tokens(self) -> CountTokens:
        """Tokens of texts, as the encoder counts them that the job names; without a student it is not loaded."""
        from agent.student import load_counter
        from agent.student.paired import counted_apart

        count = self.first_encoder.count_tokens if self.job.has_student else load_counter(self.job)
        if self.job.data.image is not None:
            return lambda texts: count([words_of(text) for text in texts])
        return counted_apart(count) if isinstance(self.task, Paired) else count

    @cached_property
    def first_embeddings(self) -> Embeddings:
        """The pool's vectors by the first encoder, made where they are missing; a pool too large to be scored whole
        is embedded text by text, where it is looked at."""
        return self._embedded(self.first_encoder, len(self.pool) <= MOST_SCORED)

    @cached_property
    def tuned_embeddings(self) -> Embeddings | None:
        """The same by the refreshed encoder, if there is one."""
        return None if self._tuned is None else self._embedded(self._tuned, len(self.pool) <= self.most_scored)

    def _embedded(self, encoder: Encoder, whole: bool) -> Embeddings:
        from agent.pool import Embeddings
        from agent.student.paired import PairEncoder

        cache = self.job.path(self.job.student.cache) if self.job.student.cache else self.job.output_folder / "cache"
        encodes = PairEncoder(encoder) if isinstance(self.task, Paired) else encoder
        made = Embeddings(cache / "embeddings", encodes.key, encodes.dim, encodes.encode)
        if whole:
            made.fill(self.pool, lambda done, total: self.watch.progress("embedding", done, total))
        return made

    @property
    def most_scored(self) -> int:
        """Most candidates that a round looks at; all of them where nobody looks."""
        if not self.job.has_student:
            return len(self.pool)
        return MOST_SCORED if self._tuned is None else self.job.student.refresh.pool

    def scored(self, taken: Iterable[int]) -> tuple[Rows, float]:
        """Rows of the pool that a round looks at, ascending, and what share they are of all that are not taken.

        `taken` may hold `NOWHERE`. All, or of a huge pool as many as `most_scored`: the first in an order by chance
        that stays the same for as long as the encoder does. So each text is embedded once, and what others take makes
        room for as many new ones.
        """
        is_free = np.ones(len(self.pool), bool)
        is_free[[row for row in taken if row >= 0]] = False
        free, most = np.flatnonzero(is_free), self.most_scored
        if len(free) <= most:
            return free, 1.0
        key = hashlib.sha256(self.encoder.key.encode()).digest()
        order = self.rng(SAMPLE, int.from_bytes(key[:4])).random(len(self.pool))[free]
        return np.sort(free[np.argpartition(order, most)[:most]]), most / len(free)

    @property
    def class_texts(self) -> list[Text]:
        """Name and description of each class, in words; none for pairs: a name is no pair, and is like none."""
        if isinstance(self.task, Paired):
            return []
        told = self.job.task.labels
        words = {name: name.replace("_", " ") for name in self.task.names}
        said = {n: f"{w}: {told[n]}" if told.get(n) else w for n, w in words.items()}
        return [Text(TextId(f"class {name}"), text, NOWHERE) for name, text in said.items()]

    @cached_property
    def class_vectors(self) -> Floats | None:
        """(C, d) float32: `vectors` of names and descriptions of the classes; None without classes, and for pairs."""
        return self.vectors(self.class_texts) if self.class_texts else None

    @cached_property
    def mentions(self) -> Mentions | None:
        """What the pool's texts mention of the job's knowledge graph, or None where it has none. Raises DataError."""
        from agent.pool.knowledge import Mentions

        name = self.job.selection.knowledge
        if name is None:
            return None
        cache = self.job.output_folder / "cache"
        told = partial(self.watch.progress, "matching entities")
        found = Mentions.open(self.job.path(name), self.pool, cache, told)
        if found.unmentioned:
            of = f"{found.unmentioned} of {len(found.names)} entities and relations"
            self.watch.note(f"{name}: {of} are mentioned by no text of the pool")
        return found

    @cached_property
    def seed(self) -> list[tuple[Text, Value]]:
        """The labelled seed; a text that is in the pool has its row there."""
        return self._labelled(self.job.data.seed, "data.seed")

    @cached_property
    def gold(self) -> list[tuple[Text, Value]]:
        """Gold texts that are not in the pool: what the student is measured on."""
        return [(t, v) for t, v in self._gold if t.row < 0]

    @cached_property
    def pool_gold(self) -> dict[TextId, Value]:
        """Gold values of pool texts: what the oracle's labels are measured on."""
        return {t.id: v for t, v in self._gold if t.row >= 0}

    @cached_property
    def _gold(self) -> list[tuple[Text, Value]]:
        """Each gold text once, and none that teaches."""
        found = self._labelled(self.job.data.gold, "data.gold")
        if isinstance(self.task, Generation):
            found = self.task.together(found)
        once: dict[TextId, tuple[Text, Value]] = {}
        torn = [t.text for t, value in found if once.setdefault(t.id, (t, value))[1] != value]
        if torn:
            said = f"{self.job.data.gold}: {len(torn)} rows give a text another label than a row above did"
            raise DataError(f"{said}; keep one row of each (`data.gold`), such as of {torn[0][:60]!r}")
        taught = {t.id for t, _ in self.seed}
        kept = [row for text_id, row in once.items() if text_id not in taught]
        if len(kept) < len(found):
            told = f"{self.job.data.gold}: of {len(found)} gold texts {len(kept)} are left"
            self.watch.note(f"{told}, without copies and without those in the seed, which teach")
        return kept

    def _labelled(self, name: str | None, key: str) -> list[tuple[Text, Value]]:
        if name is None:
            return []
        path = self.job.path(name)
        if not path.exists():
            raise DataError(f"{path}: no such file (`{key}` of the job file)")
        return read_labelled(path, self.job.data, self.task, key=key, pool=self.pool, images=self.job.images)

    @cached_property
    def redactor(self) -> Redactor | None:
        """What hides personal data from oracles; None where none is asked for. Raises ExtraMissing, ModelError."""
        from agent.redaction import redactor_of

        return redactor_of(self.job)

    def shown(self, text: Text) -> Text | None:
        """A text as an oracle may see it; None where it could not be redacted, and so must not be sent."""
        if self.redactor is None:
            return text
        try:
            return replace(text, text=self.redactor(text.text))
        except RedactionFailed:
            return None

    def picture(self, settings: OracleSettings, text: Text) -> Picture | None:
        """The picture that an oracle is shown beside a text; None where the job or the text has none."""
        images, (_, reference) = self.job.images, split_picture(text.text)
        if images is None or reference is None:
            return None
        return Picture(reference.sha256, settings.image_tokens or 0, lambda: images.read(reference).uri)

    def shown_example(self, text: Text, value: Value) -> tuple[Text, Value] | None:
        """A text and its label as an oracle may see them. What was written of a text may name what it names: both are
        looked through together, so that the same has the same placeholder in both."""
        if self.redactor is None or not isinstance(self.task, Generation):
            seen = self.shown(text)
            return None if seen is None else (seen, value)
        both = self.shown(replace(text, text=join(text.text, self.task.write(value))))
        if both is None:
            return None
        words, written = split(both.text)
        return replace(text, text=words), written

    @cached_property
    def shown_seed(self) -> list[tuple[Text, Value]]:
        """The seed as oracles may see it, whole: an example is cut after it was redacted."""
        if self.redactor is None:
            return self.seed
        seen = [self.shown_example(t, value) for t, value in self.seed]
        kept = [both for both in seen if both is not None]
        if len(kept) < len(seen):
            lost = len(seen) - len(kept)
            self.watch.note(f"{lost} texts of the seed could not be redacted: no oracle is shown them as examples")
        return kept

    # The student ----------------------------------------------------------------------------------------------------

    @cached_property
    def student(self) -> Student:
        return self.new_student()

    def new_student(self, *, first: bool = False) -> Student:
        """A student that has learnt nothing yet, on the encoders as they are now, or on the `first` one alone: there
        no label has left its mark on the vectors, so that sets of labels can be compared."""
        from agent.student import build_student

        with self.job.telling_lines():
            if first or self._tuned is None:
                return build_student(self.job, self.task, self.first_vectors, encoder=lambda: self.first_encoder)
            return build_student(self.job, self.task, self.vectors, (1.0, self._temperature))

    @cached_property
    def to_write(self) -> str | None:
        """What a job of generation teaches to write, as `agent.distill.Writer.open` takes it; None where it names
        nothing. Fetched from a hub where it has to be. Raises ModelError, ExtraMissing."""
        named = self.job.distil.model
        if named is None or not self.job.distil.enabled:
            return None
        from agent.distill.writer import ready

        own = self.job.path(named)
        return ready(str(own) if own.exists() else named)

    def vectors(self, texts: Sequence[Text]) -> Any:
        """(n, d) float32 embeddings, made or read when a student first asks: one that wants none costs none. Those of
        a refreshed encoder lie beside the first one's: (n, 2d), of length one."""
        from agent.student.heads import side_by_side

        tuned = self.tuned_embeddings
        first = self.first_vectors(texts)
        return first if tuned is None else side_by_side(first, tuned.vectors(texts))

    def first_vectors(self, texts: Sequence[Text]) -> Any:
        """(n, d) float32 by the first encoder alone."""
        return self.first_embeddings.vectors(texts)

    def picks(self) -> dict[TextId, PickRow]:
        """Every text that was ever picked, with its row in the pool as it is now, or `NOWHERE`.

        Raises DataError where the pool has another text under the id of a picked one.
        """
        if self._picked is None:
            found = {p.text_id: p for p in self.store.picks(self.job.name)}
            self._place([p for i, p in found.items() if i not in self._rows])
            moved = {i: replace(p, row=self._rows[i]) for i, p in found.items() if p.row != self._rows[i]}
            self._picked = found | moved
        return self._picked

    def pick(self, number: int, picks: Sequence[Pick], texts: Mapping[TextId, str]) -> None:
        """Keep the choice of round `number`. Only the run that owns the job picks: what was read before is whole."""
        self.store.add_picks(self.job.name, number, picks, texts)
        self._picked = None

    def route(self, rows: Sequence[RouteRow], *, tx: Any = None) -> None:
        """Keep decisions, each in the round that picked its text: what was put off, or is asked again, is decided
        about in a later one."""
        found: dict[int, list[RouteRow]] = {}
        for row in rows:
            found.setdefault(self.picks()[row.text_id].round, []).append(row)
        for of_round, own in found.items():
            self.store.add_routes(self.job.name, of_round, own, tx=tx)

    def _place(self, picks: Sequence[PickRow]) -> None:
        """Find picked texts in the pool: its file may have grown, shrunk or been sorted since they were picked."""
        rows = self.pool.rows_of([p.text_id for p in picks])
        inside = [(p, row) for p, row in zip(picks, rows.tolist(), strict=True) if row >= 0]
        texts = self.pool.texts(np.array([row for _, row in inside], np.int64))
        for (pick, _), text in zip(inside, texts, strict=True):
            if text.text != pick.text:
                raise DataError(
                    f"{self.job.data.pool}: id {pick.text_id!r} has another text than when it was labelled; put the "
                    "old text back, give the new one an id of its own, or give the job another `output`"
                )
        self._rows |= {p.text_id: row for p, row in zip(picks, rows.tolist(), strict=True)}

    def lessons(self) -> list[tuple[Text, Label]]:
        """What the student may learn from: the label that counts of every picked text, and the seed.

        A text that came into the seed after it was picked has the seed's label, unless a person gave it one.
        """
        seeded = {t.id: label for t, label in self.seed_labels()}
        counts = {**self.store.current(self.job.name), **self.opinions().labels()}
        current = {i: label if label.source is Source.PERSON else seeded.get(i, label) for i, label in counts.items()}
        picked = self.picks()
        rows = [(Text(i, picked[i].text, picked[i].row), label) for i, label in current.items() if i in picked]
        known = {text.id for text, _ in rows}
        return rows + [(t, label) for t, label in self.seed_labels() if t.id not in known]

    def opinions(self) -> Opinions:
        """What counts where several labelled one text."""
        return opinions(self.store, self.job.name, self.task, [oracle.by for oracle in self.job.oracle])

    def seed_labels(self) -> list[tuple[Text, Label]]:
        """The seed as labels: trusted, free, and no machine's."""
        return [(t, Label(t.id, v, Source.SEED, by="seed")) for t, v in self.seed]

    def output(self, name: str) -> Path:
        """A path in the output folder, which is made."""
        self.job.output_folder.mkdir(parents=True, exist_ok=True)
        return self.job.output_folder / name
