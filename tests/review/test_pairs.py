"""Pairs before people: two texts on the page, in every format that leaves, and labels of both that come back."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.job import Job
from agent.pairing import SIGN, join
from agent.review.card import OPENING, card
from agent.review.exchange import Kind, export_queue, import_queue
from agent.review.unseen import Unseen, units
from agent.tasks import build
from tests.review.clients import Page
from tests.review.scenes import Scene, pairs
from tests.review.test_card import ROW

PAIRS = {
    "task": {"kind": "pairs", "labels": ["entailment", "neutral"]},
    "data": {"pool": "pool.csv", "text": "premise", "second": "hypothesis"},
    "oracle": {"base_url": "http://127.0.0.1:1/v1", "model": "small"},
    "budget": {"dollars": 1},
}
DOGS, RAIN = ("Two dogs run.", "An animal moves."), ("It rains.", f"=1+1 {SIGN}\n<b>wet</b>")


@pytest.fixture
def made(tmp_path: Path) -> Scene:
    return pairs(tmp_path, DOGS, RAIN)


# the page ----------------------------------------------------------------------------------------------------------


def test_an_item_has_both_texts_under_the_names_of_their_columns(made: Scene) -> None:
    page = Page(made)
    dogs, rain = page.get("/api/items").json()["items"]
    assert [(p["name"], p["text"], p["length"]) for p in dogs["parts"]] == [
        ("premise", "Two dogs run.", 13),
        ("hypothesis", "An animal moves.", 16),
    ]
    assert tuple(p["text"] for p in rain["parts"]) == RAIN
    assert page.get("/api/text", params={"id": '"t001"'}).json()["parts"] == list(RAIN)


def test_words_of_either_text_are_found_and_a_label_is_kept(made: Scene) -> None:
    page = Page(made)
    for words, found in (("dogs run", "t000"), ("animal", "t000"), ("wet", "t001")):
        assert [i["id"] for i in page.get("/api/items", params={"words": words}).json()["items"]] == [found]
    reply = page.act("/api/label", id="t000", value="entailment", seconds=1.0)
    assert reply.status_code == 200, reply.text
    assert made.given() == {"t000": "entailment"}


def test_both_openings_are_sent_of_a_long_pair(tmp_path: Path) -> None:
    long = ("a" * (OPENING + 5), "b" * (OPENING + 7))
    page = Page(pairs(tmp_path, long))
    (item,) = page.get("/api/items").json()["items"]
    assert [(len(p["text"]), p["length"]) for p in item["parts"]] == [(OPENING, OPENING + 5), (OPENING, OPENING + 7)]
    assert page.get("/api/text", params={"id": '"t000"'}).json()["parts"] == list(long)


TEXT = st.text(st.sampled_from([SIGN, "\n", "x", "é", "\U0001f600"]), max_size=8)


@given(TEXT, TEXT, st.booleans())
def test_what_no_oracle_saw_is_marked_in_the_text_that_it_is_in(before: str, after: str, in_second: bool) -> None:
    task = build(Job.of(PAIRS).task)
    text = f"{before}SECRET{after}"
    pair = join(*(("other", text) if in_second else (text, "other")))
    start = pair.index("SECRET")
    place = (units(pair[:start]), units(pair[: start + 6]), "[NAME]")
    item: dict[str, Any] = card(replace(ROW, text=pair, suggestion=None), task, None, Unseen("hidden", (place,)))
    holder, other = item["parts"][::-1] if in_second else item["parts"]
    assert other["places"] == []
    ((begin, end, said),) = holder["places"]
    whole = text.encode("utf-16-le")
    assert (whole[2 * begin : 2 * end].decode("utf-16-le"), said) == ("SECRET", "[NAME]")


# other tools -------------------------------------------------------------------------------------------------------


def test_a_table_has_a_column_for_each_text_and_comes_back(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["text"], r["second"]) for r in rows] == [DOGS, (RAIN[0], f"'{RAIN[1]}")], "no formula is run"
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(r | {"label": "entailment"} for r in rows)
    assert import_queue(*made.parts, path, "ada").added == 2
    assert made.given() == {"t000": "entailment", "t001": "entailment"}


def test_label_studio_shows_both_and_its_labels_come_back(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.json"
    export_queue(*made.parts, path, Kind.LABEL_STUDIO)
    view = ElementTree.fromstring(path.with_suffix(".xml").read_text("utf-8"))
    shown = [(e.tag, e.get("value")) for e in view if e.tag != "Choices"]
    wanted = [("Header", "premise"), ("Text", "$text"), ("Header", "hypothesis"), ("Text", "$second")]
    assert shown == wanted
    tasks = json.loads(path.read_text("utf-8"))
    assert [(t["data"]["text"], t["data"]["second"]) for t in tasks] == [DOGS, RAIN]
    for task in tasks:
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["entailment"]}}]
        task["annotations"] = [{"completed_by": {"email": "ada@example.com"}, "result": result, "lead_time": 2.0}]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    assert import_queue(*made.parts, path, "nobody").added == 2
    assert made.given() == {"t000": "entailment", "t001": "entailment"}


def test_argilla_has_a_field_for_each_text_and_its_labels_come_back(made: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "argilla"
    export_queue(*made.parts, folder, Kind.ARGILLA)
    settings = json.loads((folder / ".argilla" / "settings.json").read_text("utf-8"))
    assert [(f["name"], f["title"]) for f in settings["fields"]] == [("text", "premise"), ("second", "hypothesis")]
    records = json.loads((folder / "records.json").read_text("utf-8"))
    assert [(r["fields"]["text"], r["fields"]["second"]) for r in records] == [DOGS, RAIN]
    for record in records:
        record["responses"] = {"label": [{"value": "entailment", "user_id": None}]}
    (folder / "records.json").write_text(json.dumps(records), encoding="utf-8")
    assert import_queue(*made.parts, folder, "ada").added == 2
    assert made.given() == {"t000": "entailment", "t001": "entailment"}
