"""The job file: one typed model of everything a person can say, and one list of everything wrong with it.

Knows no data, no model and no network: it checks what can be known from the file and its environment alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from agent import studentless
from agent.errors import JobFileError
from agent.images import Images
from agent.jobfile import Where, expand, read_yaml, telling_lines, told

if TYPE_CHECKING:
    from agent.loop import Outcome


SECRET_OPTION = re.compile(r"^-.*(key|token|secret|password)", re.IGNORECASE)
SECRET_NAME = re.compile(r"key|token|secret|password", re.IGNORECASE)
SECRET_FIELD = re.compile(r"(?:^|_)(?:api_?key|secret|password|authorization|access_token|bearer)$", re.IGNORECASE)
FOREIGN_CODE = "`{}` runs whatever code came with a model, and is refused; leave it out"
OWN_ARGS = ("--model", "--served-model-name", "--host", "--port")  # of a server that Labelwright starts


class Section(BaseModel):
    """One section of the job file: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What `repr` shows: a URL without its password, since a traceback or a log may quote it."""
        for name, value in super().__repr_args__():
            if name == "env":
                yield name, _without_values(value)
            else:
                yield name, _shown(value) if name in ("base_url", "store") else value


def _described(value: object) -> object:
    """Labels may be a plain list of names, or names with a sentence each (an empty one reads as null)."""
    for name in value if isinstance(value, list | dict) else ():
        if name is None or isinstance(name, bool | float):
            said = "nothing" if name is None else repr(name)
            raise ValueError(f"YAML reads one of the names as {said}: write it in quotes, such as 'yes' or '1.10'")
    if isinstance(value, list):
        if len({str(v) for v in value}) != len(value):
            twice = sorted({str(v) for v in value if value.count(v) > 1})
            raise ValueError(f"label named twice: {', '.join(twice)}")
        return {str(v): "" for v in value}
    if isinstance(value, dict):
        return {str(k): "" if v is None else v for k, v in value.items()}
    return value


PAIRED = ("pairs", "extractive_qa")
"""Kinds of task whose texts are two columns."""
DEPICTED = ("classification", "multilabel")
"""Kinds of task whose texts may come with a picture."""
OTHER, OTHER_MEANS = "other", "none of the other labels fits the text"


def _other(value: object) -> object:
    """`other: true` is a label of that name; false is none."""
    if value is None or isinstance(value, bool):
        return OTHER if value else None
    if not isinstance(value, str):
        raise ValueError(f"true, false or the name of a label is needed, not {value!r}")
    return value


FEWEST_LABELS = {"classification": 2, "multilabel": 2, "pairs": 2, "spans": 1}


class ScaleSettings(Section):
    """The numbers that a task of regression gives."""

    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Only every so many of them are grades; null is any number between the ends."""

    @model_validator(mode="after")
    def _is_one(self) -> ScaleSettings:
        if not self.low < self.high:
            raise ValueError(f"`low` is {self.low:g} and `high` {self.high:g}; the scale goes up from low to high")
        if self.step is not None:
            steps = (self.high - self.low) / self.step
            if abs(steps - round(steps)) > 1e-6 or round(steps) < 1:
                raise ValueError(
                    f"steps of {self.step:g} from {self.low:g} do not end at {self.high:g}; choose a `step` that "
                    "divides the scale, or leave it out"
                )
        return self


class TaskSettings(Section):
    """What a label is."""

    kind: str = "classification"
    labels: Annotated[dict[str, str], BeforeValidator(_described)] = Field(default_factory=dict)
    guidelines: str = ""
    """The label guideline itself, or the path of a text or Markdown file that holds it."""
    prompt: str | None = None
    """A template of your own instead of the task's (path of a .jinja file)."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of a task of your own; the built-in tasks take none."""
    scale: ScaleSettings | None = None
    """Of a task of regression: the numbers that a label can be. Its `labels` say what some of them mean."""
    other: Annotated[str | None, BeforeValidator(_other)] = None
    """Of classification: the label of texts that none of the others fits. `true` calls it `other`; it need not stand
    in `labels`, where it may have a sentence of its own."""
    no_answer: bool = False
    """Of extractive questions: whether one may have no answer."""
    max_answer_tokens: Annotated[int, Field(ge=1, le=16_384)] | None = None
    """Of a task of generation: most tokens of an answer, 256 by default. Money is set aside for so many; an answer
    that is cut off there is a failure, and no label."""
    right_at: Annotated[float, Field(gt=0, le=1)] | None = None
    """Of a task of generation: chrF from which an answer counts as right beside gold, or beside what a person wrote
    who did not see it; 0.6 by default."""

    _columns: tuple[str, str] = PrivateAttr(default=("text", "second"))
    _image: str | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _other_is_a_label(self) -> TaskSettings:
        if self.other is None:
            return self
        if self.kind != "classification":
            said = ", where a text without any label is one that none fits" if self.kind == "multilabel" else ""
            raise ValueError(f"`other` is for `kind: classification`, and this is {self.kind}{said}; leave it out")
        if not set(self.labels) - {self.other}:
            raise ValueError(f"`other`: {self.other} is the only label; name at least one that texts may have")
        told = {self.other: self.labels.get(self.other) or OTHER_MEANS}
        object.__setattr__(self, "labels", self.labels | told)
        return self

    @model_validator(mode="after")
    def _labels_make_sense(self) -> TaskSettings:
        for said in (*self.labels, *self.labels.values(), self.guidelines):
            if any("\ud800" <= c <= "\udfff" for c in said):
                raise ValueError(f"{said[:40]!a} holds half of a surrogate pair, which is no text")
        if self.kind in FEWEST_LABELS:
            if len(self.labels) < FEWEST_LABELS[self.kind]:
                least = "two labels" if FEWEST_LABELS[self.kind] == 2 else "one label"
                raise ValueError(f"{self.kind} needs at least {least}, found {len(self.labels)}")
            for name in self.labels:
                if not name.strip() or name != name.strip() or "\n" in name:
                    raise ValueError(f"label {name!r} is empty, padded with blanks or has a line break")
        return self

    @model_validator(mode="after")
    def _only_numbers_have_a_scale(self) -> TaskSettings:
        if self.kind != "regression":
            if self.scale is not None and ":" not in self.kind:
                raise ValueError(f"`scale` is for `kind: regression`, and this is {self.kind}; leave it out")
            return self
        if self.scale is None:
            raise ValueError("`scale`: regression needs one, such as {low: 1, high: 5, step: 1}")
        for name in self.labels:
            if not _is_on(self.scale, name):
                raise ValueError(
                    f"`labels`: {name!r} is not on the scale, which goes from {self.scale.low:g} to "
                    f"{self.scale.high:g}; of regression they say what some of the numbers mean"
                )
        return self

    @model_validator(mode="after")
    def _answers_are_no_labels(self) -> TaskSettings:
        if self.kind == "extractive_qa":
            if self.labels:
                raise ValueError("`labels`: an answer of extractive_qa is a piece of the text; leave them out")
        elif self.no_answer:
            raise ValueError(f"`no_answer` is for `kind: extractive_qa`, and this is {self.kind}; leave it out")
        return self

    @model_validator(mode="after")
    def _only_texts_are_written(self) -> TaskSettings:
        if self.kind == "generation" and self.labels:
            raise ValueError(
                "`labels`: an answer of generation is any text; leave them out, and say in `guidelines` what to write"
            )
        if self.kind == "generation" and not self.guidelines.strip():
            raise ValueError(
                "`guidelines`: generation needs them; say what is to be written, such as: Translate into German."
            )
        for name in ("max_answer_tokens", "right_at") if self.kind != "generation" and ":" not in self.kind else ():
            if getattr(self, name) is not None:
                raise ValueError(f"`{name}` is for `kind: generation`, and this is {self.kind}; leave it out")
        return self

    @property
    def columns(self) -> tuple[str, str]:
        """What a task of two texts calls them: the columns that `data` names."""
        return self._columns

    @property
    def image(self) -> str | None:
        """What a task of texts with pictures calls a picture: the column that `data` names. None without pictures."""
        return self._image


def _is_on(scale: ScaleSettings, name: str) -> bool:
    try:
        number = float(name)
    except ValueError:
        return False
    steps = 0.0 if scale.step is None else (number - scale.low) / scale.step
    return scale.low <= number <= scale.high and abs(steps - round(steps)) <= 1e-6


RedactKind = Literal["email", "phone", "card", "iban", "name"]


def _kinds(value: object) -> object:
    """`redact: true` is every kind that needs no model; false and null are none."""
    if value is None or isinstance(value, bool):
        return ["email", "phone", "card", "iban"] if value else []
    if not isinstance(value, list | tuple):
        raise ValueError(f"true, false or a list of email, phone, card, iban, name is needed, not {value!r}")
    return list(dict.fromkeys(value)) if all(isinstance(v, str) for v in value) else value


class DataSettings(Section):
    """Where the texts come from, and what of them stays here."""

    pool: str
    """A .csv .tsv .jsonl .parquet file, a folder of such files or of an Arrow data set, or a hub id."""
    split: str = "train"
    text: str = "text"
    second: str | None = None
    """The column of the other text, for a task of pairs; of extractive questions that of the context."""
    image: str | None = None
    """The column with the path of a picture that belongs to the text, in the folder of the pool (PNG, JPEG, WebP or
    GIF, 20 MB at most); for classification and multilabel. Oracles are shown it, and must be able to look at it."""
    id: str | None = None
    gold: str | None = None
    """Labelled texts used for measuring only; the student never learns from them."""
    ask_gold: bool | Literal["every"] = False
    """Also ask the first oracle about the gold texts, so that it is measured on the same texts as the student; or
    every oracle, so that they can be held against each other. It costs what it costs, and comes out of the budget."""
    seed: str | None = None
    """Labelled texts that you trust: worked examples for the oracle, first lessons for the student."""
    label: str = "label"
    """The label column of gold and seed."""
    max_tokens: Annotated[int, Field(ge=8)] = 512
    """A text longer than this (in the student's tokens) is over-long."""
    over_long: Literal["cut", "skip", "refuse"] = "cut"
    redact: Annotated[tuple[RedactKind, ...], BeforeValidator(_kinds)] = ()
    """What no oracle is shown: a list of kinds out of email, phone, card, iban and name, or true for all but name.
    Placeholders stand in their place; people and the student see the text as it is. `name` needs a spaCy model."""
    redact_model: str | None = None
    """The spaCy model that finds names, a package or a folder; by default an `en_core_web_` one that is installed."""

    @model_validator(mode="after")
    def _model_has_a_use(self) -> DataSettings:
        if self.redact_model is not None and "name" not in self.redact:
            raise ValueError("`redact_model` finds names: put `name` into `redact`, or leave the model out")
        return self


class MilestoneSettings(Section):
    """When the encoder is tuned on the labels so far, and how much that may cost."""

    enabled: bool = True
    first: Annotated[int, Field(ge=40)] = 100
    """Labels before the first time."""
    growth: Annotated[float, Field(gt=1)] = 2.0
    """How many times as many labels as the last time it takes for the next."""
    way: Literal["auto", "finetuned", "contrastive"] = "auto"
    tokens: Annotated[int, Field(ge=1000)] = 30_000
    """That go through the encoder while it learns: what each time costs, some twenty seconds on two cores."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """Of torch. Another number may give another encoder, by rounding alone."""
    pool: Annotated[int, Field(ge=1000)] = 20_000
    """Most texts that are embedded again each time; of a larger pool a random sample."""


def _switched(value: object) -> object:
    """`refresh: false` is `refresh: {enabled: false}`."""
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        keys = ", ".join(MilestoneSettings.model_fields)
        raise ValueError(f"true, false or a mapping with some of {keys} is needed, not {value!r}")
    return {"enabled": value} if isinstance(value, bool) else value


def _off(value: object) -> object:
    """YAML reads an `off` without quotes as false."""
    return "off" if value is False else value


def _kept(value: object) -> object:
    """Who means to leave the prior alone may say `off`, which YAML reads as false."""
    return "keep" if value in (False, None, "off", "none") else value


class StudentSettings(Section):
    """The small model."""

    kind: str | None = None
    """`head`, `none`, or `package.module:Name`; by default what the task names. Without a student every text of the
    pool is asked about, in an order by chance, and nothing is embedded, learnt or distilled."""
    encoder: str = "builtin:minilm"
    """`builtin:minilm`, a folder with a transformers encoder (safetensors), or a hub id. Its tokens are those of
    `data.max_tokens`."""
    max_tokens: Annotated[int, Field(ge=8, le=8192)] = 256
    batch_tokens: Annotated[int, Field(ge=64)] = 8192
    cache: str | None = None
    """Where embeddings are kept; by default beside the output."""
    class_names: bool = True
    """Each class's name and description teach the head as one labelled text would, where they say something."""
    unlabelled: Annotated[Literal["off", "self_training", "propagation"], BeforeValidator(_off)] = "self_training"
    """What texts without a label teach the head: its own surest guesses, what their neighbours are, or nothing.
    What that is worth, `python -m evals.learning_curve --ablations` measures."""
    label_noise: Literal["reweight", "ignore"] = "reweight"
    """A model's label that the student, taught without it, finds unlikely counts for less, in the head and where the
    encoder is refreshed; or all count alike. Labels of people and of the seed always count in full."""
    refresh: Annotated[MilestoneSettings, BeforeValidator(_switched)] = MilestoneSettings()
    """A copy of the encoder is tuned on the labels as they grow, and the student stands on both; false leaves it at
    the first one until the model is distilled."""


class Price(Section):
    """Dollars per million tokens, or dollars per GPU-hour for a server of your own."""

    input: Annotated[Decimal, Field(ge=0, le=1_000_000)] | None = None
    cached_input: Annotated[Decimal, Field(ge=0, le=1_000_000)] | None = None
    output: Annotated[Decimal, Field(ge=0, le=1_000_000)] | None = None
    gpu_hour: Annotated[Decimal, Field(ge=0, le=1_000_000)] | None = None
    batch: Annotated[Decimal, Field(gt=0, le=1)] | None = None
    """What a token costs in a batch, as a share of its live price: by default 0.5 at a provider's Batch API, 1 for
    a command of your own. It changes no GPU-hour."""

    @model_validator(mode="after")
    def _whole(self) -> Price:
        if self.gpu_hour is None and (self.input is None or self.output is None):
            raise ValueError("a price needs `input` and `output` (dollars per million tokens), or `gpu_hour`")
        if self.gpu_hour is not None and (self.input is not None or self.output is not None):
            raise ValueError("give either token prices or `gpu_hour`, not both")
        return self


class LimitSettings(Section):
    """What the endpoint's account allows, at each address; null is no limit. Kept in any minute, whenever it
    begins."""

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=100)] | None = None


class BatchSettings(Section):
    """How questions go out in batches, where the mode is `batch`."""

    poll_s: Annotated[float, Field(gt=0)] = 5.0
    """Seconds between the first two looks at a batch; they grow to twelve times as many."""
    lines: Annotated[int, Field(ge=1, le=50_000)] = 50_000
    """Most questions of one batch."""
    megabytes: Annotated[int, Field(ge=1, le=200)] = 190
    """Most of one uploaded file. Providers refuse files above 200 MB."""


def _as_words(value: object) -> object:
    """What a program is given is text: YAML reads `--max-model-len, 4096` and `OMP_NUM_THREADS: 2` as numbers."""
    if isinstance(value, list):
        return [_as_words(v) for v in value]
    if isinstance(value, dict):
        return {k: _as_words(v) for k, v in value.items()}
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _plain_json(value: object) -> object:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"what is given here must be plain JSON: {error}") from None
    return value


class OwnVllm(Section):
    """A vLLM that Labelwright starts when it is first asked, and ends with the run. `key` is where a job has it."""

    key: ClassVar[str]

    model: Annotated[str, Field(min_length=1)]
    """The folder of a model, or a hub id."""
    python: str | None = None
    """The interpreter of the environment that has vLLM, such as `/opt/vllm/bin/python`; by default the one that
    Labelwright runs in."""
    env: Annotated[dict[str, str], BeforeValidator(_as_words)] = Field(default_factory=dict)
    """Variables of its environment, beside those that Labelwright has."""
    ready_s: Annotated[float, Field(gt=0)] = 600
    """Most seconds until it is loaded."""


class ServeSettings(OwnVllm):
    """As a server (docs/serve.md)."""

    key = "serve"

    args: Annotated[list[str], BeforeValidator(_as_words)] = Field(default_factory=list)
    """More arguments of its server, such as `[--max-model-len, 4096]`."""

    @field_validator("args")
    @classmethod
    def _ours(cls, args: list[str]) -> list[str]:
        for word in args:
            if word.partition("=")[0] in OWN_ARGS:
                raise ValueError(f"{word.partition('=')[0]} is set by Labelwright; leave it out")
            if word.partition("=")[0].replace("_", "-") == "--trust-remote-code":
                raise ValueError(FOREIGN_CODE.format("--trust-remote-code"))
        return args


def _engine_args(value: object) -> object:
    """What `vllm.LLM` is given beside the model: plain JSON by name, no key, and no code out of a model's folder."""
    if isinstance(value, list):
        raise ValueError("names and values are needed: for `[--max-model-len, 4096]` write `{max_model_len: 4096}`")
    if not isinstance(value, dict):
        return value
    for name, given in value.items():
        plain = str(name).lstrip("-").replace("-", "_")
        if plain != name:
            raise ValueError(f"`{name}` is written `{plain}` here")
        if name == "model":
            raise ValueError("`model` stands beside `args`; leave it out here")
        if name == "trust_remote_code" and given is not False:
            raise ValueError(FOREIGN_CODE.format("trust_remote_code"))
    if secret := next((n for n in _fields_of(value) if n == "hf_token" or SECRET_FIELD.search(n)), None):
        raise ValueError(f"`{secret}` looks like a key: export it (HF_TOKEN), so that it is never stored")
    return _plain_json(value)


class LlmSettings(OwnVllm):
    """As a `vllm.LLM` that answers files, without a server (docs/batch.md)."""

    key = "run_batch.llm"

    args: Annotated[dict[str, Any], BeforeValidator(_engine_args)] = Field(default_factory=dict)
    """Its engine's arguments, such as `{max_model_len: 4096, enforce_eager: true}`."""


class RunBatchSettings(Section):
    """A model that nobody serves: questions are written into files, and a command answers one file after another, or
    one vLLM that is loaded once answers them all."""

    command: Annotated[list[str], Field(min_length=1)] | None = Field(
        default_factory=lambda: ["vllm", "run-batch", "-i", "{input}", "-o", "{output}", "--model", "{model}"]
    )
    """Program and arguments; `{input}`, `{output}` and `{model}` are filled in. Null runs nothing: the files are to
    be answered elsewhere, and the next run reads what came back."""
    llm: LlmSettings | None = None
    """In place of a command: a vLLM that is loaded once, for all files of the run."""
    shard: Annotated[int, Field(ge=1)] = 1000
    """Questions of one file."""
    folder: str | None = None
    """Where the files are; by default `batches` in the output folder."""
    timeout_s: Annotated[float, Field(gt=0)] = 3600
    """Most seconds that one file may take."""

    @model_validator(mode="after")
    def _one_way(self) -> RunBatchSettings:
        if self.llm is not None:
            if self.command is not None and "command" in self.model_fields_set:
                raise ValueError("`llm` answers the files without a command: give one of `llm` and `command`")
            object.__setattr__(self, "command", None)
        return self


class FormatSettings(Section):
    """How a question is put. `labelwright pilot` tries several ways on texts with known labels, and says what each
    is worth."""

    answer: Literal["name", "code"] = "name"
    """Labels by their names, or by short codes (A, B, C) that stand before name and description."""
    descriptions: bool = True
    """Whether each label's description stands beside it."""
    orders: Annotated[int, Field(ge=1, le=8)] = 1
    """In how many orders labels are listed. Each text gets one of them; a text whose answer is in doubt is asked in
    the other orders as well, and the mean counts."""
    examples: Literal["one_a_class", "nearest", "none"] = "one_a_class"
    """Worked examples as earlier turns: the seed's first of each class, the labelled texts nearest to the one that
    is asked about (no prefix of such prompts can be cached), or none."""
    nearest: Annotated[int, Field(ge=1, le=64)] = 8
    """How many the nearest are."""
    reason: bool = False
    """A short reason before the label. It costs some sixty tokens an answer."""
    samples: Annotated[int, Field(ge=1, le=32)] = 1
    """Of a task of generation: how many answers are asked for, each paid. The one that is most like the others
    counts, and how alike they are is how sure it is. They differ with an `oracle.temperature` above 0 alone."""
    shortlist: Annotated[int, Field(ge=2, le=64)] | None = None
    """Only the so many likeliest classes are listed, and "none of these", after which all are asked for."""
    spotlight: Annotated[Literal["off", "mark"], BeforeValidator(_off)] = "off"
    """`mark` puts a mark in place of the blanks between a text's words, and says so in the prompt: a model then tells
    what is text from what is said to it."""
    hostile_check: bool = False
    """A text that looks as if it gave orders is asked about twice, with its words marked and without; where the two
    answers differ a person decides."""


TAKEN = {
    "model": "it is `oracle.model`",
    "messages": "they are the question",
    "temperature": "it is `oracle.temperature`",
    **dict.fromkeys(
        ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "num_predict", "max_new_tokens"),
        "an answer's limit is its label's length and `oracle.thinking_tokens`, and money is set aside by it",
    ),
    **dict.fromkeys(("n", "best_of"), "one answer is asked for, and money is set aside for one"),
    **dict.fromkeys(
        ("models", "fallbacks", "route", "tools", "functions", "plugins", "web_search_options"),
        "it may cost what no price of the job covers",
    ),
    **dict.fromkeys(
        ("stream", "stream_options", "stop", "echo", "tool_choice", "function_call", "modalities", "audio"),
        "answers could not be read",
    ),
    **dict.fromkeys(("logprobs", "top_logprobs"), "token probabilities are asked for wherever they are given"),
    **dict.fromkeys(
        ("response_format", "structured_outputs", "guided_choice", "guided_json", "guided_regex", "guided_grammar",
         "grammar", "json_schema", "format"),
        "it is `oracle.answers` that says how an answer is held to the labels",
    ),
}  # fmt: skip
"""Fields of a request that are not the job file's to give, and why."""


def _further(value: object) -> object:
    """`extra` holds what nothing else says: no field that money or reading depends on, no key, and plain JSON."""
    if not isinstance(value, dict):
        return value
    for name in value:
        if name in TAKEN:
            raise ValueError(f"`{name}` cannot be given here: {TAKEN[name]}")
    if secret := next((name for name in _fields_of(value) if SECRET_FIELD.search(name)), None):
        raise ValueError(f"`{secret}` looks like a key: give it as `api_key_env`, so that it is never stored")
    return _plain_json(value)


def _fields_of(value: object) -> Iterator[str]:
    """Every key of a mapping, however deep."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield str(name)
            yield from _fields_of(part)
    elif isinstance(value, list):
        for part in value:
            yield from _fields_of(part)


def _addresses(value: object) -> object:
    """A list of one is one address. None is named twice."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or not value or not all(isinstance(url, str) for url in value):
        raise ValueError("an address is needed, or a list of addresses of servers that serve the same model")
    same = [url.rstrip("/") for url in value]
    if twice := next((url for url in same if same.count(url) > 1), None):
        raise ValueError(f"{without_secrets(twice)} stands there twice; name each address once")
    return value[0] if len(value) == 1 else tuple(value)


class OracleSettings(Section):
    """One large model: an OpenAI-compatible endpoint, a server that is started for the run, a command that answers
    files, or a tape of recorded answers."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "oracle"
    base_url: Annotated[str | tuple[str, ...] | None, BeforeValidator(_addresses)] = None
    """Where it answers. Several addresses are several servers of the one model: each question goes to the one with
    the least load, and one that fails is left out until it answers again."""
    tape: str | None = None
    model: str
    api_key: SecretStr | None = None
    api_key_env: str | None = None
    price: Price | None = None
    max_concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    """Most requests in flight at an address. How many there are is found out: more while that brings more answers,
    fewer when the endpoint says that it is busy."""
    limits: LimitSettings = LimitSettings()
    timeout_s: Annotated[float, Field(gt=0)] = 60
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    answers: Literal["auto", "choice", "json_schema", "plain"] = "auto"
    """How an answer is held to the schema; `auto` asks the endpoint at start what it obeys."""
    format: FormatSettings = FormatSettings()
    """How a question is put."""
    prior: Annotated[Literal["keep", "content_free", "batch"], BeforeValidator(_kept)] = "keep"
    """What is done about the model's preference for some labels: nothing; it is found by asking about three texts
    without content, or as the mean of a round's answers (which takes classes to be about equally common there), and
    divided out of each answer's probabilities. For one label a text."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Left out for a model that takes none."""
    thinking_tokens: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Tokens that an answer may take beyond its label's own, for a model that thinks before it answers. They are set
    aside for every question, and paid as far as they are used."""
    image_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Most tokens that one picture (`data.image`) costs in a prompt, as the model's documentation has it. So many are
    set aside for each."""
    extra: Annotated[dict[str, Any], BeforeValidator(_further)] = Field(default_factory=dict)
    """Further fields of every request, as they are, such as `chat_template_kwargs: {enable_thinking: false}`."""
    tokenizer: str | None = None
    """The model's own tokenizer (a folder with its tokenizer.json, or a hub id): prompts are then counted with it, so
    that less money is set aside for each question and `estimate` is exact. By default a prompt's bytes bound it."""
    mode: Literal["live", "batch"] | None = None
    """`batch` sends questions together, cheaper and later; by default what the job says."""
    batch: BatchSettings = BatchSettings()
    run_batch: RunBatchSettings | None = None
    serve: ServeSettings | None = None
    """A vLLM of one's own, started and ended with the run."""

    @property
    def by(self) -> str:
        """Who its labels say that they are by."""
        return f"{self.name}/{self.model}"

    @property
    def in_batches(self) -> bool:
        """Whether questions go out in batches."""
        return self.run_batch is not None or self.mode == "batch"

    @property
    def own(self) -> OwnVllm | None:
        """The vLLM that Labelwright starts for it, as a server or for files."""
        return self.serve or (self.run_batch.llm if self.run_batch is not None else None)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every `base_url`; none for a tape, a command and a server that is started for it."""
        return (self.base_url,) if isinstance(self.base_url, str) else self.base_url or ()

    @property
    def address(self) -> str:
        """The only `base_url`. Raises ValueError where there is none, or several."""
        if len(self.addresses) != 1:
            raise ValueError(f"oracle {self.name} has {len(self.addresses)} addresses")
        return self.addresses[0]

    @property
    def most_at_once(self) -> int:
        """Requests in flight, at all addresses together."""
        return self.max_concurrency * max(1, len(self.addresses))

    def each(self) -> tuple[OracleSettings, ...]:
        """The same oracle with each of its addresses alone; itself where it has one, or none."""
        if len(self.addresses) < 2:
            return (self,)
        return tuple(self.model_copy(update={"base_url": address}) for address in self.addresses)

    @model_validator(mode="after")
    def _one_source(self) -> OracleSettings:
        if sum(source is not None for source in (self.base_url, self.tape, self.run_batch, self.serve)) != 1:
            raise ValueError(
                "an oracle needs exactly one of `base_url` (an endpoint), `serve` (a vLLM that is started for it), "
                "`tape` (recorded answers) and `run_batch` (a command, or a vLLM, that answers files)"
            )
        if self.serve is not None and self.mode == "batch":
            raise ValueError("`serve` answers at once: it has no `mode: batch`; `run_batch` answers files")
        if self.tape is not None and self.mode == "batch":
            raise ValueError("a tape answers at once: it has no `mode: batch`")
        if self.run_batch is not None and self.mode == "live":
            raise ValueError("`run_batch` answers whole files: it has no `mode: live`")
        if self.api_key is not None and self.api_key_env is not None:
            raise ValueError("give `api_key_env` or `api_key`, not both")
        if not all(map(_is_web_address, self.addresses)):
            raise ValueError("`base_url` must be an address such as http://127.0.0.1:8000/v1")
        self.check_mode()
        return self

    def check_mode(self) -> None:
        """Raises ValueError for batches that would go to several addresses: a batch is worked off where it was sent,
        and is asked for there."""
        if self.in_batches and len(self.addresses) > 1:
            raise ValueError(
                f"`base_url` of oracle {self.name} has several addresses, and a batch goes to one: give one, or set "
                "`mode: live` to have questions balanced over all of them"
            )

    def key(self) -> str | None:
        """The API key, read from the environment where the job names a variable. None where there is none."""
        if self.api_key_env is not None:
            key = os.environ.get(self.api_key_env)
        else:
            key = self.api_key.get_secret_value() if self.api_key else None
        return key.strip() if key is not None else None  # the line end of the file it came from is not part of it


class PeopleSettings(Section):
    """When a person is asked."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Accept an answer at or above this confidence, until there are enough people's labels to set it from them."""
    target_error: Annotated[float, Field(gt=0, lt=1)] = 0.05
    audit: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of accepted answers that go to a person all the same, blind."""
    escalate: Literal["worth", "always"] = "worth"
    """When an oracle is asked about what the one before it is not sure of: where that is expected to bring more right
    labels a dollar than a new text (what is not worth it yet is put off), or at once, whatever it brings."""
    suspects: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Most of the accepted labels, as a share, that a run shows to people at its end since they look wrong. For one
    class a text; `labelwright suspects` shows more at any time."""
    votes: Annotated[int, Field(ge=1, le=20)] = 1
    """People who have to label each text that waits. Where they disagree, a lead decides."""
    honey_pots: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Chance that a text which a person is given comes with another one whose answer is known: of the seed, decided
    by a lead, or several people's. It is shown blind, and tells nothing but how far that person is right."""
    lease_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 10
    """For so long a text that is before one person is not shown to others; the page asks anew while it is open."""
    dollars_a_minute: Annotated[Decimal, Field(ge=0, le=1_000_000)] | None = None
    """What a person's minute costs. It comes out of no budget: the report counts with it."""


class SelectionSettings(Section):
    """Which texts are asked about."""

    strategy: str = "adaptive"
    batch: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    random_share: Annotated[float, Field(ge=0.0, le=1)] = 0.2
    cold_start: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    knowledge: str | None = None
    """A file of entities (.txt, or a column `entity`) or of triples (columns `head`, `relation`, `tail`): what the
    strategy `knowledge` covers."""
    unbiased: bool = False
    """Weigh what the student learns from so that it stands for the whole pool (LURE), where chance chose."""
    relabel: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Most of a round's questions, as a share, that may ask again about labels which look wrong: those are asked that
    are expected to bring more right labels a dollar than a new text. For one class a text."""
    options: dict[str, Any] = Field(default_factory=dict)


class BudgetSettings(Section):
    """The hard caps."""

    dollars: Annotated[Decimal, Field(gt=0, le=1_000_000_000)]
    minutes: Annotated[float, Field(gt=0)] | None = None
    """People's minutes."""


class StopSettings(Section):
    """When to stop before the budget or the pool is used up."""

    agreement: Annotated[float, Field(gt=0, le=1)] | None = 0.99
    """Cohen's kappa between successive students on a fixed stop set; null never stops on it."""
    window: Annotated[int, Field(ge=1)] = 3
    max_labels: Annotated[int, Field(ge=1)] | None = None
    max_rounds: Annotated[int, Field(ge=1)] | None = None
    gain_per_dollar: Annotated[float, Field(gt=0)] | None = None
    """Points of accuracy a dollar: stop when the learning curve promises less; null never stops on it."""
    target_accuracy: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Stop when the student is surely (95 %) this accurate, on gold or on the audit sample."""


ABSTAINING = ("classification", "multilabel", "pairs")


class DistilSettings(Section):
    """The model that comes out."""

    epochs: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    learning_rate: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """At its peak; `auto` goes by how wide the encoder is, for tasks with classes (docs/distilling.md)."""
    loss: Literal["auto", "cross_entropy", "generalised", "reweighted", "co_teaching"] = "cross_entropy"
    """What is learnt from labels of which some are wrong: `generalised` (cross-entropy that unlikely labels pull
    less), `reweighted` (labels that look wrong out of fold count less) and `co_teaching` (two networks, each of which
    learns what the other finds easy, in twice the time) may stand them better; `auto` tries all four on people's
    labels, at six times the cost, and says which and why (docs/distilling.md)."""
    labels: Literal["corrected", "as_given"] = "corrected"
    """How oracles' labels are learnt where a text has one: `corrected` by the mistakes that an oracle makes, which
    are learnt from like texts and from people's labels (docs/distilling.md), or `as_given`, each as far as the
    student believes it. With `student.label_noise: ignore` it is `as_given`."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each layer learns at so many times the rate of the one above it."""
    label_threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = "auto"
    """With any number of labels a text, the probability from which on the model says one; `auto` is where F1 is
    highest on labels that it had not seen, a half at most."""
    abstain_below: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The model gives no label where it is less sure than this; null gives one always."""
    abstain_at_accuracy: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The same, from where on people's labels that were held out show that at least this share of what it answers is
    right (95 % sure). Takes a second training."""
    batch: Annotated[int, Field(ge=1)] = 16
    """Most texts that go through the model at once while it learns."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """So many batches make one step: what a batch so many times as large does, in the memory of one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the arithmetic while it learns; `auto` is `bfloat16` for tasks with classes where the machine is fast at it,
    else `float32`."""
    model: str | None = None
    """Of a task of generation: what is taught to write, a folder with a causal or an encoder-decoder model
    (safetensors), a .gguf file, or a hub id."""
    lora_rank: Annotated[int, Field(ge=1, le=256)] = 16
    """Of a task of generation: how much such a model can learn (LoRA); what it learnt is merged into its weights."""
    enabled: bool = True

    def rate(self, otherwise: float = 2e-5) -> float:
        """The learning rate, and what `auto` means."""
        return otherwise if self.learning_rate == "auto" else self.learning_rate

    @model_validator(mode="after")
    def _one_way_to_abstain(self) -> DistilSettings:
        if self.abstain_below is not None and self.abstain_at_accuracy is not None:
            raise ValueError("`abstain_below` says what `abstain_at_accuracy` is to find out: give one of them")
        return self


def _as_list(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _nobody(value: object) -> object:
    """`student: none` is `student: {kind: none}`; YAML reads `off` and `no` as false."""
    return {"kind": studentless.KIND} if value is False or value == studentless.KIND else value


class Job(Section):
    """A whole job: what to label, who answers, what it may cost, and where everything is kept.

    >>> Job.load("job.yaml").run()  # doctest: +SKIP
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "job"
    task: TaskSettings
    data: DataSettings
    student: Annotated[StudentSettings, BeforeValidator(_nobody)] = StudentSettings()
    """The small model; `none` where the oracle's labels are all that is wanted."""
    oracle: Annotated[list[OracleSettings], BeforeValidator(_as_list), Field(min_length=1)]
    people: PeopleSettings = PeopleSettings()
    selection: SelectionSettings = SelectionSettings()
    budget: BudgetSettings
    stop: StopSettings = StopSettings()
    distil: DistilSettings = DistilSettings()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    mode: Literal["live", "batch"] = "live"
    """How questions go out, for every oracle that does not say it itself: one by one, or in batches, which most
    providers answer at half the price within a day."""
    store: str | None = None
    """An SQLAlchemy URL; by default a SQLite file in the output folder."""
    output: str = "out"

    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _file: str = PrivateAttr("job")
    _lines: dict[Where, int] = PrivateAttr(default_factory=dict)

    @field_validator("oracle")
    @classmethod
    def _names_differ(cls, oracles: list[OracleSettings]) -> list[OracleSettings]:
        names = [o.name for o in oracles]
        if len(set(names)) != len(names):
            raise ValueError("two oracles share a name: give each its own `name`")
        return oracles

    @model_validator(mode="after")
    def _mode_of_every_oracle(self) -> Job:
        """An oracle without a mode of its own has the job's; a tape and a command have no choice."""
        modes = [o.mode or (self.mode if o.base_url is not None else None) for o in self.oracle]
        oracles = [o.model_copy(update={"mode": mode}) for o, mode in zip(self.oracle, modes, strict=True)]
        for oracle in oracles:
            oracle.check_mode()
        object.__setattr__(self, "oracle", oracles)
        return self

    @model_validator(mode="after")
    def _without_student(self) -> Job:
        if not self.has_student:
            if problems := list(studentless.contradictions(self)):
                raise ValueError("\n".join(problems))
            for name, section in studentless.settled(self).items():
                object.__setattr__(self, name, section)
        return self

    @model_validator(mode="after")
    def _two_texts(self) -> Job:
        """A task of pairs, or of questions, is about two columns, and no other is."""
        second, kind = self.data.second, self.task.kind
        if kind == "extractive_qa" and second is None:
            raise ValueError(
                "`data.second`: a question is asked of a context; name its column here, and the question's in "
                "`data.text`"
            )
        if kind in PAIRED and second is None:
            raise ValueError("`data.second`: a task of pairs is about two texts; name the column of the second one")
        if kind not in PAIRED and second is not None:
            raise ValueError(
                f"`data.second`: only `kind: pairs` and `extractive_qa` are about two texts, and this is {kind}; "
                "leave it out, or set `task.kind: pairs`"
            )
        if second is not None:
            if second == self.data.text:
                raise ValueError(f"`data.second`: {second!r} is the column of the first text (`data.text`) already")
            self.task._columns = (self.data.text, second)
        return self

    @model_validator(mode="after")
    def _text_and_picture(self) -> Job:
        """Pictures stand beside single texts that are put into classes."""
        image = self.data.image
        if image is None:
            return self
        if self.task.kind not in DEPICTED:
            raise ValueError(
                f"`data.image`: pictures are for {' and '.join(DEPICTED)}, not for {self.task.kind}; leave it out"
            )
        if image == self.data.text:
            raise ValueError(f"`data.image`: {image!r} is the column of the text (`data.text`) already")
        if self.data.redact:
            raise ValueError(
                "`data.redact`: nothing hides what a picture shows (`data.image`), so the promise could not be kept; "
                "leave one of the two out"
            )
        for key, field in DistilSettings.model_fields.items():
            if key not in ("enabled", "labels", "abstain_below") and getattr(self.distil, key) != field.default:
                raise ValueError(
                    f"`distil.{key}`: with `data.image` a head is taught on an encoder that stays as it is, and this "
                    "has no meaning; leave it out"
                )
        self.task._image = image
        return self

    @model_validator(mode="after")
    def _who_is_shown_pictures(self) -> Job:
        """What an oracle charges for a picture cannot be told from its bytes."""
        for oracle in self.oracle:
            if self.data.image is None:
                if oracle.image_tokens is not None:
                    raise ValueError(
                        "`oracle.image_tokens`: the job has no pictures; name `data.image`, or leave it out"
                    )
            elif oracle.image_tokens is None:
                raise ValueError(
                    f"`oracle.image_tokens`: oracle {oracle.name} needs it with `data.image`; say how many tokens "
                    "one picture costs at most, since that much money is set aside for each"
                )
            elif oracle.prior == "content_free":
                raise ValueError(
                    "`oracle.prior`: content_free asks about texts without content, which have no picture; take "
                    "batch, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def _one_class_a_text(self) -> Job:
        """What finds labels that look wrong knows one class a text."""
        for name, share in (("selection.relabel", self.selection.relabel), ("people.suspects", self.people.suspects)):
            if share and self.task.kind not in ("classification", "pairs"):
                raise ValueError(
                    f"`{name}`: it is for tasks with one class a text (`kind: classification` or `pairs`), not for "
                    f"{self.task.kind}; leave it out"
                )
        return self

    @model_validator(mode="after")
    def _settings_of_kinds(self) -> Job:
        for name, kinds in (("labels", ("classification", "pairs")), ("label_threshold", ("multilabel",))):
            changed = getattr(self.distil, name) != DistilSettings.model_fields[name].default
            if changed and self.task.kind not in kinds and ":" not in self.task.kind:
                raise ValueError(
                    f"`distil.{name}`: it is for {' and '.join(kinds)}, not {self.task.kind}; leave it out"
                )
        return self

    @model_validator(mode="after")
    def _classes_to_abstain_from(self) -> Job:
        for name in ("abstain_below", "abstain_at_accuracy"):
            if getattr(self.distil, name) is not None and self.task.kind not in ABSTAINING:
                raise ValueError(
                    f"`distil.{name}`: it is for {', '.join(ABSTAINING)}, not {self.task.kind}; leave it out"
                )
        return self

    @model_validator(mode="after")
    def _who_writes(self) -> Job:
        """Generation alone is asked for several answers, and distilled into a model that writes."""
        is_written = self.task.kind == "generation"
        for oracle in self.oracle:
            samples = oracle.format.samples
            if samples > 1 and not is_written:
                raise ValueError(
                    f"`oracle.format.samples`: it is for `kind: generation`, not for {self.task.kind}; leave it out"
                )
            if samples > 1 and oracle.temperature == 0:
                raise ValueError(
                    f"`oracle.format.samples`: {samples} answers at `temperature: 0` are the same one; set "
                    "`oracle.temperature` (0.7, say), or leave `samples` out"
                )
        if is_written and self.distil.enabled and self.distil.model is None:
            raise ValueError(
                "`distil.model`: name what is to be taught to write (a folder, a .gguf file or a hub id), or set "
                "`distil.enabled: false` where the labels are all that is wanted"
            )
        if not is_written and self.distil.model is not None and ":" not in self.task.kind:
            raise ValueError(
                f"`distil.model`: it is for `kind: generation`, and {self.task.kind} is distilled into "
                "`student.encoder`; leave it out"
            )
        return self

    @property
    def has_student(self) -> bool:
        """Whether anybody learns from the labels."""
        return self.student.kind != studentless.KIND

    @classmethod
    def load(cls, path: str | Path) -> Job:
        """Read a job file. Raises JobFileError with every problem and its line."""
        path = Path(path)
        raw, lines = read_yaml(path)
        return cls._build(raw, str(path), lines, path.resolve().parent)

    @classmethod
    def of(cls, settings: Mapping[str, Any], folder: str | Path = ".") -> Job:
        """A job from a mapping, with paths relative to `folder`. Raises JobFileError."""
        return cls._build(dict(settings), "job", {}, Path(folder).resolve())

    @classmethod
    def _build(cls, raw: dict[str, Any], path: str, lines: dict[Where, int], folder: Path) -> Job:
        problems: list[tuple[int, str]] = []
        data = expand(raw, (), lines, problems)
        job: Job | None = None
        try:
            job = cls.model_validate(data)
        except ValidationError as error:
            problems += told(error.errors(include_url=False, include_input=False), lines, raw, cls)
        if problems or job is None:
            raise JobFileError(path, problems)
        job._folder, job._file, job._lines = folder, path, lines
        return job

    def telling_lines(self) -> AbstractContextManager[None]:
        """While this is entered, a JobFileError about one of the job's settings names the file and the line."""
        return telling_lines(self._file, self._lines)

    # Where things are ------------------------------------------------------------------------------------------

    def path(self, name: str) -> Path:
        """A path of the job file, relative to the file's own folder unless absolute."""
        return (self._folder / Path(name).expanduser()).resolve()

    @property
    def folder(self) -> Path:
        """The job file's folder."""
        return self._folder

    @property
    def images(self) -> Images | None:
        """The pictures of its texts: in the folder of the pool, which a seed's and gold's names start from too. None
        where it has none. Raises JobFileError where the pool lies in no folder."""
        if self.data.image is None:
            return None
        pool = self.path(self.data.pool)
        if not pool.exists():
            said = f"`data.image`: there is no {self.data.pool} here, and pictures lie in the folder of the pool"
            with self.telling_lines():
                raise JobFileError("job", [(0, said)])
        return Images(pool if pool.is_dir() else pool.parent)

    @property
    def output_folder(self) -> Path:
        return self.path(self.output)

    @property
    def store_url(self) -> str:
        """Where everything is kept. A relative file is one beside the job file, wherever the command is given."""
        if self.store is None:
            return f"sqlite:///{self.output_folder / 'labelwright.db'}"
        kind, mark, file = self.store.partition(":///")
        if kind.startswith("sqlite") and mark and file and not file.startswith((":", "/")):
            return f"{kind}:///{self.path(file)}"
        return self.store

    @property
    def guidelines(self) -> str:
        """The guideline's text, read from its file where `task.guidelines` is the path of one."""
        words = self.task.guidelines.strip()
        if words and "\n" not in words and words.rsplit(".", 1)[-1].lower() in ("md", "txt"):
            try:
                return self.path(words).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                said = f"`task.guidelines`: cannot read {words}: {getattr(error, 'strerror', error)}"
                with self.telling_lines():
                    raise JobFileError("job", [(0, said)]) from None
        return words

    # What is kept of it ----------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Every setting as plain JSON, secrets masked: safe for a store, a log or a report."""
        data: dict[str, Any] = json.loads(self.model_dump_json())
        for name in ("scale", "other", "max_answer_tokens", "right_at"):
            if data["task"][name] is None:
                del data["task"][name]  # jobs that are older than this setting have fingerprints without it
        if not self.task.no_answer:
            del data["task"]["no_answer"]  # likewise
        for oracle in data["oracle"]:
            oracle["base_url"] = _shown(oracle["base_url"])
            files = oracle["run_batch"] or {}
            if files.get("command"):
                files["command"] = _without_keys(files["command"])
            if oracle["serve"]:
                oracle["serve"]["args"] = _without_keys(oracle["serve"]["args"])
            for own in (oracle["serve"], files.get("llm")):
                if own:
                    own["env"] = _without_values(own["env"])
        data["store"] = without_secrets(data["store"])
        return data

    def fingerprint(self) -> str:
        """A hash of what a label means in this job (labels, guidelines, texts), the same for any budget or oracle."""
        settings = self.settings()
        texts = {key: settings["data"][key] for key in ("pool", "split", "text", "id", "max_tokens", "over_long")}
        if self.data.second is not None:
            texts["second"] = self.data.second
        if self.data.image is not None:
            texts["image"] = self.data.image
        what = {"task": settings["task"], "guidelines": self.guidelines, "texts": texts}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    def run(self) -> Outcome:
        """Run the job, or go on with it. See `agent.loop.run`."""
        from agent.loop import run

        return run(self)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in url
    except ValueError:  # a port that is none, a bracket that is not closed
        return False


def without_secrets(url: str | None) -> str | None:
    """A URL without user, password and query values: `https://user:key@host/v1` reads `https://***@host/v1`."""
    if url is None:
        return None
    if _is_web_address(url):  # no password can hold a slash or a question mark there
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")
        netloc = f"***@{place[2]}" if place[1] else parts.netloc
        query = re.sub(r"=[^&]*", "=***", parts.query)
        return f"{parts.scheme}://{netloc}{parts.path}" + (f"?{query}" if query else "")
    # up to the last @, since a password may hold one, a slash or a question mark; a path without a host has none
    place_and_query = re.sub(r"^([^/]*//)(?!/).*@", r"\1***@", url)
    where, mark, query = place_and_query.partition("?")
    return where + mark + re.sub(r"=[^&]*", "=***", query)


def _shown(urls: str | Sequence[str] | None) -> str | list[str] | None:
    """One URL or several without secrets."""
    if urls is None or isinstance(urls, str):
        return without_secrets(urls)
    return [without_secrets(url) or "" for url in urls]


def _without_values(env: Mapping[str, str]) -> dict[str, str]:
    """Variables without the values of those that are named like a secret."""
    return {name: "***" if SECRET_NAME.search(name) else value for name, value in env.items()}


def _without_keys(command: Sequence[str]) -> list[str]:
    """A command without what follows an option such as `--api-key`."""
    shown = list(command)
    for place, word in enumerate(command):
        name, mark, _ = word.partition("=")
        if SECRET_OPTION.search(name):
            if mark:
                shown[place] = f"{name}=***"
            elif place + 1 < len(command):
                shown[place + 1] = "***"
    return shown
