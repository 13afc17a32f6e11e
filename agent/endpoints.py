"""From an oracle's settings to someone who can be asked: found, probed, its questions ready, its purse open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from agent.asking import REMEDY, Asker, Asking
from agent.balance import Balance, Endpoint
from agent.bulk import BulkAsker
from agent.doubt import Prior
from agent.engines import Engine, check_extra
from agent.errors import EndpointError, JobFileError, TapeError, UserError
from agent.framing import puts
from agent.job import OracleSettings
from agent.ledger import BatchLedger
from agent.oracle import (
    BatchApi,
    ChatOracle,
    FileOracle,
    Phrasing,
    Put,
    Questions,
    Sampling,
    Shards,
    Spool,
    TapeOracle,
    Template,
    one_a_class,
)
from agent.oracle.prompt import AnswerMode
from agent.pacing import Pace, Turns
from agent.probing import Site, acquaint, agreed, away, greet, listen, meet, meet_late, present, site_of
from agent.records import Text, TextId
from agent.serving import name_of, started
from agent.tasks import prompt_of
from agent.workbench import Workbench


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
    """The oracle itself, with one address if any, nothing sent yet.

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
        str(bench.job.path(bench.job.task.prompt)) if bench.job.task.prompt else prompt_of(bench.task)
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
        picture=partial(bench.picture, settings),
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
    if len(settings.addresses) > 1:
        return await _several(bench, settings)
    oracle = reach(bench, settings)
    if isinstance(oracle, FileOracle):
        (name,) = bench.ledger.endpoints(settings.name)
        acquaint(bench, oracle, name, settings.name)
        listen(bench, oracle, settings.name)
        return Seat(settings, in_batches(bench, settings, oracle), questions_of(bench, settings, oracle.mode))
    asker = _asker(bench, settings, _alone(settings, oracle))
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
    _check_no_batches(bench, settings, "the place of `serve`")
    questions, _ = questions_of(bench, settings, "json_schema"), bench.ledger
    address = await started(bench, settings)
    oracle = ChatOracle(address, called=name_of(bench, settings))
    asker = _asker(bench, settings, _alone(settings, oracle), remedy="look at that log")
    if bench.halted:  # it may not be ready: nothing more is sent
        return Seat(settings, asker, questions)
    try:
        return await _seat(bench, settings, oracle, asker)
    except BaseException:
        await oracle.close()
        raise


def _check_no_batches(bench: Workbench, settings: OracleSettings, place: str) -> None:
    """Raises UserError where batches are under way: nobody else than the endpoint they were sent to knows of them."""
    if bench.store.batches(bench.job.name, settings.name, unfinished=True):
        raise UserError(
            f"oracle {settings.name}: batches are under way at the endpoint that it had before; put its `base_url` "
            f"back in {place}, and `labelwright run` ends them first"
        )


def _asker(bench: Workbench, settings: OracleSettings, balance: Balance, remedy: str = REMEDY) -> Asker:
    return Asker(
        balance.endpoints[0].oracle,
        bench.ledger,
        bench.store,
        attempts=settings.attempts,
        balance=balance,
        watch=lambda state: bench.watch.asking(settings.name, state, bench.ledger.purse),
        remedy=remedy,
    )


def _alone(settings: OracleSettings, oracle: ChatOracle | TapeOracle) -> Balance:
    return Balance([Endpoint(oracle, _pace(settings))])


def _pace(settings: OracleSettings, turns: Turns | None = None) -> Pace:
    limits = settings.limits
    return Pace(settings.max_concurrency, limits.requests_per_minute, limits.tokens_per_minute, turns=turns)


async def _seat(bench: Workbench, settings: OracleSettings, oracle: ChatOracle, asker: Asker) -> Seat:
    """An endpoint that listens, once it has shown what it obeys."""
    (name,) = bench.ledger.endpoints(settings.name)
    site = Site(settings, oracle, name, settings.name)
    mode = await meet(bench, site)
    present(bench, site)
    return Seat(settings, await _way(bench, settings, oracle, asker), questions_of(bench, settings, mode))


# Several endpoints of one model ------------------------------------------------------------------------------------


async def _several(bench: Workbench, settings: OracleSettings) -> Seat:
    """The same with several addresses: all are put the same questions, in the best way that all of them obey.

    One that is down is met when it is back. Raises EndpointError where all are, or one serves another model.
    """
    _check_key(settings)
    _check_no_batches(bench, settings, "the place of the list")
    questions_of(bench, settings, "json_schema")
    sites = [site_of(one) for one in settings.each()]
    try:
        down = await away(sites)
        bench.store.keep_together(settings.model, bench.ledger.endpoints(settings.name))
        mode, out = await agreed(bench, sites, down)
    except BaseException:
        for site in sites:
            await site.oracle.close()
        raise
    turns = Turns()
    met = {s: Endpoint(s.oracle, _pace(settings, turns), s.name, s.oracle.endpoint) for s in sites}
    balance = Balance(list(met.values()), bench.watch.note)
    for site, endpoint in met.items():
        if site in out:
            endpoint.introduce = partial(meet_late, bench, site, mode)
            balance.leave_out(endpoint, out[site])
        else:
            present(bench, site)
    return Seat(settings, _asker(bench, settings, balance), questions_of(bench, settings, mode))


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


def reset(seat: Seat) -> None:
    """Start the live figures of a new batch."""
    seat.asker.state = replace(Asking(), halted=seat.asker.state.halted)
