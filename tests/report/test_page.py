"""The page: whole by itself, safe with anybody's text, and never at odds with report.json."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DataError
from agent.records import MicroDollars
from agent.report.findings import Confusion, Estimate, Findings, Model, Round, Tally, WaitingText
from agent.report.page import WRITERS, page, write
from tests.report import sample

EVERY = {"news": sample.news, "banking": sample.banking, "nothing": sample.nothing, "cascade": sample.cascade}
HOSTILE = '</style><script>alert(1)</script><img src=x onerror=alert(1)> [bold]\x00\x1b[31m\u202eevil & "quoted" \''


class Seen(HTMLParser):
    """What a browser would see: tags with attributes, text outside style, figures by their path."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.figures: list[tuple[str, str, str]] = []
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)
        if self._open[-1:] == ["data"]:
            attributes = self.tags[-1][1]
            self.figures.append((attributes["data-json"] or "", attributes["value"] or "", data))

    @property
    def text(self) -> str:
        """Without markup; a narrow space before a unit reads as a space."""
        return " ".join(" ".join(self.words).split())


def look_up(data: Any, path: str) -> Any:
    for part in path.split("."):
        data = data[int(part)] if isinstance(data, list) else data[part]
    return data


@pytest.mark.parametrize("job", EVERY)
def test_the_page_asks_nothing_of_the_network(job: str) -> None:
    html = page(EVERY[job]())
    for tag, attributes in Seen(html).tags:
        assert tag not in {"script", "iframe", "link", "img", "object", "embed", "base"}
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in html


@pytest.mark.parametrize("job", EVERY)
def test_no_figure_that_is_not_known_reaches_the_page(job: str) -> None:
    findings = EVERY[job]()
    html = page(replace(findings, settings={}))
    body = html[html.index("<body>") :]
    assert not re.search(r"\b(nan|None|inf|Infinity|undefined|null)\b", body)
    assert "not known" not in body


@pytest.mark.parametrize("job", EVERY)
def test_every_figure_on_the_page_stands_in_the_json(job: str, tmp_path: Path) -> None:
    findings = EVERY[job]()
    html_path, json_path = write(findings, tmp_path)
    data = json.loads(json_path.read_text("utf-8"))
    figures = Seen(html_path.read_text("utf-8")).figures
    assert len(figures) >= (10 if job == "nothing" else 60)
    for path, value, shown in figures:
        exact = look_up(data, path)
        assert float(value) == exact
        assert shown in {how(exact) for how in WRITERS.values()}


def test_the_headline_is_what_the_run_found() -> None:
    said = Seen(page(sample.news())).text
    for figure in ("$0.0189", "$0.0200", "526", "57", "87.8 %", "78.1 %", "90.5 %", "92.8 %"):
        assert figure in said
    assert "against gold labels" in said
    assert "budget is used up" in said


def test_agreement_with_the_oracle_is_never_called_accuracy_against_gold() -> None:
    said = Seen(page(sample.banking())).text
    assert "agreement with the oracle only" in said
    assert "against gold" not in said


def test_an_audit_is_told_with_its_certificate_and_what_it_found_by_class_and_oracle() -> None:
    said = Seen(page(sample.news())).text
    for part in (
        "Accuracy 94.1 %, 95 % interval 92.6 to 95.4, from 399 blind items, estimator prediction-powered",
        "of the 9,600 labels that machines had given on 22 November 2025; people’s 412 and the seed’s 10 labels",
        "An interval of ±1 point takes 512 more items, 911 in all.",
        "Error is under 5 %: shown (alpha 0.05) after 133 blind items, 2 of them wrong",
        "not shown yet after 33 blind items, 1 of them wrong",
        "evidence that it is under 0.310, that it is over 1.7 of 20",
        "31 of 2,000 items are judged, 1,967 wait for a person",
        "Nothing is known yet: none of 100 items is judged",
        "97.0 %", "local/qwen2.5-1.5b-instruct",
    ):  # fmt: skip
        assert part in said
    assert "labelwright audit job.yaml" in Seen(page(sample.nothing())).text


def test_an_empty_job_says_why_each_section_is_empty_and_what_to_do() -> None:
    said = Seen(page(sample.nothing())).text
    for why in (
        "No label has been bought yet", "No stop reason fired", "not measured", "Not compared with chance yet",
        "No learning curve", "No cost by round", "No oracle has been asked", "No labels yet",
        "Nothing to compare the oracle with", "No reliability diagram", "Nothing waits for a person",
        "No audit was drawn", "No text failed", "No round has finished", "No settings on record",
    ):  # fmt: skip
        assert why in said
    assert "data.gold" in said
    assert "labelwright run job.yaml" in said


def test_a_job_that_draws_nothing_by_chance_does_not_say_that_it_does() -> None:
    news = sample.news()
    rounds = [replace(r, picked={"unsure": 30}) for r in news.rounds]
    said = Seen(page(replace(news, rounds=rounds, gain=None, gain_dollars=None))).text
    assert "No text of this job was drawn by chance" in said
    assert "A random slice of every batch is always labelled" not in said


def test_what_anybody_wrote_stays_text() -> None:
    news = sample.news()
    hostile = replace(
        news,
        job=HOSTILE,
        kind=HOSTILE,
        names=(HOSTILE, "b"),
        stop=HOSTILE,
        tallies=(Tally(HOSTILE, 3, 1, 1, 1),),
        confusion=Confusion((HOSTILE, "b"), tuple(replace(c, truth=HOSTILE) for c in news.confusion.cells[:1]), 1, 0)
        if news.confusion
        else None,
        waiting=(WaitingText("t", HOSTILE * 40, HOSTILE, HOSTILE, 0.5, slice=HOSTILE),),
        failed=tuple(replace(f, text=HOSTILE, reasons=(HOSTILE,)) for f in news.failed),
        rounds=tuple(replace(r, picked={HOSTILE: 3}, stop=HOSTILE) for r in news.rounds),
        oracles=tuple(replace(o, name=HOSTILE, model=HOSTILE) for o in news.oracles),
        models=(Model(HOSTILE, sample.estimate(0.5, 9, HOSTILE), {HOSTILE: 0.5}),),
        settings={HOSTILE: {HOSTILE: HOSTILE}, "oracle": [{"name": HOSTILE}]},
        versions={HOSTILE: HOSTILE},
        prompt_hashes=(HOSTILE,),
        started_at=HOSTILE,
    )
    html = page(hostile)
    seen = Seen(html)
    assert not {"script", "img"} & {tag for tag, _ in seen.tags}
    assert not set("\x00\x1b\u202e") & set(html)
    assert "<script>alert(1)</script>" in seen.text
    assert html.count("</style>") == 1


@given(st.text(st.characters(codec=None), max_size=80))
def test_no_text_at_all_breaks_the_page(text: str) -> None:
    findings = replace(
        sample.nothing(), job=text, stop=text, waiting=(WaitingText("t", text, text),), waiting_count=1
    )
    html = page(findings)
    tags = [tag for tag, _ in Seen(html).tags]
    assert tags.count("section") == 11
    assert html.rstrip().endswith("</html>")
    html.encode("utf-8")


def test_a_megabyte_of_text_is_folded() -> None:
    findings = replace(sample.nothing(), waiting=(WaitingText("t", "word " * 200_000, "long"),), waiting_count=1)
    html = page(findings)
    assert len(html) < 60_000
    assert '<details class="fold">' in html


def test_the_same_findings_give_the_same_bytes() -> None:
    assert page(sample.news()) == page(sample.news())


def test_selection_that_bought_nothing_is_told() -> None:
    assert "nothing that can be told from chance" in Seen(page(sample.news())).text


@pytest.mark.parametrize(
    ("difference", "ends", "said"),
    [
        (0.1, (0.05, 0.15), "+10.0 points better than random ones did"),
        (-0.1, (-0.15, -0.05), "taught a worse student"),
        (0.02, (-0.01, 0.05), "nothing that can be told from chance"),
        (0.02, (None, None), "this proves nothing"),
    ],
)
def test_what_selection_bought_is_said_as_it_is(
    difference: float, ends: tuple[float | None, float | None], said: str
) -> None:
    news = sample.news()
    assert news.gain is not None
    gain = replace(news.gain, difference=difference, lo=ends[0], hi=ends[1])
    assert said in Seen(page(replace(news, gain=gain))).text


def test_one_round_without_gold_is_a_report_too() -> None:
    one = Round(0, 10, MicroDollars(50), {"cold": 10}, 8, 2, 0, settled=MicroDollars(50))
    findings = replace(sample.nothing(), rounds=(one,), bought=10, labelled=10)
    said = Seen(page(findings)).text
    assert "One round only" in said
    assert "No learning curve" in said
    assert "Cost by round" in said


def test_one_measured_point_has_a_whisker_instead_of_a_band() -> None:
    one = replace(sample.rounds()[3], round=0)
    html = page(replace(sample.nothing(), rounds=(one,)))
    assert "whisker chosen" in html
    assert 'class="band' not in html


@given(
    st.lists(
        st.builds(
            Round,
            round=st.integers(0, 999),
            labels=st.integers(0, 10**7),
            spent=st.integers(0, 10**13).map(MicroDollars),
            settled=st.integers(0, 10**12).map(MicroDollars),
            ambiguous=st.integers(0, 10**12).map(MicroDollars),
            random_labels=st.none() | st.integers(0, 10**6),
            random_spent=st.none() | st.integers(0, 10**12).map(MicroDollars),
            selected=st.none() | st.builds(Estimate, st.floats(0, 1), st.just(0.0), st.just(1.0)),
            random=st.none() | st.builds(Estimate, st.floats(0, 1)),
        ),
        max_size=6,
    ),
    st.integers(0, 10**12).map(MicroDollars),
)
def test_whatever_the_rounds_hold_a_page_can_be_drawn(rounds: list[Round], cap: MicroDollars) -> None:
    empty = sample.nothing()
    html = page(replace(empty, rounds=tuple(rounds), money=replace(empty.money, cap=cap)))
    assert not re.search(r"\b(nan|None|inf)\b", html[html.index("<body>") :])


def test_a_task_measured_by_another_figure_says_which() -> None:
    f1 = Estimate(0.71, 0.6, 0.8, 50, "gold", "micro_f1")
    rounds = tuple(replace(r, selected=f1, random=None) for r in sample.rounds())
    said = Seen(
        page(replace(sample.news(), models=(Model("oracle", f1), Model("distilled", f1)), rounds=rounds))
    ).text
    assert "Micro F1 against number of labels" in said
    assert "reaches a Micro F1 of" in said


def test_many_classes_are_shown_by_their_most_confused_pairs() -> None:
    html = page(sample.banking())
    assert 'class="matrix"' not in html
    assert "most frequent of" in Seen(html).text
    assert "1 of 77 classes have no label yet" in Seen(html).text


def test_where_several_answered_each_oracles_errors_are_named() -> None:
    text = Seen(page(sample.banking())).text
    assert "118 texts were answered more than once, and in 74 of them all answers were the same" in text
    assert "In 3 the likeliest class is another than the newest answer’s" in text
    assert re.search(r"local/small 79\.3 % 0\.310 \S+ for \S+ \( 34\.0 % \)", text)
    assert "nothing for anything else in more than 5 % of a class" in text
    assert "answered more than once" not in Seen(page(sample.news())).text


def test_a_blind_item_gives_nothing_away() -> None:
    blind = [w for w in sample.news().waiting if w.blind]
    assert blind
    assert all(w.suggestion is None and w.confidence is None for w in blind)
    assert "hidden" in Seen(page(sample.news())).text


def test_what_cannot_be_json_is_null() -> None:
    findings = replace(sample.nothing(), settings={"a": math.nan, "b": [math.inf, 1.5]})
    assert findings.as_json()["settings"] == {"a": None, "b": [None, 1.5]}
    assert "NaN" not in json.dumps(findings.as_json(), allow_nan=False)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write the report to .*file"):
        write(sample.nothing(), tmp_path / "file" / "out")


def test_writing_again_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    write(sample.nothing(), tmp_path)
    write(sample.news(), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json"]
    assert "bbc-news" in (tmp_path / "report.html").read_text("utf-8")


def test_findings_hold_no_figure_twice_under_two_names() -> None:
    data = sample.news().as_json()
    assert data["format"] == 1
    assert data["units"]["money"] == "micro-dollars"
    assert set(data) - {"format", "units"} == set(Findings.__dataclass_fields__)


def test_the_page_says_what_more_money_would_have_bought_and_why_it_cannot_tell() -> None:
    said = Seen(page(sample.news())).text
    assert "(as much again) would pay for the whole rest of the pool, 456 texts: +1.2 points" in said
    assert "the next $100 no more than that, since the pool ends there" in said
    said = Seen(page(sample.banking())).text
    assert "cannot be told yet: 3 rounds were measured alike, and a learning curve needs 4." in said


def test_the_same_dollars_are_compared_as_well_as_the_same_labels() -> None:
    said = Seen(page(sample.news())).text
    assert "With 108 labels each" in said
    assert "For the same $0.0028 , 101 chosen labels taught a student that cannot be told apart" in said
    assert "alone is right on 31 , the other alone on 18 (McNemar’s exact test, p = 0.085 )" in said


def test_every_slice_says_why_and_examples_say_it_in_words() -> None:
    said = Seen(page(sample.news())).text
    assert "it is typical of a group of similar texts cold 40 40 $0.0014 none on record" in said
    assert "1 % to 2.5 %" in said
    assert "Chosen by margin ( 394 ), typical ( 40 )." in said
    assert "the small model was unsure here (rank 2 of 812 by margin, a group of 4)" in said


def test_weights_that_make_up_for_choosing_are_told_with_what_they_cost() -> None:
    news = sample.news()
    last = replace(news.rounds[-1], clipped=3, effective=212.4)
    said = Seen(page(replace(news, rounds=(*news.rounds[:-1], last)))).text
    assert "worth 212 that weigh alike; 3 weights were cut down" in said
    assert "selection.unbiased" not in Seen(page(replace(news, settings={}))).text
