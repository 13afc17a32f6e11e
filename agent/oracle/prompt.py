"""From a text to a question: templates, their variables, worked examples and the hash of it all.

A template has two blocks, `system` (what is fixed) and `user` (one text). A variable that the template needs and the
task does not give is an error, and so is one that the task gives and the template does not use: either means that the
prompt does not say what somebody thinks it says.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

import jinja2
import jinja2.meta
import jinja2.nodes

import agent
from agent.errors import PromptError, RedactionFailed
from agent.oracle.fence import fenced
from agent.oracle.marking import marked, unused_mark
from agent.oracle.phrasing import PLAIN, Phrasing, Put, Reading
from agent.pairing import shortened
from agent.records import Answer, AnswerSchema, Message, Picture, Question, Text, Value
from agent.tasks import Generation, Task

AnswerMode = Literal["choice", "json_schema", "plain"]
TEXTS = ("text", "second_text")
"""Variables that hold what is labelled: made harmless, and never part of the fixed first message."""
EXAMPLES, MOST_CHARS = 3, 2000  # of texts that are written
SYSTEMS = 8  # first messages that are kept: one for each order of the labels, and the like


def prompts_folder() -> Path:
    """Where the released templates are: inside the installed package, or beside it in a checkout."""
    packaged = Path(agent.__file__).parent / "prompts"
    return packaged if packaged.is_dir() else Path(agent.__file__).parent.parent / "prompts"


class Template:
    """One prompt template: `name` is `task/version` under prompts/, or a path to a file of your own."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.hash = hashlib.sha256(f"{name}\n{source}".encode()).hexdigest()[:16]
        # plain text for a model, not HTML: the text is fenced instead
        environment = jinja2.Environment(
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # noqa: S701
        )
        try:
            tree = environment.parse(source)
            self.needs = jinja2.meta.find_undeclared_variables(tree)
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise PromptError(f"{name}:{error.lineno}: {error.message}") from None
        missing = {"system", "user"} - set(self._template.blocks)
        if missing:
            raise PromptError(f"{name}: a prompt needs the blocks `system` and `user`; missing: {', '.join(missing)}")
        if misplaced := _needed_by("system", tree, environment) & set(TEXTS):
            raise PromptError(
                f"{name}: the block `system` uses {_names(misplaced)}; what is labelled belongs into the block `user`"
            )

    @classmethod
    def find(cls, name: str) -> Template:
        """Raises PromptError where there is no such template."""
        path = Path(name) if name.endswith(".jinja") else prompts_folder() / f"{name}.jinja"
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"{path}: cannot read the prompt: {getattr(error, 'strerror', error)}") from None
        # a released template is known by its name, so that its hash is the same on every machine
        return cls(path.name if name.endswith(".jinja") else name, source)

    def check(self, given: set[str]) -> None:
        """Raises PromptError for a variable that is missing or unused."""
        if missing := self.needs - given:
            raise PromptError(
                f"prompt {self.name}: uses {_names(missing)}, which the task does not give; it gives {_names(given)}"
            )
        if unused := given - self.needs:
            raise PromptError(
                f"prompt {self.name}: never uses {_names(unused)}, so the oracle would not see it; "
                "use it in the template, or leave it out of the job"
            )

    def render(self, block: str, variables: dict[str, Any]) -> str:
        try:
            return "".join(self._template.blocks[block](self._template.new_context(variables))).strip()
        except jinja2.UndefinedError as error:
            raise PromptError(f"prompt {self.name}: {error.message}") from None


@dataclass(frozen=True, slots=True)
class Sampling:
    """What, besides the messages, shapes an answer: model, how it is held to the schema, temperature, tokens to think
    beyond the answer's own, and further fields of the request."""

    model: str
    mode: AnswerMode
    temperature: float = 0.0
    thinking_tokens: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def room(self, schema: AnswerSchema) -> AnswerSchema:
        """The schema with the tokens that an answer may take in all."""
        return (
            replace(schema, max_tokens=schema.max_tokens + self.thinking_tokens) if self.thinking_tokens else schema
        )


class Questions:
    """Builds the question of any text, and reads its answer.

    Args:
        phrasing: how the task's labels are put, and read back.
        template: the prompt.
        guidelines: the person's own, "" where there are none.
        examples: worked examples as earlier turns, the same for every text.
        sampling: model, answer mode and temperature, part of each question's key.
        redact: what is done to every text before it goes into a question; raises RedactionFailed. Examples that are
            cut have to come redacted: half an address is not found.
        picture: the picture of a text, for texts that have some (`agent.picture`).
    """

    def __init__(
        self,
        phrasing: Phrasing,
        template: Template,
        *,
        guidelines: str = "",
        examples: Sequence[tuple[Text, Value]] = (),
        sampling: Sampling,
        redact: Callable[[str], str] | None = None,
        picture: Callable[[Text], Picture | None] = lambda _: None,
    ) -> None:
        self.phrasing, self._template, self._guidelines = phrasing, template, guidelines
        self._redact, self._picture = redact, picture
        self.sampling = sampling
        self.prompt_hash = template.hash
        self._examples = tuple(examples)
        self._fixed: dict[str, list[tuple[Value, tuple[Message, Message]]]] = {}
        self._systems: deque[tuple[dict[str, Any], Message]] = deque(maxlen=SYSTEMS)
        self._checked = False

    def _variables(self, text: Text, put: Put = PLAIN, mark: str = "") -> dict[str, Any]:
        variables = self.phrasing.variables(text, put)
        for name in variables.keys() & set(TEXTS):
            words = fenced(str(variables[name]))
            variables[name] = marked(words, mark) if mark else words
        # these three are offered to every template; only what is not empty has to be used
        variables["guidelines"] = self._guidelines
        variables["mark"] = mark
        variables["form"] = self._form(self.phrasing.schema(text, put))
        return variables

    def _form(self, schema: AnswerSchema) -> str:
        if self.phrasing.form.reason:
            return "reason"
        return "name" if schema.choices is not None and self.sampling.mode != "json_schema" else "json"

    def _shown(self, text: Text, value: Value, mark: str) -> tuple[Message, Message]:
        """A worked example as earlier turns, answered in the form that the endpoint is asked for."""
        text = self._hidden(text)
        plain = self._form(self.phrasing.schema(text)) == "name"
        return self._turn(text, mark=mark), Message("assistant", self.phrasing.written(value, plain=plain))

    def _turn(self, text: Text, mark: str) -> Message:
        words = self._template.render("user", self._variables(text, PLAIN, mark))
        return Message("user", words, self._picture(text))

    def _system(self, variables: Mapping[str, Any]) -> Message:
        """What comes first, which says nothing of the text: most questions share it, and it is rendered once."""
        rest = {name: value for name, value in variables.items() if name not in TEXTS}
        for known, message in self._systems:
            if known == rest:
                return message
        message = Message("system", self._template.render("system", rest))
        self._systems.append((deepcopy(rest), message))
        return message

    def _shown_to_all(self, mark: str) -> list[tuple[Value, tuple[Message, Message]]]:
        """The examples that every question shares, their words marked as the text's are."""
        if mark not in self._fixed:
            self._fixed[mark] = [(value, self._shown(text, value, mark)) for text, value in self._examples]
        return self._fixed[mark]

    def _mark(self, text: Text, put: Put) -> str:
        """What stands between the words of this question's texts; "" where they are not marked."""
        if not self.phrasing.marked(put):
            return ""
        return unused_mark([t.text for t in (text, *(t for t, _ in (*self._examples, *put.examples)))])

    def check(self, text: Text) -> None:
        """Raises PromptError where template and variables do not match, or it does not ask for a reason that the
        job wants."""
        variables = self._variables(text)
        optional = {k for k in ("guidelines", "form", "mark") if k not in self._template.needs}
        if self._guidelines:
            optional.discard("guidelines")
        if self.phrasing.form.reason and "form" in optional:
            raise PromptError(
                f"prompt {self._template.name}: does not use `form`, so it cannot ask for a reason; leave "
                "`format.reason` off, or let the template say what to answer where form is 'reason'"
            )
        if "mark" in optional and (self.phrasing.form.spotlight != "off" or self.phrasing.form.hostile_check):
            raise PromptError(
                f"prompt {self._template.name}: does not use `mark`, so it cannot say what stands between a text's "
                "words; leave `format.spotlight` and `format.hostile_check` off, or let the template say it where "
                "`mark` is not empty"
            )
        self._template.check(set(variables) - optional)

    def _hidden(self, text: Text) -> Text:
        """The text as it may leave, before anything is made of it: a task of one's own may put its words into the
        schema too."""
        return text if self._redact is None else replace(text, text=self._redact(text.text))

    def maybe(self, text: Text, put: Put = PLAIN) -> Question | None:
        """The question, or None where the text could not be redacted, and so is never sent."""
        try:
            return self(text, put)
        except RedactionFailed:
            return None

    def __call__(self, text: Text, put: Put = PLAIN) -> Question:
        """The question about a text. Raises RedactionFailed where it must not be sent."""
        text = self._hidden(text)
        if not self._checked:
            self.check(text)
            self._checked = True
        schema, mark = self.sampling.room(self.phrasing.schema(text, put)), self._mark(text, put)
        # what is fixed comes first, so that a server can keep its prefix; what this text alone brings comes last
        variables = self._variables(text, put, mark)
        system = self._system(variables)
        turn = Message("user", self._template.render("user", variables), self._picture(text))
        listed = self.phrasing.listed(put)
        # an example whose answer is not among those that may be given would teach the wrong thing
        shown = [turns for value, turns in self._shown_to_all(mark) if listed is None or value in listed]
        shown += [self._shown(t, value, mark) for t, value in put.examples if listed is None or value in listed]
        messages = (system, *chain.from_iterable(shown), turn)
        return Question(
            key=question_key(messages, schema, self.sampling, put.sample),
            text_id=text.id,
            messages=messages,
            schema=schema,
            prompt_hash=self._template.hash,
        )

    def first(self, text: Text) -> Put:
        """How a text is put the first time, all labels listed."""
        return Put(order=self.phrasing.order_of(text))

    def read(self, text: Text, answer: Answer, put: Put = PLAIN) -> Reading:
        """What an answer to this question says. Raises AnswerInvalid where that is no label."""
        return self.phrasing.read(text, answer, put)


def question_key(messages: Sequence[Message], schema: AnswerSchema, sampling: Sampling, sample: int = 0) -> str:
    """Hash of everything that shapes an answer but the endpoint: the same question has the same key anywhere.

    It is the question as the job puts it. What an endpoint turns out not to take (a temperature, a system role) is
    left out of the request and not of the key: answers are kept by endpoint, so that the key stays clear, and what
    was bought before that came to light is found again.
    """
    shape: dict[str, Any] = {
        "model": sampling.model,
        "mode": sampling.mode,
        "temperature": sampling.temperature,
        "messages": [[m.role, m.content, *([m.picture.sha256] if m.picture else [])] for m in messages],
        "schema": schema.json_schema,
        "choices": schema.choices,
        "max_tokens": schema.max_tokens,
    } | ({"extra": sampling.extra} if sampling.extra else {})
    shape |= {"sample": sample} if sample else {}  # of the same question another answer
    return hashlib.sha256(json.dumps(shape, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def one_a_class(task: Task, seed: Sequence[tuple[Text, Value]], most_chars: int = 600) -> list[tuple[Text, Value]]:
    """One worked example a class from the labelled seed: the first of each, in the job's order of classes.

    For several labels a text, the first texts that each show a class not yet shown. A long example is cut. Of texts
    that are written the first three are shown, of those that are not too long: what was written of a whole text does
    not fit a part of it. Another task without classes shows none.
    """
    if isinstance(task, Generation):
        return [(t, v) for t, v in seed if len(t.text) <= MOST_CHARS][:EXAMPLES]
    if not task.names:
        return []
    shown: dict[str, tuple[Text, Value]] = {}
    for text, value in seed:
        for name in (value,) if isinstance(value, str) else tuple(value):
            shown.setdefault(str(name), (text, value))
    order = [n for n in task.names if n in shown]
    found = list({shown[n][0].id: shown[n] for n in order}.values())
    return [(Text(t.id, shortened(t.text, most_chars), t.row), v) for t, v in found]


def _needed_by(block: str, tree: jinja2.nodes.Template, environment: jinja2.Environment) -> set[str]:
    """The variables that one block of a template uses."""
    body = [node for found in tree.find_all(jinja2.nodes.Block) if found.name == block for node in found.body]
    alone = jinja2.nodes.Template(body, lineno=1).set_environment(environment)
    return jinja2.meta.find_undeclared_variables(cast(jinja2.nodes.Template, alone))


def _names(found: set[str]) -> str:
    return ", ".join(f"`{n}`" for n in sorted(found))
