"""From an oracle's settings to someone who can be asked: found, probed, its questions ready, its purse open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.asking import Asker, Asking
from agent.bulk import BulkAsker
from agent.doubt import Prior
from agent.engines import Engine, check_extra
from agent.errors import EndpointError, JobFileError, OracleError, TapeError, UserError
from agent.framing import puts
from agent.job import OracleSettings
from agent.ledger import BatchLedger
from agent.oracle import (
    STRUCTURED,
    THINKS,
    BatchApi,
    Capabilities,
    ChatOracle,
    Dialect,
    FileOracle,
    Phrasing,
    Put,
    Questions,
    Sampling,
    Shards,
    Spool,
    TapeOracle,
    Template,
    obeyed,
    one_a_class,
    probe_question,
    serves,
    thought_only,
)
from agent.oracle.prompt import AnswerMode
from agent.pacing import Pace
from agent.records import Text, TextId
from agent.serving import name_of, started
from agent.workbench import Workbench

UNSURE = "{} gives no token probabilities: its answers have no confidence"
REFUSED = re.compile(r"HTTP 4(?!08|25|29)")


@dataclass
class Seat:
    """One oracle at the table: its settings, who puts questions to it, and how a question is put."""

    settings: OracleSettings
    asker: Asker
    questions: Questions
    prior: Prior | None = None
    """Its preference for some labels, once it was found (`oracle.prior`)."""

    def puts(self, bench: Workbench, texts: Sequence[Text], *, keep: bool = True) -> dict[TextId, Put]:
        """How each text is put to it first."""
        return puts(bench, self.settings, self.questions, texts, keep=keep)


def reach(bench: Workbench, settings: OracleSettings) -> ChatOracle | FileOracle | TapeOracle:
    """The oracle itself, nothing sent yet.

    Raises TapeError, EndpointError for a key that is not set, JobFileError for a field that it cannot take.
    """
    if settings.run_batch is not None:
        if settings.own is not None:
            with bench.job.telling_lines():
                check_extra(settings)
        return FileOracle(settings)
    if settings.tape is not None:
        tape = TapeOracle(settings.name, bench.job.path(settings.tape))
        if tape.model != settings.model:
            raise TapeError(f"{tape.path}: recorded from model {tape.model!r}, but the job says {settings.model!r}")
        return tape
    _check_key(settings)
    return ChatOracle(settings)


def _check_key(settings: OracleSettings) -> None:
    """Raises EndpointError for a key that is not set, or can be none."""
    if settings.api_key_env is not None and not settings.key():
        raise EndpointError(
            f"oracle {settings.name}: environment variable {settings.api_key_env} (`api_key_env`) is not set; "
            "export it"
        )
    if not (settings.key() or "key").isascii() or not (settings.key() or "key").isprintable():
        raise EndpointError(
            f"oracle {settings.name}: its key holds a character that no key can have (an accent, a line break); "
            "copy it once more"
        )


def questions_of(bench: Workbench, settings: OracleSettings, mode: AnswerMode) -> Questions:
    """How a text is put to an oracle. Raises PromptError where the prompt does not fit the task."""
    template = Template.find(
        str(bench.job.path(bench.job.task.prompt)) if bench.job.task.prompt else bench.task.prompt
    )
    with bench.job.telling_lines():
        if settings.prior != "keep" and bench.task.widget != "choice":
            raise JobFileError(
                "job", [(0, "`oracle.prior`: is for one label a text, which this task has not; leave it out")]
            )
        phrasing = Phrasing(bench.task, bench.job.task, settings.format, bench.job.seed)
    examples = one_a_class(bench.task, bench.shown_seed) if settings.format.examples == "one_a_class" else []
    questions = Questions(
        phrasing,
        template,
        guidelines=bench.job.guidelines,
        examples=examples,
        sampling=Sampling(settings.model, mode, settings.temperature, settings.thinking_tokens, settings.extra),
        redact=bench.redactor,
    )
    questions.check(Text(TextId("check"), "a text"))
    return questions


def live(bench: Workbench, settings: OracleSettings) -> OracleSettings:
    """The same oracle, asked one by one: a pilot is waited for. Raises UserError where it cannot be."""
    if settings.run_batch is not None:
        raise UserError(
            f"oracle {settings.name}: `run_batch` answers whole files, so that there is no pilot; `labelwright "
            "estimate` without --pilot counts its tokens"
        )
    if bench.store.batches(bench.job.name, settings.name, unfinished=True):
        raise UserError(f"oracle {settings.name}: batches are under way; `labelwright run` ends them first")
    return settings.model_copy(update={"mode": "live"}) if settings.in_batches else settings


async def connect(bench: Workbench, settings: OracleSettings) -> Seat:
    """An oracle ready to be asked. What it obeys is asked of it once, at the usual price, and kept.

    Raises EndpointError where it is down, refuses the key or does not serve the model; BudgetExceeded where not even
    the probe can be paid; ExtraMissing, ModelError where texts are to be redacted and cannot be.
    """
    _ = bench.redactor  # before anything is sent
    if settings.serve is not None:
        return await _serve(bench, settings)
    oracle = reach(bench, settings)
    if isinstance(oracle, FileOracle):
        acquaint(bench, settings, oracle)
        listen(bench, settings, oracle)
        return Seat(settings, in_batches(bench, settings, oracle), questions_of(bench, settings, oracle.mode))
    asker = _asker(bench, settings, oracle)
    if isinstance(oracle, TapeOracle):
        questions = questions_of(bench, settings, oracle.mode)
        return Seat(settings, asker, questions)
    try:
        questions_of(bench, settings, "json_schema")  # what is wrong with the format is told before anything is sent
        await greet(oracle)
        return await _seat(bench, settings, oracle, asker)
    except BaseException:
        await oracle.close()
        raise


async def _serve(bench: Workbench, settings: OracleSettings) -> Seat:
    """The same with a server of one's own. What could stop the asking later is looked at before it is started."""
    _check_key(settings)
    if bench.store.batches(bench.job.name, settings.name, unfinished=True):
        raise UserError(
            f"oracle {settings.name}: batches are under way at the endpoint that it had before; put its `base_url` "
            "back in the place of `serve`, and `labelwright run` ends them first"
        )
    questions, _ = questions_of(bench, settings, "json_schema"), bench.ledger
    address = await started(bench, settings)
    oracle = ChatOracle(address, called=name_of(bench, settings))
    asker = _asker(bench, settings, oracle, remedy="look at that log")
    if bench.halted:  # it may not be ready: nothing more is sent
        return Seat(settings, asker, questions)
    try:
        return await _seat(bench, settings, oracle, asker)
    except BaseException:
        await oracle.close()
        raise


def _asker(bench: Workbench, settings: OracleSettings, oracle: ChatOracle | TapeOracle, **more: str) -> Asker:
    return Asker(
        oracle,
        bench.ledger,
        bench.store,
        max_concurrency=settings.max_concurrency,
        attempts=settings.attempts,
        pace=Pace(settings.max_concurrency, settings.limits.requests_per_minute, settings.limits.tokens_per_minute),
        watch=lambda state: bench.watch.asking(settings.name, state, bench.ledger.purse),
        **more,
    )


async def _seat(bench: Workbench, settings: OracleSettings, oracle: ChatOracle, asker: Asker) -> Seat:
    """An endpoint that listens, once it has shown what it obeys."""
    acquaint(bench, settings, oracle)
    found = await _probe(bench, settings, oracle)
    oracle.mode, oracle.logprobs = found.mode, found.logprobs
    if not found.logprobs:
        bench.watch.note(UNSURE.format(settings.name))
    listen(bench, settings, oracle)
    return Seat(settings, await _way(bench, settings, oracle, asker), questions_of(bench, settings, found.mode))


def acquaint(bench: Workbench, settings: OracleSettings, oracle: ChatOracle | FileOracle) -> None:
    """Tell an oracle what was found out about its endpoint before, and have kept what it learns."""
    endpoint = bench.ledger.endpoint(settings.name)
    known = bench.store.dialect(endpoint, settings.model)
    if known is not None:
        oracle.dialect = Dialect.of(known)
    oracle.on_learnt = lambda _, now: bench.store.keep_dialect(endpoint, settings.model, now.kept())
    oracle.on_warning = lambda said: bench.watch.note(f"{settings.name}: {said}")


def listen(bench: Workbench, settings: OracleSettings, oracle: ChatOracle | FileOracle) -> None:
    """Say in what an endpoint differs from the usual, and what more comes to light from now on."""
    if oracle.dialect.described():
        bench.watch.note(f"{settings.name}: {oracle.dialect.described()}")
    keep = oracle.on_learnt

    def learnt(before: Dialect, now: Dialect) -> None:
        keep(before, now)
        if now.described() != before.described():
            bench.watch.note(f"{settings.name}: {now.described()}")
        if "logprobs" in now.without - before.without:
            bench.watch.note(UNSURE.format(settings.name))

    oracle.on_learnt = learnt


async def _way(bench: Workbench, settings: OracleSettings, oracle: ChatOracle, live: Asker) -> Asker:
    """How an endpoint is asked: one by one, or in batches. Batches that were sent before the job said `live` are
    ended, and what came of them is kept: their money is tied up, and their questions are not to be bought twice."""
    if settings.in_batches:
        return in_batches(bench, settings, oracle)
    if bench.store.batches(bench.job.name, settings.name, unfinished=True):
        # at the price of a batch, whatever the job says now
        bulk = in_batches(bench, settings.model_copy(update={"mode": "batch"}), oracle)
        bench.watch.note(f"{settings.name}: ending the batches that were under way, as the job is live now")
        bench.on_halt(bulk.halt)
        try:
            await bulk.collect(cancel=True)
        finally:
            await bulk.carrier.close()
    return live


def in_batches(bench: Workbench, settings: OracleSettings, oracle: ChatOracle | FileOracle) -> BulkAsker:
    """Who asks an oracle in batches, their files in the output folder."""
    books = BatchLedger(
        bench.store, bench.job.name, settings, owner=bench.ledger.owner, tariff=bench.tariff(settings)
    )
    return BulkAsker(
        oracle,
        bench.ledger,
        bench.store,
        carrier=_carrier(bench, settings),
        books=books,
        watch=lambda state: bench.watch.asking(settings.name, state, bench.ledger.purse),
        note=bench.watch.note,
    )


def _carrier(bench: Workbench, settings: OracleSettings) -> BatchApi | Shards | Spool:
    """Who takes its batches away and brings them back."""
    files = settings.run_batch
    folder = bench.job.path(files.folder) if files and files.folder else bench.output("batches")
    if files is None:
        return BatchApi(settings, folder)
    if files.llm is None:
        return Shards(settings, folder)
    return Spool(settings, folder, Engine(bench, settings, files.llm))


async def greet(oracle: ChatOracle) -> None:
    """Raises EndpointError where the endpoint is down, refuses the key, or serves another model. Costs nothing."""
    try:
        other = await serves(oracle)
    except OracleError as error:
        raise EndpointError(
            f"oracle {oracle.name}: {error}; start the server, or mend `base_url` in the job file"
        ) from None
    if other is not None:
        raise EndpointError(
            f"oracle {oracle.name} at {oracle.endpoint} does not serve model {oracle.model!r}; it serves: {other}"
        )


async def _probe(bench: Workbench, settings: OracleSettings, oracle: ChatOracle) -> Capabilities:
    """The first way of holding answers to the schema that the endpoint obeys, with token probabilities if it can."""
    asker = Asker(oracle, bench.ledger, bench.store, max_concurrency=1, attempts=settings.attempts)
    bench.on_halt(asker.halt)
    modes: tuple[AnswerMode, ...] = ("choice", "json_schema") if settings.answers == "auto" else (settings.answers,)
    if bench.task.schema(Text(TextId("probe"), "")).choices is None:
        modes = tuple(m for m in modes if m != "choice") or ("json_schema",)
    if settings.answers == "auto":
        modes = tuple(m for m in modes if m not in {STRUCTURED[n] for n in oracle.dialect.without & set(STRUCTURED)})
    tried = await _tried(bench, settings, oracle, asker, modes)
    if tried.found is None and not tried.answered and settings.answers == "auto" and REFUSED.match(tried.last):
        tried = await _tried(bench, settings, oracle, asker, ("plain",))
    if tried.found is not None and (tried.found.mode != "plain" or settings.answers != "auto"):
        return tried.found
    if not tried.answered:
        said = f"no answer to the first question: {tried.last}; look at the server, then run again"
        raise EndpointError(f"oracle {settings.name}: {said}")
    bench.watch.note(
        f"{settings.name} obeys no answer schema: its answers are checked, and wrong ones are not labels"
    )
    return tried.found or Capabilities("plain", oracle.logprobs)


@dataclass
class _Tried:
    """What came of trying some modes: the first that is obeyed, whether any answer came, and the last refusal."""

    found: Capabilities | None = None
    answered: bool = False
    last: str = "HTTP 400: no answer mode is taken"


async def _tried(
    bench: Workbench, settings: OracleSettings, oracle: ChatOracle, asker: Asker, modes: Sequence[AnswerMode]
) -> _Tried:
    """Ask in each mode, with token probabilities; where that is refused, without.

    Raises EndpointError where the money does not pay for it, or all that came were thoughts.
    """
    tried = _Tried()
    for logprobs in (True, False):
        refused = False
        for mode in modes:
            oracle.mode, oracle.logprobs = mode, logprobs
            question = probe_question(settings.model, mode, settings.thinking_tokens, settings.extra)
            asked = (await asker.ask([question])).get(question.text_id)
            if asked is None and bench.halted:
                return _Tried(Capabilities(mode, logprobs), answered=True)  # nothing more is sent
            if asked is None:
                raise EndpointError(
                    f"oracle {settings.name}: the budget of {bench.job.budget.dollars} dollars does not pay for the "
                    "first question; raise `budget.dollars`"
                )
            if asked.answer is None:
                refused, tried.last = True, asked.reasons[-1] if asked.reasons else tried.last
                if THINKS in tried.last:
                    raise EndpointError(f"oracle {settings.name}: no answer to the first question: {tried.last}")
                continue
            if thought_only(asked.answer):
                raise EndpointError(f"oracle {settings.name}: no answer to the first question: {THINKS}")
            tried.answered = True
            if mode == "plain" or settings.answers != "auto" or obeyed(asked.answer, mode):
                return _Tried(Capabilities(mode, logprobs and bool(asked.answer.tokens)), answered=True)
            oracle.learn(oracle.dialect.ignoring())
        if not refused:
            break
    return tried


def reset(seat: Seat) -> None:
    """Start the live figures of a new batch."""
    seat.asker.state = replace(Asking(), halted=seat.asker.state.halted)
