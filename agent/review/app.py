"""The review page as a Starlette app: routes, JSON in and out, errors as sentences. What it does is in `desk`."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from agent.errors import DataError, UserError
from agent.job import Job
from agent.records import Text, TextId, Value
from agent.review import bulk
from agent.review.claiming import Ask, claim, figures
from agent.review.clerk import Clerk, ForAll
from agent.review.desk import MOST_COUNTED, Desk, NotALabel, Seen, Stale
from agent.review.guard import HEADERS, Door, Guard
from agent.review.parts import whole_parts
from agent.review.standing import standing
from agent.store import Filter, QueueRow, Store
from agent.store.reviewers import LEAD
from agent.tasks import ExtractiveQa, Regression, Task, label_names
from agent.tasks.hierarchy import is_tree, ordered, parent
from agent.web import LOOPBACK, answer

HERE = Path(__file__).parent
BODY_LIMIT_BYTES = 1 << 20
MOST_ITEMS, MOST_AGAIN = 50, 500  # at a time; what one person put off comes after what they put off once more
QUICK, SLOW = 12, 4
"""Requests that are seen to at a time: what is about a few texts, and what may take long. Most of them wait for the
same lock, and every thread more takes time from the one that has it."""
NOTE_LIMIT, LONGEST_WORDS = 2000, 500
FEW = 10
"""Up to this many labels are buttons with a number key each; more become a list with a filter."""

Told = dict[str, Any]
Act = Callable[[Desk, dict[str, Any]], Told | Callable[[], Told]]
"""What a request does, and its answer; or what makes the answer once everything is saved."""
DeskOf = Callable[[Request], Desk]
Handler = Callable[[Request], Awaitable[Response]]


def create_app(
    store: Store,
    job: Job,
    task: Task,
    person: str | None,
    *,
    hosts: Collection[str] | None = LOOPBACK,
    known: Sequence[tuple[Text, Value]] = (),
) -> Starlette:
    """The page for the review of one job.

    Args:
        person: who reviews. None where several do: each shows the token that `Store.add_reviewer` gave them.
        known: texts whose answer is known, for `people.honey_pots`.
        hosts: names that a request's Host header may carry, without the port; IPv6 in brackets. None is any.

    Raises JobFileError where the job's guideline file cannot be read.
    """
    store.set_votes(job.name, job.people.votes)
    first = Desk(store, job, task, person or "", lead=person is not None, known=known)
    _ = first.look  # takes some seconds where the job redacts: before there is a page that waits
    door = Door(hosts, partial(store.reviewer, job.name) if person is None else None)
    page = _page(first)

    def desk_of(request: Request) -> Desk:
        who = request.scope.get("reviewer")
        return first if who is None else first.of(who.name, lead=who.role == LEAD)

    def token_of(request: Request) -> str:
        who = request.scope.get("reviewer")
        return door.token if who is None else door.token_of(who.name)

    refused = (Stale, NotALabel, HTTPException)
    quick = _Window(desk_of, Clerk(store, job.name, refused), CapacityLimiter(QUICK))
    slow = _Window(desk_of, Clerk(store, job.name, refused, few=False), CapacityLimiter(SLOW))

    async def next_items(request: Request) -> Response:
        ask = asked_next(desk_of(request), dict(request.query_params))
        return await (quick if ask.only is None else slow).for_all(items, ask)  # to look for some goes through many

    async def index(request: Request) -> Response:
        return page(request, desk_of(request), token_of(request))

    async def session(request: Request) -> Response:
        return answer({"token": token_of(request), "session": desk_of(request).session})

    async def picture(request: Request) -> Response:
        text_id = _id(_json(request.query_params.get("id", "")))
        return await _picture(desk_of(request), text_id, slow.at_work)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/session", session),
            Route("/api/items", next_items),
            Route("/api/text", slow.looks(text)),
            Route("/api/picture", picture),
            Route("/api/standing", slow.looks(lambda desk, _: standing(desk))),
            Route("/api/done", slow.looks(done)),
            Route("/api/done/item", slow.looks(done_item)),
            Route("/api/bulk", slow.looks(bulk_plan), methods=["GET"]),
            Route("/api/bulk", slow.writes(bulk_begin), methods=["POST"]),
            Route("/api/bulk/check", slow.looks(bulk_check)),
            Route("/api/bulk/more", slow.writes(bulk_more), methods=["POST"]),
            Route("/api/bulk/accept", slow.writes(bulk_accept), methods=["POST"]),
            Route("/api/label", quick.writes(label), methods=["POST"]),
            Route("/api/skip", quick.writes(skip), methods=["POST"]),
            Route("/api/undo", quick.writes(undo), methods=["POST"]),
            Route("/api/let-go", quick.writes(let_go), methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[
            Middleware(Guard, door=door),
            Middleware(RequestBodyLimitMiddleware, max_body_size=BODY_LIMIT_BYTES),
        ],
        exception_handlers={HTTPException: failed, UserError: unavailable, Exception: broken},
    )


def _page(desk: Desk) -> Callable[[Request, Desk, str], Response]:
    """The page's HTML, with everything in it that stays the same for all items."""
    described, names = desk.job.task.labels, label_names(desk.task)
    guidelines = desk.job.guidelines
    settings = {
        "widget": desk.task.widget,
        "none": isinstance(desk.task, ExtractiveQa) and desk.task.may_be_none,
        "counted": MOST_COUNTED,
        "labels": [{"name": n, "about": described.get(n, ""), **_group(n, names)} for n in ordered(names)],
    }
    if isinstance(desk.task, Regression):
        settings["scale"] = scale_of(desk.task, described)
    context = {
        "job": desk.job.name,
        "guidelines": prose(guidelines) if guidelines else "",
        "many": len(names) > FEW,
        "pictured": desk.job.data.image is not None,
    }
    templates = Jinja2Templates(HERE / "templates")

    def page(request: Request, mine: Desk, token: str) -> Response:
        known = settings | {"session": mine.session, "token": token}
        own = {"person": mine.person, "lead": mine.lead, "settings": known}
        return templates.TemplateResponse(request, "page.html", context | own)

    return page


def scale_of(task: Regression, described: Mapping[str, str]) -> dict[str, Any]:
    """What the page knows of a scale: its ends, its step, its grades where they are few, and what some mean."""
    scale = task.scale
    grades = [task.show(grade) for grade in scale.grades]
    return {
        "low": scale.low,
        "high": scale.high,
        "step": scale.step,
        "said": str(scale),
        "grades": grades,
        "digits": bool(grades) and all(len(grade) == 1 for grade in grades),
        "meanings": {task.show(task.read(name)): words for name, words in described.items() if words},
    }


def _group(name: str, names: Sequence[str]) -> dict[str, str]:
    """What a label that is a path stands below, and what it is called there."""
    group = parent(name) if is_tree(names) else ""
    return {"group": group, "short": name[len(group) + 1 :]} if group else {}


def prose(markdown: str) -> Markup:
    """Markdown as HTML; HTML inside it stays text, pictures are left out, links that run something are refused."""
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(markdown))  # noqa: S704


# What can be asked and done ------------------------------------------------------------------------------------


def asked_next(desk: Desk, asked: dict[str, Any]) -> Ask:
    """`limit` next items; with `again` also what was skipped, with a filter only what fits it."""
    again = asked.get("again") == "1"
    limit = min(max(_whole(asked.get("limit"), 8), 1), MOST_AGAIN if again else MOST_ITEMS)
    return Ask(desk, limit, again, _filter(desk, asked))


def items(asks: Sequence[Ask]) -> list[Callable[[], Told]]:
    """The next items and the figures; with a filter also `matching`: how many fit it."""

    def shown(ask: Ask, rows: Sequence[QueueRow], now: Told) -> Told:
        desk, only = ask.desk, ask.only
        matching = None if only is None else desk.matching(only)
        return {"items": desk.cards(rows), "figures": now, "session": desk.session, "matching": matching}

    found, stands = claim(asks), figures([ask.desk for ask in asks])
    return [partial(shown, ask, rows, ask.desk.keep(now)) for ask, rows, now in zip(asks, found, stands, strict=True)]


def text(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """A whole text; `id` is a JSON string, since an id may hold what no URL can."""
    whole = desk.text(_id(_json(asked.get("id", ""))))
    return {"text": whole, **whole_parts(desk.task, whole)}


async def _picture(desk: Desk, text_id: TextId, at_work: CapacityLimiter) -> Response:
    """The picture of a text, by the text's id alone: no path comes from outside. Its type is that of its bytes, which
    is never one that a browser runs."""
    try:
        image = await run_sync(desk.picture, text_id, limiter=at_work)
    except (Stale, DataError):  # a message would name the folder
        image = None
    if image is None:
        raise HTTPException(404, "The picture of this text is not there, or is not the one that it was.")
    return Response(image.raw, media_type=image.media_type)


def label(desk: Desk, asked: dict[str, Any]) -> Told:
    """Give a label; with `instead`, the id of an act, in the place of the one that was given then."""
    instead = asked.get("instead")
    place = None if instead is None else _act(instead)
    act = desk.label(_id(asked.get("id")), asked.get("value"), _seconds(asked), place, seen=_seen(asked))
    # now, and not once it is saved: what comes after it in the same commit counts it too
    return {"figures": desk.figures_after(act)}


def skip(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """Put a text off; a `note` flags it."""
    note = asked.get("note")
    if note is not None and (not isinstance(note, str) or not note.strip() or len(note) > NOTE_LIMIT):
        raise HTTPException(400, f"note: a text of at most {NOTE_LIMIT} characters was expected")
    desk.skip(_id(asked.get("id")), _seconds(asked), note, seen=_seen(asked))
    return {"figures": desk.figures()}


def let_go(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """The page is left: others may have the texts `ids` that were fetched ahead, or all that this person had."""
    ids = asked.get("ids")
    if ids is not None and (not isinstance(ids, list) or len(ids) > MOST_AGAIN):
        raise HTTPException(400, "ids: a list of text ids was expected")
    desk.let_go(None if ids is None else [_id(i) for i in ids])
    return {}


def done(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """What this person did, newest first; with `before`, the id of an act, what came before it."""
    before = asked.get("before")
    return desk.done(None if before is None else _act(before)) | {"session": desk.session}


def done_item(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """What the act with this id was about, to be shown again."""
    return desk.show_again(_act(asked.get("act")))


def undo(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    newest = asked.get("newest")
    if newest is not None and not isinstance(newest, int):
        raise HTTPException(400, "newest: the id of the newest act, or null")
    act = asked.get("act")
    return desk.undo(newest, None if act is None else _act(act)) | {"figures": desk.figures()}


def bulk_plan(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """What it takes to accept all that fits a filter at once."""
    return bulk.plan(desk, _filter(desk, asked))


def bulk_begin(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """Draw the texts that are checked first; `only` is the filter, as `items` takes it."""
    only = asked.get("only")
    if not isinstance(only, dict) or not all(isinstance(v, str) for v in only.values()):
        raise HTTPException(400, "only: what the filter asks was expected, as text")
    return bulk.begin(desk, _filter(desk, only)).told()


def bulk_check(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """Where the check with this id is."""
    return bulk.check(desk, _act(asked.get("bulk"))).told()


def bulk_more(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """Check more of it."""
    return bulk.more(desk, _act(asked.get("bulk"))).told()


def bulk_accept(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """Accept the rest at once."""
    return bulk.accept(desk, _act(asked.get("bulk")), _seconds(asked)) | {"figures": desk.figures()}


def _filter(desk: Desk, asked: dict[str, Any]) -> Filter | None:
    """The filter of a request, None without one."""
    words, person = str(asked.get("words", "")).strip(), str(asked.get("person", "")).strip()
    if len(words) > LONGEST_WORDS:
        raise HTTPException(400, f"words: at most {LONGEST_WORDS} characters were expected")
    if person and not desk.lead:
        raise HTTPException(400, "person: only a lead may look for what somebody labelled")
    only = Filter(
        words=words,
        label=asked.get("label") or None,
        round=_round(asked.get("round") or None),
        low=_share("from", asked.get("from") or None),
        high=_share("to", asked.get("to") or None),
        person=person or None,
        disagree=asked.get("disagree") == "1",
        flagged=asked.get("flagged") == "1",
        skipped=asked.get("skipped") == "1",
        bulk=None if not asked.get("bulk") else _act(asked["bulk"]),
    )
    return None if only == Filter() else replace(only, of_everybody=desk.lead)


def _round(found: str | None) -> int | None:
    if found is None:
        return None
    number = _whole(found, -1)
    if not 0 <= number < 2**31:
        raise HTTPException(400, "round: a number was expected")
    return number


def _share(name: str, found: str | None) -> float | None:
    try:
        number = None if found is None else float(found)
    except ValueError:
        number = math.nan
    if number is not None and not 0 <= number <= 1:
        raise HTTPException(400, f"{name}: a number from 0 to 1 was expected")
    return number


def _seen(asked: dict[str, Any]) -> Seen | None:
    """How the page showed the text of a request; None where it does not say."""
    found = asked.get("seen")
    if not isinstance(found, dict):
        return None
    return Seen(blind=found.get("blind") is True, torn=found.get("torn") is True)


def _id(found: object) -> TextId:
    if not isinstance(found, str):
        raise HTTPException(400, "id: a text id was expected")
    return TextId(found)


def _act(found: object) -> int:
    number = _whole(found, 0)
    if isinstance(found, bool) or not 0 < number < 2**63:
        raise HTTPException(400, "an id was expected: a number")
    return number


def _seconds(asked: dict[str, Any]) -> float:
    found = asked.get("seconds", 0.0)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise HTTPException(400, "seconds: a number was expected")
    return float(found)


def _whole(found: object, default: int) -> int:
    try:
        return int(str(found))
    except ValueError:
        return default


# In and out ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """Where requests of one kind are seen to: at whose desk, so many at a time, what changes something by a clerk."""

    desk_of: DeskOf
    clerk: Clerk
    at_work: CapacityLimiter

    def looks(self, act: Act) -> Handler:
        """A GET that changes nothing."""

        async def look(request: Request) -> Response:
            desk = self.desk_of(request)
            return await self._done(desk, partial(act, desk, dict(request.query_params)))

        return look

    async def for_all(self, act: ForAll, ask: Ask) -> Response:
        """What is done for all who ask for it at about the same time, and what came of this one's."""
        return await self._done(ask.desk, partial(self.clerk.done_for_all, act, ask))

    def writes(self, act: Act) -> Handler:
        """A POST."""

        async def write(request: Request) -> Response:
            try:
                body = _json(await request.body())
            except ClientDisconnect:  # nobody hears the answer, and nothing was done
                return answer({"error": "the request broke off"}, 400)
            if not isinstance(body, dict):
                raise HTTPException(400, "a JSON object was expected")
            desk = self.desk_of(request)
            return await self._done(desk, partial(self.clerk.done, partial(act, desk, body)))

        return write

    async def _done(self, desk: Desk, act: Callable[[], Told | Callable[[], Told]]) -> Response:
        """Run one act in a thread (the store blocks) and say what came of it."""

        def run() -> Told:
            came = act()
            return came() if callable(came) else came

        try:
            return answer(await run_sync(run, limiter=self.at_work))
        except Stale as stale:
            now = await run_sync(desk.figures, limiter=self.at_work)
            return answer({"error": str(stale), "figures": now}, 409)
        except NotALabel as wrong:
            return answer({"error": f"Not saved: {wrong}"}, 422)


def _json(body: bytes | str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "not JSON") from None


async def failed(request: Request, error: Exception) -> Response:
    """A request that makes no sense."""
    assert isinstance(error, HTTPException)
    return answer({"error": error.detail}, error.status_code)


async def unavailable(request: Request, error: Exception) -> Response:
    """The store cannot be used now; the page keeps what it has and tries again."""
    return answer({"error": str(error)}, 503)


async def broken(request: Request, error: Exception) -> Response:
    """A bug, here or in a task of one's own; the traceback is in the server's terminal.

    Starlette answers this outside of every middleware, so that the guard cannot put its headers on it.
    """
    reply = answer({"error": f"The server failed on this ({type(error).__name__}); its terminal says more."}, 500)
    reply.headers.update(HEADERS)
    return reply
