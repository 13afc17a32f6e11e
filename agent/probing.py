"""Getting to know an endpoint: it is greeted, asked once at the usual price what it obeys, and that is kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.asking import Asker
from agent.balance import Balance, Endpoint
from agent.errors import EndpointError, OracleError
from agent.job import OracleSettings
from agent.ledger import endpoint_of
from agent.oracle import (
    STRUCTURED,
    THINKS,
    Capabilities,
    ChatOracle,
    Dialect,
    FileOracle,
    obeyed,
    probe_question,
    serves,
    thought_only,
)
from agent.oracle.prompt import AnswerMode
from agent.pacing import Pace
from agent.records import Text, TextId
from agent.workbench import Workbench

UNSURE = "{} gives no token probabilities: its answers have no confidence"
REFUSED = re.compile(r"HTTP 4(?!08|25|29)")
WEAKEST_FIRST: tuple[AnswerMode, ...] = ("json_schema", "choice")  # of the answer modes that hold an answer


@dataclass(frozen=True, eq=False)
class Site:
    """One endpoint of an oracle.

    Attributes:
        settings: the oracle's, with this address alone.
        oracle: who is asked there.
        name: under which its answers are kept, and what is found out about it.
        called: what a person is told it is called: as the oracle, where that has no other.
    """

    settings: OracleSettings
    oracle: ChatOracle
    name: str
    called: str


def acquaint(bench: Workbench, oracle: ChatOracle | FileOracle, name: str, called: str) -> None:
    """Tell an oracle what was found out about its endpoint before, and have kept what it learns."""
    known = bench.store.dialect(name, oracle.model)
    if known is not None:
        oracle.dialect = Dialect.of(known)
    oracle.on_learnt = lambda _, now: bench.store.keep_dialect(name, oracle.model, now.kept())
    oracle.on_warning = lambda said: bench.watch.note(f"{called}: {said}")


def listen(bench: Workbench, oracle: ChatOracle | FileOracle, called: str) -> None:
    """Say in what an endpoint differs from the usual, and what more comes to light from now on."""
    if oracle.dialect.described():
        bench.watch.note(f"{called}: {oracle.dialect.described()}")
    keep = oracle.on_learnt

    def learnt(before: Dialect, now: Dialect) -> None:
        keep(before, now)
        if now.described() != before.described():
            bench.watch.note(f"{called}: {now.described()}")
        if "logprobs" in now.without - before.without:
            bench.watch.note(UNSURE.format(called))

    oracle.on_learnt = learnt


async def greet(oracle: ChatOracle) -> None:
    """Raises EndpointError where the endpoint is down, refuses the key, or serves another model. Costs nothing."""
    try:
        await welcome(oracle)
    except OracleError as error:
        raise EndpointError(
            f"oracle {oracle.name}: {error}; start the server, or mend `base_url` in the job file"
        ) from None


async def welcome(oracle: ChatOracle) -> None:
    """The same, but raises OracleError where it is down."""
    other = await serves(oracle)
    if other is not None:
        raise EndpointError(
            f"oracle {oracle.name} at {oracle.endpoint} does not serve model {oracle.model!r}; it serves: {other}"
        )


async def meet(bench: Workbench, site: Site, only: AnswerMode | None = None) -> AnswerMode:
    """Ask an endpoint what it obeys, once, at the usual price, and have it asked so; how its answers are held.

    Args:
        only: the way that its neighbours are asked in. Where it does not obey that, it is asked in the same words,
            and its answers are held to nothing.

    Raises EndpointError where it does not answer.
    """
    acquaint(bench, site.oracle, site.name, site.called)
    found = await _probe(bench, site, only)
    site.oracle.mode, site.oracle.logprobs = found.mode, found.logprobs
    return found.mode


def remembered(bench: Workbench, site: Site) -> AnswerMode | None:
    """How the answers of an endpoint that cannot be asked now were found to be held before; None where they were not,
    or it was never met."""
    acquaint(bench, site.oracle, site.name, site.called)
    settings = site.settings
    for mode in _modes(bench, site, None):
        question = probe_question(settings.model, mode, settings.thinking_tokens, settings.extra)
        found = bench.store.answer_for(question.key, site.name)
        if found is not None and obeyed(found.answer, mode):
            return mode
    return None


def present(bench: Workbench, site: Site) -> None:
    """Tell a person what an endpoint that was met does not do as usual, now and later."""
    if not site.oracle.logprobs:
        bench.watch.note(UNSURE.format(site.called))
    listen(bench, site.oracle, site.called)


# Several endpoints of one model ------------------------------------------------------------------------------------


def site_of(settings: OracleSettings) -> Site:
    """The endpoint of an oracle that has others, with this address alone."""
    oracle = ChatOracle(settings)
    return Site(settings, oracle, endpoint_of(settings), f"{settings.name} at {oracle.endpoint}")


async def away(sites: Sequence[Site]) -> dict[Site, str]:
    """Which of several are down, and why. Raises EndpointError where all are, or one does not serve the model."""
    said = await asyncio.gather(*(welcome(site.oracle) for site in sites), return_exceptions=True)
    for error in said:
        if error is not None and not isinstance(error, OracleError):
            raise error
    down = {site: str(error) for site, error in zip(sites, said, strict=True) if error is not None}
    if len(down) == len(sites):
        raise EndpointError(
            f"oracle {sites[0].oracle.name}: none of its {len(sites)} endpoints answers "
            f"({'; '.join(down.values())}); start a server, or mend `base_url` in the job file"
        )
    return down


async def agreed(
    bench: Workbench, sites: Sequence[Site], down: Mapping[Site, str]
) -> tuple[AnswerMode, dict[Site, str]]:
    """The best answer mode that all obey which obey any; and who cannot be asked, with the reason: those that are
    `down`, and those that do not answer.

    How a question is put depends on the mode, and so does its key. An answer of one endpoint counts as one of all, so
    they are asked in the same words, also where the one that obeys least is away today.

    Raises EndpointError where none answers.
    """
    found: dict[Site, AnswerMode] = {}
    silent: dict[Site, EndpointError] = {}
    for site in sites:
        try:
            if site not in down:
                found[site] = await meet(bench, site)
        except EndpointError as error:
            silent[site] = error
    if not found:
        raise next(iter(silent.values()))
    out = {**down, **{site: str(error) for site, error in silent.items()}}
    every = {*found.values(), *(remembered(bench, site) for site in out)}
    best: AnswerMode = next((m for m in WEAKEST_FIRST if m in every), "plain")
    for site, mode in found.items():
        if mode not in (best, "plain"):
            await meet(bench, site, best)
    return best, out


async def meet_late(bench: Workbench, site: Site, mode: AnswerMode) -> None:
    """Meet an endpoint that was down at the start. Raises OracleError, EndpointError where it cannot be asked yet."""
    await welcome(site.oracle)
    await meet(bench, site, mode)
    present(bench, site)


# What an endpoint obeys ---------------------------------------------------------------------------------------------


async def _probe(bench: Workbench, site: Site, only: AnswerMode | None) -> Capabilities:
    """The first way of holding answers to the schema that the endpoint obeys, with token probabilities if it can."""
    settings, oracle = site.settings, site.oracle
    # what another endpoint answered says nothing of this one
    balance = Balance([Endpoint(oracle, Pace(1), site.name)])
    asker = Asker(
        oracle, bench.ledger, bench.store, attempts=settings.attempts, balance=balance, kept_under=[site.name]
    )
    bench.on_halt(asker.halt)
    tried = await _tried(bench, site, asker, _modes(bench, site, only))
    if tried.found is None and not tried.answered and settings.answers == "auto" and REFUSED.match(tried.last):
        tried = await _tried(bench, site, asker, ("plain",))
    if tried.found is not None and (tried.found.mode != "plain" or settings.answers != "auto"):
        return tried.found
    if not tried.answered:
        said = f"no answer to the first question: {tried.last}; look at the server, then run again"
        raise EndpointError(f"oracle {site.called}: {said}")
    bench.watch.note(f"{site.called} obeys no answer schema: its answers are checked, and wrong ones are not labels")
    return tried.found or Capabilities("plain", oracle.logprobs)


def _modes(bench: Workbench, site: Site, only: AnswerMode | None) -> tuple[AnswerMode, ...]:
    """The answer modes to try, the best first."""
    answers = site.settings.answers
    modes: tuple[AnswerMode, ...] = ("choice", "json_schema") if answers == "auto" else (answers,)
    modes = modes if only is None else (only,)
    if bench.task.schema(Text(TextId("probe"), "")).choices is None:
        modes = tuple(m for m in modes if m != "choice") or ("json_schema",)
    if answers == "auto":
        refused = site.oracle.dialect.without & set(STRUCTURED)
        modes = tuple(m for m in modes if m not in {STRUCTURED[n] for n in refused})
    return modes


@dataclass
class _Tried:
    """What came of trying some modes: the first that is obeyed, whether any answer came, and the last refusal."""

    found: Capabilities | None = None
    answered: bool = False
    last: str = "HTTP 400: no answer mode is taken"


async def _tried(bench: Workbench, site: Site, asker: Asker, modes: Sequence[AnswerMode]) -> _Tried:
    """Ask in each mode, with token probabilities; where that is refused, without.

    Raises EndpointError where the money does not pay for it, or all that came were thoughts.
    """
    tried, settings, oracle = _Tried(), site.settings, site.oracle
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
                    f"oracle {site.called}: the budget of {bench.job.budget.dollars} dollars does not pay for the "
                    "first question; raise `budget.dollars`"
                )
            if asked.answer is None:
                refused, tried.last = True, asked.reasons[-1] if asked.reasons else tried.last
                if THINKS in tried.last:
                    raise EndpointError(f"oracle {site.called}: no answer to the first question: {tried.last}")
                continue
            if thought_only(asked.answer):
                raise EndpointError(f"oracle {site.called}: no answer to the first question: {THINKS}")
            tried.answered = True
            if mode == "plain" or settings.answers != "auto" or obeyed(asked.answer, mode):
                return _Tried(Capabilities(mode, logprobs and bool(asked.answer.tokens)), answered=True)
            oracle.learn(oracle.dialect.ignoring())
        if not refused:
            break
    return tried
