"""How much of made-up personal data `data.redact` hides in real texts, what it hides besides, and how fast.

    python -m evals.redaction [--quick]

Values by `_fakes` (seeded, check digits right, written in many ways) are put into BBC news articles, one a text,
between two words in one of several phrases. A value is hidden where every letter and digit of it is. Presidio's own
recognizers, as it ships them, are measured on the same texts, but for e-mail: that recognizer asks the network. What
is found in texts nobody put anything into is counted too: some of it is real (a help line's number), most is not.

Needs the demo's texts (`pip install 'labelwright[demo]'`) and, for false alarms, the data sets in `../shared/data`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import phonenumbers
import pyarrow.parquet as pq

from agent.demo.corpus import articles
from agent.redaction import Redactor
from agent.tasks.intervals import wilson
from evals._corpora import DATA
from evals._fakes import MADE, Fake, planted
from evals.outcome import Outcome, is_quick

KINDS = ("email", "phone", "card", "iban")
TARGET, FASTEST_NEEDED = 0.98, 300.0
SETS = ("banking77", "clinc150", "dbpedia14", "uci_sentiment", "fewrel", "goemotions", "wnut17", "bc5cdr")
SEED = 11

Spans = Callable[[str], Iterable[tuple[int, int]]]


def sown(texts: Sequence[str], kind: str, count: int) -> list[tuple[str, Fake, int]]:
    """`count` texts with a made-up value each, and where it begins."""
    rng = np.random.default_rng([SEED, KINDS.index(kind)])
    return [planted(texts[i % len(texts)], kind, rng) for i in range(count)]


def missed(made: Sequence[tuple[str, Fake, int]], find: Spans) -> list[Fake]:
    """The values of which a letter or digit is left."""
    left = []
    for text, fake, at in made:
        covered = {i for start, end in find(text) for i in range(start, end)}
        if not {i for i in range(at, at + len(fake.value)) if text[i].isalnum()} <= covered:
            left.append(fake)
    return left


def theirs() -> dict[str, Spans]:
    """Presidio as it ships: its own recognizers, with their own countries."""
    from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, IbanRecognizer, PhoneRecognizer

    made = {
        "phone": (PhoneRecognizer(), "PHONE_NUMBER"),
        "card": (CreditCardRecognizer(), "CREDIT_CARD"),
        "iban": (IbanRecognizer(), "IBAN_CODE"),
    }
    return {
        kind: lambda text, r=recognizer, e=entity: [(f.start, f.end) for f in r.analyze(text, [e])]  # type: ignore[misc]
        for kind, (recognizer, entity) in made.items()
    }


def recall(outcome: Outcome, redactor: Redactor, texts: Sequence[str], count: int) -> None:
    """A row a kind, and for those that Presidio can be asked about offline its own figure beside it."""
    rivals = theirs()
    for kind in KINDS:
        made = sown(texts, kind, count)
        left = missed(made, lambda text: [(f.start, f.end) for f in redactor.found(text)])
        found = 1 - len(left) / count
        low, high = wilson(count - len(left), count)
        rival = ""
        if kind in rivals:
            few = made[: max(200, count // 10)]
            rival = f"Presidio alone {1 - len(missed(few, rivals[kind])) / len(few):.3f} (of {len(few)})"
        sorts = len({fake.sort for _, fake, _ in made})
        outcome.add(
            f"recall: {kind}",
            found,
            f"of {count:,} in BBC articles, {sorts} sorts; 95 %: {low:.4f} to {high:.4f}",
            target=f">= {TARGET}",
            holds=found >= TARGET,
            rival=rival,
        )
        print(kind, "missed:", Counter(fake.sort for fake in left).most_common(8), flush=True)


def everywhere(outcome: Outcome, redactor: Redactor) -> None:
    """An example number of each country there is, by libphonenumber, as it is written at home and abroad."""
    forms = {
        "at home": phonenumbers.PhoneNumberFormat.NATIONAL,
        "abroad": phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    }
    for name, form in forms.items():
        numbers = [
            phonenumbers.format_number(number, form)
            for region in sorted(phonenumbers.SUPPORTED_REGIONS)
            if (number := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
        ]
        for said, text in (("", "you reach them on {} today"), (", after a word", "phone: {}")):
            hidden = sum(number not in redactor(text.format(number)) for number in numbers)
            outcome.add(
                f"a mobile number of every country, {name}{said}", hidden / len(numbers), f"of {len(numbers)} hidden"
            )


def false_alarms(outcome: Outcome, redactor: Redactor, name: str, texts: Sequence[str]) -> None:
    """What is found where nobody put anything, a thousand texts."""
    counts: Counter[str] = Counter()
    began = time.process_time()
    for text in texts:
        counts.update(found.kind for found in redactor.found(text))
    rate = len(texts) / (time.process_time() - began)
    said = ", ".join(f"{n} {kind}" for kind, n in counts.most_common()) or "nothing"
    unit = f"places a 1,000 texts ({said} in {len(texts):,}; {rate:,.0f} texts a second)"
    outcome.add(f"found in {name} as it is", 1000 * counts.total() / len(texts), unit)


def speed(outcome: Outcome, redactor: Redactor, texts: Sequence[str]) -> None:
    """Texts a second of processor time on one core: as they are, and with a made-up value in each."""
    with_value = [text for kind in KINDS for text, _, _ in sown(texts, kind, 100)]
    for name, some in (("texts as they are", texts), ("texts with a value each", with_value)):
        began = time.process_time()
        for text in some:
            redactor.found(text)
        rate = len(some) / (time.process_time() - began)
        outcome.add(
            f"speed: {name}",
            rate,
            f"texts of up to 500 characters a second of processor time ({len(some):,} texts)",
            target=f">= {FASTEST_NEEDED:g}",
            holds=rate >= FASTEST_NEEDED,
        )


def main() -> int:
    quick = is_quick()
    outcome = Outcome("redaction", quick)
    texts = [a.text for a in articles()]
    assert set(KINDS) == set(MADE)
    began = time.process_time()
    redactor = Redactor.of(KINDS)
    outcome.add(
        "seconds until a redactor is there", time.process_time() - began, "of processor time, imports and all"
    )
    recall(outcome, redactor, texts, 500 if quick else 5000)
    everywhere(outcome, redactor)
    redactor.found.cache_clear()
    speed(outcome, redactor, texts[: 500 if quick else None])
    redactor.found.cache_clear()
    false_alarms(outcome, redactor, "bbc", texts)
    for name in SETS if DATA.is_dir() and not quick else ():
        table = pq.read_table(DATA / name / "train.parquet")
        column = "text" if "text" in table.column_names else "tokens"
        rows = [" ".join(row) if isinstance(row, list) else row for row in table.column(column).to_pylist()]
        false_alarms(outcome, redactor, name, list(dict.fromkeys(rows)))
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
