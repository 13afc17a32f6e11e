"""How one endpoint wants to be asked: what it takes of a request, found out from what it refuses and how it answers.

All of them speak OpenAI's protocol, each a little differently. An endpoint that refuses a field names it with HTTP
400 or 422, in its own words; one that ignores a field answers as if it had not been sent. Nothing here sends
anything: a refusal or an answer goes in, and a dialect that has learnt from it comes out. It only ever learns, in few
steps, so that asking again after each comes to an end. docs/endpoints.md has examples of each with their sources.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.records import Answer, Message, Question

TOP_LOGPROBS = 20
FEW_LOGPROBS = 5  # what is tried where twenty are too many and nobody says how many are not
LIMITS = ("max_completion_tokens", "max_tokens")  # the same limit by its new name and its old one
STRUCTURED = {"structured_outputs": "choice", "response_format": "json_schema"}  # which answer mode needs the field
SYSTEM = "system"
REFUSALS = (400, 403, 422, 500)  # a template that knows no system role is an error of the server for some
SAID = ("error", "message", "detail", "details", "msg", "loc", "param", "code", "type")
MOST_SAID = 4000  # characters of a refusal that are read

REFUSED = re.compile(
    r"unsupported|not support|n't support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|forbidden|"
    r"unavailable|not available|not enabled|not implemented|cannot find field|additional propert|at the same time|"
    r"invalid param|only [^.]{1,40} (?:supported|allowed)"
)
TOO_MUCH = re.compile(r"too large|too long|context length|limit was reached|context window")
BESIDES = re.compile(  # names of fields that are not the refused one
    r"(?:please )?use [^.]*instead|(?<!not )\b(?:supported|allowed|valid) (?:param|field|value).*|"
    r"\b(?:when|while|together with) .*"
)
MOST = re.compile(
    r"(?:less than or equal to|at most|no more than|maximum(?: value)?(?: of| is)?|max(?:imum)? allowed(?: is)?|"
    r"between \d+ and|up to|not exceed|<=)[\s:']*(\d+)"
)
NO_SYSTEM = re.compile(
    r"system (?:role|message|prompt)s?[^.]{0,40}(?:not|n't|un) ?(?:be )?support|n't support[^.]{0,20}\bsystem\b|"
    r"not support '?system|only user and assistant roles|roles must alternate|"
    r"(?:system|developer) instruction is not enabled"
)
QUOTED = re.compile(r"['\"]input['\"]: .*?(?=\}, \{['\"]type|\}\]|\Z)", re.DOTALL)  # in a list that Python wrote


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is known of one endpoint and model.

    Attributes:
        without: what it refuses: fields of the request by name, and `system` for messages of that role.
        top_logprobs: most alternatives a token that it gives.
        both_limits: it ignores what it does not know, so that the limit of an answer goes out by both of its names.
            Whoever knows neither ignores it, and nobody can tell before an answer is too long.
    """

    without: frozenset[str] = frozenset()
    top_logprobs: int = TOP_LOGPROBS
    both_limits: bool = False

    # What is sent ---------------------------------------------------------------------------------------------------

    def limits(self, most: int) -> dict[str, int]:
        """The limit of an answer. One always goes out: no worst case would hold without."""
        names = [n for n in LIMITS if n not in self.without] or [LIMITS[0]]
        return dict.fromkeys(names if self.both_limits else names[:1], most)

    def logprobs(self) -> dict[str, Any]:
        """What asks for token probabilities."""
        if "logprobs" in self.without:
            return {}
        return {"logprobs": True, "top_logprobs": self.top_logprobs}

    def turns(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The messages; where there is no system role, what it says stands before the first turn of the user.

        Raises DataError where a picture cannot be read.
        """
        if SYSTEM in self.without and len(messages) > 1 and messages[0].role == SYSTEM:
            system, first, *rest = messages
            messages = [replace(first, content=f"{system.content}\n\n{first.content}"), *rest]
        return [{"role": m.role, "content": _content(m)} for m in messages]

    # What is learnt -------------------------------------------------------------------------------------------------

    def refused(self, status: int, body: Any) -> Dialect:
        """What a refusal teaches; the same where it teaches nothing, such as that a prompt is too long.

        Args:
            status: of HTTP.
            body: decoded JSON, whatever came.
        """
        param, said = _complaint(body)
        if status not in REFUSALS:
            return self
        if NO_SYSTEM.search(said) and status != 403:
            return replace(self, without=self.without | {SYSTEM})
        if status == 500 or (status == 403 and "logprobs" not in said):
            return self  # what these mean otherwise has nothing to do with fields
        if fewer := self._fewer_logprobs(param, said):
            return fewer
        if TOO_MUCH.search(said) or not REFUSED.search(said):
            return self
        named = {param} if param in _FIELDS else {n for n in _FIELDS if _names(n, BESIDES.sub("", said))}
        found = self._limit(named, said) | {n.removeprefix("top_") for n in named.difference(LIMITS)}
        return replace(self, without=self.without | found)

    def answered(self, question: Question, answer: Answer) -> Dialect:
        """What an answer teaches: one that is longer than its limit shows that the limit was ignored."""
        return replace(self, both_limits=True) if is_longer(question, answer) else self

    def ignoring(self) -> Dialect:
        """It ignored one field that it does not know, so it may ignore another."""
        return replace(self, both_limits=True)

    def merged(self, other: Dialect) -> Dialect:
        """What both know."""
        return Dialect(
            self.without | other.without,
            min(self.top_logprobs, other.top_logprobs),
            self.both_limits or other.both_limits,
        )

    def _fewer_logprobs(self, param: str, said: str) -> Dialect | None:
        """None where it does not say that there are too many."""
        if not (param.endswith("logprobs") or "logprobs" in said):
            return None
        told = [int(n) for n in MOST.findall(said) if int(n) < self.top_logprobs]
        vague = not told and not REFUSED.search(said) and ("too " in said or "invalid" in said)
        if vague and self.top_logprobs > FEW_LOGPROBS:
            told = [FEW_LOGPROBS]
        if told and told[-1] > 0:
            return replace(self, top_logprobs=told[-1])
        return replace(self, without=self.without | {"logprobs"}) if told or vague else None

    def _limit(self, named: set[str], said: str) -> set[str]:
        """Which name of the limit is refused, of those that were sent; never the last one."""
        sent = self.limits(1)
        hit = [n for n in sent if n in named]
        if len(sent) == 2:
            return {LIMITS[1]} if len(hit) == 2 or "at the same time" in said else set(hit)
        return set(hit) if any(n not in sent and n not in self.without for n in LIMITS) else set()

    # For people, and for the store ----------------------------------------------------------------------------------

    def described(self) -> str:
        """What differs from the usual, such as "takes `max_tokens`, no system role, 5 token probabilities"."""
        return ", ".join(self._differences())

    def _differences(self) -> Iterator[str]:
        if self.both_limits and len(self.limits(1)) == 2:
            yield "ignores fields that it does not know, so `max_tokens` goes beside `max_completion_tokens`"
        elif LIMITS[0] in self.without:
            yield "takes `max_tokens`"
        if "temperature" in self.without:
            yield "takes no `temperature` (its own default holds)"
        if SYSTEM in self.without:
            yield "no system role (it goes before the first turn)"
        if "logprobs" not in self.without and self.top_logprobs < TOP_LOGPROBS:
            yield f"{self.top_logprobs} token probabilities"
        for name in STRUCTURED:
            if name in self.without:
                yield f"takes no `{name}`"

    def kept(self) -> dict[str, Any]:
        """As plain JSON, which `of` reads."""
        return {
            "without": sorted(self.without),
            "top_logprobs": self.top_logprobs,
            "both_limits": self.both_limits,
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Dialect:
        """What `kept` gave."""
        return cls(frozenset(kept["without"]), kept["top_logprobs"], kept["both_limits"])


_FIELDS = (*LIMITS, "temperature", "logprobs", "top_logprobs", *STRUCTURED)


class Speaker:
    """What a client of an endpoint has learnt of it. Mixed into whoever writes requests.

    `on_learnt` is told the dialect before and after, `on_warning` what nothing can be done about.
    """

    name: str

    def __init__(self) -> None:
        self.dialect = Dialect()
        self.on_learnt: Callable[[Dialect, Dialect], None] = lambda _before, _after: None
        self.on_warning: Callable[[str], None] = lambda _: None
        self._told: set[bool] = set()

    def learn(self, found: Dialect) -> None:
        """Ask in that way from now on."""
        before, self.dialect = self.dialect, self.dialect.merged(found)
        if self.dialect != before:
            self.on_learnt(before, self.dialect)

    def refused(self, status: int, body: Any, spoken: Dialect) -> bool:
        """Learn from a refusal of what was said in the dialect `spoken`. Whether the same question, asked in another
        way, may be taken: not where it is the answer mode that was refused, since that is another question."""
        found = spoken.refused(status, body)
        if found == spoken:
            return False
        self.learn(found)
        return not (found.without - spoken.without) & set(STRUCTURED)

    def heard(self, question: Question, answer: Answer, spoken: Dialect) -> None:
        """Learn from an answer to what was said in `spoken`, and tell a person where its limit did not hold: once
        where that can be mended, and once where it cannot."""
        if not is_longer(question, answer) or answer.usage is None:
            return
        found = spoken.answered(question, answer)
        mended = found.limits(1) != spoken.limits(1)
        self.learn(found)
        if mended in self._told:
            return
        self._told.add(mended)
        took, most = answer.usage.completion_tokens, question.schema.max_tokens
        way = (
            "the limit is sent as `max_tokens` as well from now on"
            if mended
            else "it knows its limit by no name, so that no worst case holds: see docs/endpoints.md"
        )
        self.on_warning(
            f"an answer took {took} tokens where {most} were allowed, so it may cost more than was set aside; {way}"
        )


def _content(message: Message) -> str | list[dict[str, Any]]:
    """What a turn says, as the protocol has it: its words, or parts where it shows a picture."""
    if message.picture is None:
        return message.content
    return [
        {"type": "text", "text": message.content},
        {"type": "image_url", "image_url": {"url": message.picture.uri()}},
    ]


def is_longer(question: Question, answer: Answer) -> bool:
    """Whether an answer took more tokens than it may."""
    return answer.usage is not None and answer.usage.completion_tokens > question.schema.max_tokens


def _names(field: str, said: str) -> bool:
    return re.search(rf"(?<!\w){field}(?!\w)", said) is not None


def _complaint(body: Any) -> tuple[str, str]:
    """The field that an error names as such, "" where it names none, and all that it says, in lower case.

    What it quotes of our request is left out: a text that is labelled must not teach anything.
    """
    params = [part for name, part in _walk(body, "") if name == "param"]
    said = " ".join(part for _, part in _walk(body, ""))
    return (params[0] if params else "").lower(), said[:MOST_SAID].lower()


def _walk(part: Any, name: str) -> Iterator[tuple[str, str]]:
    """Every text of an error with the key that it stands under."""
    if isinstance(part, str):
        inner = _decoded(part) if part.lstrip().startswith(("{", "[")) else None
        yield from [(name, QUOTED.sub("", part))] if inner is None else _walk(inner, name)
    elif isinstance(part, list):
        for one in part:
            yield from _walk(one, name)
    elif isinstance(part, Mapping):
        for key, one in part.items():
            if key in SAID:
                yield from _walk(one, str(key))


def _decoded(text: str) -> Any:
    """A gateway's error may hold that of the server behind it, as JSON in a text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
