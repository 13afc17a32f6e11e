"""The model card: what the model is, what it was made from, how good it is, and what it is not for.

Knows facts and Markdown. Names and texts of the job are data: they are quoted, never markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from agent.distill.network import HALF
from agent.student.encoder import BUILTIN

FACTS = "labelwright.json"
"""The file beside the card that holds what it says."""
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MANY_CLASSES = 200
MEANT_FOR = (
    "Meant for texts like those it was made from, labelled in the same sense. On other kinds of text, other "
    "languages or later times it may be wrong and sure of it."
)
CALIBRATED = (
    "Its probabilities are calibrated, where there were labels to hold out, to the labels it was given; where those "
    "are wrong in a systematic way, so is it."
)
MAY_BE_UNTRUE = "It may write what is not so, and end in the middle of a sentence: read it before you use it."
BY_MACHINE = "Some labels were given by a machine: the model repeats what that machine gets wrong, and its bias."


@dataclass(frozen=True)
class Figure:
    """A measured share, with the ends of its 95 % interval where they are known."""

    name: str
    value: float
    lo: float | None = None
    hi: float | None = None
    n: int | None = None
    measured_on: str = ""


@dataclass(frozen=True)
class Card:
    """Everything that the card says.

    Attributes:
        names: the classes.
        multilabel: any number of labels a text.
        encoder: the name it was asked for by.
        max_tokens: a longer text is cut.
        training: settings of the training and what came of it, name → value.
        figures: what was measured.
        facts: of the job: job, data, labels, sources, by, prompt_hashes, cost_dollars, cap_dollars, audit
            (what a blind sample of the labels said), guidelines, settings, figures. All may be missing; others are
            kept for machines and not shown.
        columns: of a classifier of pairs, what the two texts are called.
        spans: the names are those of pieces of a text.
        onnx: names of files that hold the same network for onnxruntime.
        scale: of a model that says numbers, in words; it has no names then.
        abstain_below: the confidence below which `labelwright predict` and `serve` give no label.
        label_threshold, why_threshold: with any number of labels a text, the probability from which on one holds.
        quotes: it answers questions by quoting, has no names, and `columns` are question and context.
        writes: of a model that writes, Python that asks it; it has no names then.
        depicted: of a classifier of texts with pictures, the columns that hold them.
    """

    names: Sequence[str]
    multilabel: bool
    encoder: str
    max_tokens: int
    training: Mapping[str, Any]
    figures: Sequence[Figure] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    columns: Sequence[str] | None = None
    spans: bool = False
    onnx: Sequence[str] = ()
    scale: str = ""
    abstain_below: float | None = None
    label_threshold: float = HALF
    why_threshold: str = ""
    quotes: bool = False
    writes: str = ""
    depicted: Sequence[str] = ()

    @property
    def pipeline(self) -> str:
        """The task of `transformers` that it is for."""
        if self.quotes:
            return "question-answering"
        if self.depicted:
            return "image-classification"
        if self.writes:
            return "text-generation"
        return "token-classification" if self.spans else "text-classification"

    def text(self) -> str:
        """The whole README.md: YAML front matter and Markdown."""
        parts = [
            _front_matter(self),
            f"# {quoted(self.facts.get('job') or ('A model that writes' if self.writes else 'Text classifier'))}",
            _what(self),
            "## Use\n\n" + _use(self),
            f"## Scale\n\n{quoted(self.scale)}" if self.scale else "" if self.writes else _labels(self.names),
            "## Made from\n\n" + _made_from(self.facts),
            "## How good\n\n" + _figures(self.figures),
            "## Meant for, and not for\n\n" + _limits(self),
            "## Training\n\n" + _table(("setting", "value"), list(self.training.items())),
        ]
        if self.facts.get("settings"):
            parts.append("## The job's settings\n\n" + _code(_plain(self.facts["settings"])))
        return "\n\n".join(p for p in parts if p) + "\n"


def _front_matter(card: Card) -> str:
    head: dict[str, Any] = {
        "library_name": "labelwright" if card.depicted else "transformers",
        "pipeline_tag": card.pipeline,
        "tags": ["labelwright", card.pipeline, *_labels_a_text(card)],
    }
    if base := _base_model(card.encoder):
        head["base_model"] = base
    if card.figures:
        head["model-index"] = [_index_entry(card)]
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---"


def _labels_a_text(card: Card) -> list[str]:
    if card.spans or card.quotes or card.writes:
        return []
    return ["regression" if card.scale else "multi-label" if card.multilabel else "single-label"]


def _index_entry(card: Card) -> dict[str, Any]:
    results = [
        {
            "task": {"type": card.pipeline},
            "dataset": {"name": f.measured_on or "held out", "type": "private"},
            "metrics": [{"type": f.name, "value": round(f.value, 6), "name": f.name}],
        }
        for f in card.figures
    ]
    return {"name": str(card.facts.get("job") or "classifier"), "results": results}


def _base_model(encoder: str) -> str | None:
    """The hub id of the encoder; None for a folder, whose path is nobody's business."""
    if encoder == BUILTIN:
        return MINILM
    return encoder if encoder.count("/") == 1 and not encoder.startswith((".", "/", "~")) else None


def _what(card: Card) -> str:
    kind = "any number of labels a text" if card.multilabel else "exactly one label a text"
    reads = "text"
    if card.columns:
        kind, reads = f"exactly one label for a {' and a '.join(map(quoted, card.columns))}", "pair"
    base = _base_model(card.encoder) or ("a local model" if card.writes else "a local encoder")
    what = f"A {reads} classifier: {len(card.names)} classes, {kind}."
    if card.spans:
        what = f"It finds pieces of a text: {len(card.names)} labels, any number of pieces, none inside another."
    if card.quotes:
        what = "It answers a {} by quoting a piece of its {}.".format(*map(quoted, card.columns or ()))
    if card.scale:
        what = f"It says a number for a text, from {quoted(card.scale)}."
    if card.writes:
        what = "It writes a text in answer to a text."
    if card.depicted:
        return (
            f"A classifier of texts with pictures: {len(card.names)} classes, {kind}. A head on {quoted(base)}, "
            "which is as it was, taught by [Labelwright](https://pypi.org/project/labelwright/) on the labels "
            "described below. A copy of the encoder lies in `encoder`, a standard `transformers` folder."
        )
    return (
        f"{what} Fine-tuned from {quoted(base)} by "
        "[Labelwright](https://pypi.org/project/labelwright/) on the labels described below; "
        "it is a standard `transformers` folder and needs no other package."
    )


def _use_depicted(card: Card) -> str:
    text, image = map(quoted, card.depicted)
    said = (
        "```console\nlabelwright predict THIS_FOLDER texts.csv\n```\n\n"
        f"Texts are in the column {text}, and the paths of their pictures, in the folder of the file, in {image}; "
        f"`--text` and `--image` name others. Texts are cut at {card.max_tokens} tokens."
    )
    if card.multilabel:
        said += " A label holds where its probability is at least one half."
    if card.abstain_below is not None:
        said += f" Where it is less sure than {card.abstain_below:.4g} it gives none (`abstained`)."
    return said


def _holds(card: Card) -> str:
    """From where on a label holds."""
    at, why = "one half", f" ({card.why_threshold})" if card.why_threshold else ""
    if card.label_threshold != HALF:
        at = f"{card.label_threshold:g}, which is `model.config.label_threshold`"
    return f" A label holds where its probability is at least {at}{why}."


def _use(card: Card) -> str:
    if card.depicted:
        return _use_depicted(card)
    given = '{"text": "a text", "text_pair": "another"}' if card.columns else '"a text"'
    code = (
        "from transformers import pipeline\n\n"
        'classify = pipeline("text-classification", model="THIS_FOLDER", truncation=True, top_k=None)\n'
        f"classify({given})  # the probability of every class"
    )
    if card.spans:
        code = (
            "from transformers import pipeline\n\n"
            'find = pipeline("token-classification", model="THIS_FOLDER", aggregation_strategy="first")\n'
            'find("a text")  # each piece: where, which label, how sure'
        )
    if card.quotes:
        code = (
            "from transformers import AutoModelForQuestionAnswering, AutoTokenizer\n\n"
            'read = AutoTokenizer.from_pretrained("THIS_FOLDER")\n'
            'model = AutoModelForQuestionAnswering.from_pretrained("THIS_FOLDER")\n'
            'given = read("a question", "its context", truncation="only_second", return_tensors="pt")\n'
            "said = model(**given)\n"
            "start, end = said.start_logits.argmax(), said.end_logits.argmax()  # 0: there is no answer\n"
            'read.decode(given["input_ids"][0, start : end + 1])'
        )
    if card.scale:
        code = (
            "from transformers import pipeline\n\n"
            'options = {"truncation": True, "function_to_apply": "none"}\n'
            'grade = pipeline("text-classification", model="THIS_FOLDER", **options)\n'
            'grade("a text")[0]["score"]  # the number itself'
        )
    if card.writes:
        code = card.writes
    more = _holds(card) if card.multilabel else ""
    cut = f"Texts are cut at {card.max_tokens} tokens, which `truncation=True` does.{more}"
    if card.quotes:
        cut = f"A longer context than fits into {card.max_tokens} tokens is read in windows that overlap, below."
    if card.writes:
        cut = f"Longer texts than {card.max_tokens} tokens were cut.{more}"
    said = (
        f"```python\n{code}\n```\n\n{cut} "
        "Or for a whole file, in flat memory: `labelwright predict THIS_FOLDER texts.csv`; over HTTP: "
        "`labelwright serve THIS_FOLDER`."
    )
    if card.abstain_below is not None:
        said += (
            f"\n\nWhere {'any decision' if card.multilabel else 'the likeliest class'} is less probable than "
            f"{card.abstain_below:.4g}, those two give no label (`abstained`), and all probabilities. `transformers` "
            "knows nothing of that: leave out what scores below `model.config.abstain_below`."
        )
    return f"{said}\n\n{_use_onnx(card)}" if card.onnx else said


def _use_onnx(card: Card) -> str:
    chances = "1 / (1 + numpy.exp(-logits))" if card.multilabel else "scipy.special.softmax(logits, axis=1)"
    code = (
        "import numpy, onnxruntime, scipy.special\n"
        "from transformers import AutoTokenizer\n\n"
        'read = AutoTokenizer.from_pretrained("THIS_FOLDER")\n'
        f'session = onnxruntime.InferenceSession("THIS_FOLDER/{card.onnx[0]}")\n'
        'texts = read(["a text"], truncation=True, padding=True, return_tensors="np")\n'
        'logits = session.run(["logits"], {i.name: texts[i.name] for i in session.get_inputs()})[0]\n'
        f"{chances}  # the probability of every class, in the order of config.json"
    )
    files = " and ".join(f"`{name}`" for name in card.onnx)
    return f"For onnxruntime, without torch: {files}.\n\n```python\n{code}\n```"


def _labels(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = [f"- {quoted(name)}" for name in names[:MANY_CLASSES]]
    if len(names) > MANY_CLASSES:
        shown.append(f"- and {len(names) - MANY_CLASSES} more, in `config.json`")
    return "## Labels\n\n" + "\n".join(shown)


def _made_from(facts: Mapping[str, Any]) -> str:
    said: list[tuple[str, Any]] = []
    data = facts.get("data")
    said.append(("data", data.get("pool") if isinstance(data, Mapping) else data))
    said.append(("labels", facts.get("labels")))
    said += [(f"labels by source: {name}", count) for name, count in dict(facts.get("sources") or {}).items()]
    said += [(f"labels given by: {name}", count) for name, count in dict(facts.get("by") or {}).items()]
    said += [("prompt hash", hashed) for hashed in facts.get("prompt_hashes") or ()]
    if facts.get("cost_dollars") is not None:
        said.append(("cost of the whole job", f"${float(facts['cost_dollars']):.4f}"))
    if facts.get("cap_dollars") is not None:
        said.append(("its cap", f"${float(facts['cap_dollars']):.4f}"))
    told = [(name, value) for name, value in said if value not in (None, "")]
    parts = [_table(("what", "value"), told) if told else "Nothing was said of it."]
    if facts.get("audit"):
        parts.append(f"How right the labels are that machines gave: {quoted(facts['audit'])}.")
    if facts.get("guidelines"):
        parts.append("What the labels mean, as whoever gave them was told:\n\n" + _code(str(facts["guidelines"])))
    return "\n\n".join(parts)


def _figures(figures: Sequence[Figure]) -> str:
    if not figures:
        return "It was not measured: no labels could be held out for that. Measure it before you rely on it."
    rows = [(f.name, f"{f.value:.3f}", _interval(f), "" if f.n is None else f.n, f.measured_on) for f in figures]
    return _table(("figure", "value", "95 % interval", "texts", "measured on"), rows)


def _interval(figure: Figure) -> str:
    return "" if figure.lo is None or figure.hi is None else f"{figure.lo:.3f} to {figure.hi:.3f}"


def _limits(card: Card) -> str:
    machine = {str(s) for s in dict(card.facts.get("sources") or {})} & {"oracle", "student"}
    none = (
        "A piece begins and ends where the tokenizer parts words; what is cut off a long text has no pieces."
        if card.spans
        else "An answer begins and ends where the tokenizer parts words, and has 30 of them at most."
        if card.quotes
        else "Classes are decided one by one: a text may get none, or several that exclude each other."
        if card.multilabel
        else "What it says may lie a little beyond an end of the scale, and lies nearer its middle than labels do."
        if card.scale
        else MAY_BE_UNTRUE
        if card.writes
        else f"A text that no other class fits is meant to get {quoted(other)}, which was learnt from examples alone."
        if (other := _other(card.facts))
        else "A text that belongs to no class gets one all the same."
    )
    lines = [MEANT_FOR, none, *([] if card.scale or card.quotes or card.writes else [CALIBRATED])]
    if machine:
        lines.append(BY_MACHINE)
    lines.append("Not meant to decide about people without a person who looks at the case.")
    return "\n".join(f"- {line}" for line in lines)


def _other(facts: Mapping[str, Any]) -> str | None:
    """The class for what fits no other, where the job has one."""
    task = dict(facts.get("settings") or {}).get("task") or {}
    return task.get("other")


# Markdown ---------------------------------------------------------------------------------------------------------


def quoted(value: object) -> str:
    """Any text as one line of Markdown that shows it and does nothing else."""
    said = " ".join(str(value).split())
    said = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in said)
    for mark, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        said = said.replace(mark, safe)
    return "".join(f"\\{c}" if c in "\\`*_[]|#!~" else c for c in said)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(c) if c == "---" else quoted(c) for c in line) + " |" for line in lines)


def _code(text: str) -> str:
    """A block that the text cannot end: its fence is longer than any run of backticks inside."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"


def _plain(settings: object) -> str:
    """Settings as YAML, through JSON so that any value is plain."""
    return yaml.safe_dump(json.loads(json.dumps(settings, default=str)), sort_keys=False, allow_unicode=True).strip()
