"""Presidio's recognizers, and ours beside them where those miss. Imported only where a job asks for redaction.

The recognizers are called one by one, without Presidio's `AnalyzerEngine`: what that adds (words nearby that raise a
score) changes nothing where everything that is found is hidden, and it takes longer than the search itself. For the
same reason e-mail addresses are found by `PatternRecognizer`, not by `EmailRecognizer`: that one fetches the list of
top-level domains from the network, and then lets `ada@mail.intranet` pass.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import presidio_analyzer
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    IbanRecognizer,
    PhoneRecognizer,
    SpacyRecognizer,
)

from agent.errors import ModelError
from agent.redaction.numbers import Span, cards, ibans
from agent.redaction.phones import REGIONS, phones

Finder = Callable[[str], Iterable[Span]]

LOCAL = r"""(?:"[^"\n]{1,64}"|[\w+%][\w.!#$&'*+/=?^`{|}~%-]{0,99})"""
EMAILS = (
    LOCAL + r"@(?:(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}|\[[0-9a-fA-F:.]{3,45}\])",
    # ada (at) example (dot) com
    r"\w[\w.+-]{0,63} ?[\[({] ?at ?[\])}] ?[\w-]{1,63}(?: ?(?:[\[({] ?dot ?[\])}]|\.) ?[\w-]{1,63}){1,8}",
)
"""Every repetition has an end, so that no text can make the search slow."""
SPACY_MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm", "en_core_web_trf")
WITHOUT = ("tagger", "parser", "senter", "attribute_ruler", "lemmatizer")


def finders(kinds: Sequence[str], model: str | None) -> dict[str, list[Finder]]:
    """How each kind is found. Raises ModelError where `name` is asked for and its model is not there."""
    made: dict[str, Callable[[], list[Finder]]] = {
        "email": lambda: [_by(_emails(), "EMAIL_ADDRESS")],
        "iban": lambda: [_by(IbanRecognizer(), "IBAN_CODE"), ibans],
        "card": lambda: [_unless_called(_by(CreditCardRecognizer(), "CREDIT_CARD")), cards],
        "phone": lambda: [partial(phones, valid=[_by(_of(region), "PHONE_NUMBER") for region in REGIONS])],
        "name": lambda: [_names(model)],
    }
    return {kind: made[kind]() for kind in kinds}


def version() -> str:
    """Of Presidio."""
    from importlib.metadata import version as installed

    return installed("presidio-analyzer")


def _by(recognizer: Any, entity: str) -> Callable[[str], list[Span]]:
    def find(text: str) -> list[Span]:
        return [(found.start, found.end) for found in recognizer.analyze(text, [entity])]

    return find


def _unless_called(find: Finder) -> Finder:
    """Without what stands behind a plus: one phone number in ten has a card's check digit."""
    return lambda text: [(start, end) for start, end in find(text) if text[max(0, start - 1) : start] != "+"]


def _emails() -> Any:
    patterns = [presidio_analyzer.Pattern(f"e-mail {i}", pattern, 0.5) for i, pattern in enumerate(EMAILS)]
    return presidio_analyzer.PatternRecognizer("EMAIL_ADDRESS", patterns=patterns)


def _of(region: str) -> Any:
    return PhoneRecognizer(supported_regions=(region,), leniency=1)


def _names(model: str | None) -> Finder:
    """Names of persons, by a spaCy pipeline that is installed: nothing is downloaded."""
    import spacy

    engine, recognizer = SpacyNlpEngine(), SpacyRecognizer(supported_entities=["PERSON"])
    name = model or next((m for m in SPACY_MODELS if importlib.util.find_spec(m)), None)
    if name is None:
        raise ModelError(
            "`data.redact`: `name` needs a spaCy model, and none is installed: python -m spacy download "
            "en_core_web_sm (or _md, _lg), or name another one as `data.redact_model`"
        )
    try:
        pipeline = spacy.load(Path(name) if Path(name).is_dir() else name, exclude=list(WITHOUT))
    except (OSError, ValueError, ImportError) as error:
        said = str(error).split("\n", maxsplit=1)[0]
        raise ModelError(
            f"`data.redact_model`: cannot load {name}: {said}; python -m spacy download {Path(name).name} installs "
            "spaCy's own models"
        ) from None
    if not {"ner", "entity_ruler"} & set(pipeline.pipe_names):
        raise ModelError(f"`data.redact_model`: {name} finds no names: it has no `ner`; take another model")
    engine.nlp = {"en": pipeline}

    def find(text: str) -> list[Span]:
        artifacts = engine.process_text(text, "en")
        return [(f.start, f.end) for f in recognizer.analyze(text, ["PERSON"], artifacts)]

    return find
