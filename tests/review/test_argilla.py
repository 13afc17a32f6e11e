"""What Argilla gives back, and files that are no good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import DataError
from agent.review.argilla import user_id
from agent.review.exchange import ImportReport, Kind, export_queue, import_queue
from tests.review.scenes import Scene, news

SERVER = "3f0ac3a6-6b2f-4c6e-9d0e-0a4d3f0f6a11"


@pytest.fixture
def made(tmp_path: Path) -> Scene:
    return news(tmp_path, 4)


def record(number: int, *responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A record as `dataset.records.to_json` has it."""
    return {"id": f"t{number:03d}", "fields": {"text": "..."}, "metadata": {}, "suggestions": {},
            "responses": {"label": list(responses)} if responses else {}, "vectors": {},
            "_server_id": SERVER, **more}  # fmt: skip


def write(path: Path, records: object) -> Path:
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_responses_of_a_servers_users_are_read_and_drafts_are_not(made: Scene, tmp_path: Path) -> None:
    path = write(tmp_path / "records.json", [
        record(0, {"value": "tech", "user_id": SERVER}),
        record(1, {"value": "tech", "user_id": SERVER, "status": "discarded"}),
        record(2, {"value": "sport", "user_id": SERVER, "status": "submitted"}),
        record(3),
    ])  # fmt: skip
    assert import_queue(*made.parts, path, "nobody") == ImportReport(added=2, empty=1, cancelled=1)
    assert made.given() == {"t000": "tech", "t002": "sport"}
    assert {x.by for x in made.store.labels("news") if x.source == "person"} == {SERVER}


def test_a_person_who_labelled_before_is_known_by_their_uuid_without_our_metadata(
    made: Scene, tmp_path: Path
) -> None:
    first = write(tmp_path / "first.json", [record(0, {"value": "tech", "user_id": user_id("ada")})])
    import_queue(*made.parts, first, "nobody")
    assert {x.by for x in made.store.labels("news") if x.source == "person"} == {user_id("ada")}
    table = tmp_path / "t.csv"
    table.write_text("id,label\nt001,tech\n")
    import_queue(*made.parts, table, "ada")
    second = write(tmp_path / "second.json", [record(2, {"value": "tech", "user_id": user_id("ada")})])
    import_queue(*made.parts, second, "nobody")
    assert {x.by for x in made.store.labels("news") if x.text_id == "t002" and x.source == "person"} == {"ada"}


def test_a_label_that_was_changed_in_argilla_is_new_and_has_no_old_time(made: Scene, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,label,seconds\nt001,tech,9\n")
    import_queue(*made.parts, table, "ada")
    folder = tmp_path / "out"
    export_queue(*made.parts, folder, Kind.ARGILLA, everything=True)
    records = json.loads((folder / "records.json").read_text())
    changed = next(r for r in records if r["id"] == "t001")
    changed["responses"]["label"][0]["value"] = "politics"
    write(folder / "records.json", records)
    assert import_queue(*made.parts, folder, "nobody") == ImportReport(replaced=1, empty=3)
    assert [(r.person, r.seconds) for r in made.store.reviews("news")] == [("ada", 9.0), ("ada", 0.0)]


def test_the_settings_ask_for_the_jobs_labels(made: Scene, tmp_path: Path) -> None:
    export_queue(*made.parts, tmp_path / "out", Kind.ARGILLA)
    settings = json.loads((tmp_path / "out" / ".argilla" / "settings.json").read_text())
    [question] = settings["questions"]
    assert question["name"] == "label"
    assert [o["value"] for o in question["settings"]["options"]] == list(made.task.names)
    assert json.loads((tmp_path / "out" / ".argilla" / "dataset.json").read_text())["name"] == "news"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([record(0, {"value": 3, "user_id": SERVER})], "record 1 (line 1), responses.label[0].value: no label in it"),
        ([record(0, {"value": ["tech", "sport"], "user_id": SERVER})], "2 labels, and a text has one"),
        ([record(0) | {"responses": {"topic": []}}], "responses: no question `label`; it has topic"),
        ([record(0) | {"responses": 3}], "responses: an object was expected"),
        ([record(0) | {"id": None}], "record 1 (line 1), id: no id of a text"),
        ([record(9, {"value": "tech", "user_id": SERVER})], "id 't009' is no text of job news"),
        ([record(0, {"value": "tech", "user_id": 3})], "responses.label[0].user_id: no user"),
    ],
)
def test_a_file_that_is_no_good_is_said_with_its_record(
    made: Scene, tmp_path: Path, content: object, said: str
) -> None:
    path = write(tmp_path / "records.json", content)
    before = made.state()
    with pytest.raises(DataError) as caught:
        import_queue(*made.parts, path, "ada")
    assert said in str(caught.value)
    assert made.state() == before


def test_a_folder_without_records_is_said(made: Scene, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"records.json: cannot be read"):
        import_queue(*made.parts, tmp_path / "empty", "ada")
