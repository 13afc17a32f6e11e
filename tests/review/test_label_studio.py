"""What Label Studio itself gives back: both JSON exports, and files that are no good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from agent.errors import DataError
from agent.review.exchange import ImportReport, Kind, export_queue, import_queue
from agent.review.label_studio import configuration
from tests.review.scenes import Scene, Waiting, job_of, news, scene


@pytest.fixture
def made(tmp_path: Path) -> Scene:
    return news(tmp_path, 4)


def choices(*names: str, control: str = "label") -> list[dict[str, Any]]:
    if not names:
        return []
    return [
        {"id": "x1", "from_name": control, "to_name": "text", "type": "choices", "value": {"choices": list(names)}}
    ]


def exported(number: int, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A task as Label Studio's JSON export has it."""
    data = {"id": f"t{number:03d}", "text_id": f"t{number:03d}", "text": "..."}
    return {"id": 900 + number, "data": data, "annotations": list(annotations), "drafts": [], "predictions": [],
            "meta": {}, "created_at": "2026-01-02T03:04:05.000000Z", "inner_id": number, **more}  # fmt: skip


def annotation(*names: str, by: Any = 7, **more: Any) -> dict[str, Any]:
    return {"id": 5, "completed_by": by, "result": choices(*names), "was_cancelled": False, "lead_time": 3.25,
            "created_at": "2026-01-02T03:04:05.678900Z", **more}  # fmt: skip


def write(path: Path, tasks: object) -> Path:
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def test_annotators_times_and_cancelled_ones(made: Scene, tmp_path: Path) -> None:
    path = write(tmp_path / "project.json", [
        exported(0, annotation("tech", by={"id": 3, "email": "ada@example.com"}), annotation("sport", by=7)),
        exported(1, annotation("tech", was_cancelled=True)),
        exported(2),
        exported(3, annotation(), annotation("tech"), annotation("business")),
    ])  # fmt: skip
    report = import_queue(*made.parts, path, "nobody")
    assert report == ImportReport(added=3, empty=2, cancelled=1)
    labels = {(x.text_id, x.by): x for x in made.store.labels("news") if x.source == "person"}
    assert {key: x.value for key, x in labels.items()} == {
        ("t000", "ada@example.com"): "tech", ("t000", "7"): "sport", ("t003", "7"): "business",
    }  # fmt: skip
    assert labels["t000", "7"].created_at.isoformat() == "2026-01-02T03:04:05.678900+00:00"  # type: ignore[union-attr]
    assert [r.seconds for r in made.store.reviews("news")] == [3.25] * 3


def test_the_short_export_is_read_though_its_id_is_another_one(made: Scene, tmp_path: Path) -> None:
    short = {"text": "...", "text_id": "t001", "id": 77, "label": "tech", "annotator": 4, "annotation_id": 9,
             "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
             "lead_time": 8.5}  # fmt: skip
    path = write(tmp_path / "short.json", [short, {k: v for k, v in short.items() if k != "label"}])
    assert import_queue(*made.parts, path, "nobody") == ImportReport(added=1, empty=1)
    assert made.given() == {"t001": "tech"}
    assert made.store.review_seconds("news") == 8.5


def test_several_choices_in_both_exports(tmp_path: Path) -> None:
    made = scene(tmp_path, [Waiting("a", ()), Waiting("b", ()), Waiting("c", ())], kind="multilabel")
    short = {"text_id": "t001", "label": {"choices": ["tech", "sport"]}, "annotator": 4}
    none = {"text_id": "t002", "annotator": 4}
    import_queue(*made.parts, write(tmp_path / "short.json", [short, none]), "nobody")
    import_queue(*made.parts, write(tmp_path / "long.json", [exported(0, annotation("tech", "business"))]), "nobody")
    assert made.given() == {"t000": ("business", "tech"), "t001": ("sport", "tech"), "t002": ()}


def test_a_project_whose_control_has_another_name_is_read(made: Scene, tmp_path: Path) -> None:
    task = exported(0, annotation() | {"result": choices("tech", control="topic")})
    assert import_queue(*made.parts, write(tmp_path / "p.json", [task]), "nobody").added == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"data": {"text_id": "t000"}, "annotations": [{"result": 3}]}]', "annotations[0].result: a list"),
        ('[{"data": {"text": "x"}, "annotations": []}]', "record 1 (line 1), data.text_id: no id of a text"),
        ('[{"data": {"text_id": "t000"}, "annotations": {}}, 7]', "record 2 (line 1): a JSON object was expected"),
        ('[{"data": {"text_id": "t000"}},\n{"data": ]', "record 2 (line 2): not JSON"),
        ('[{"data": {"text_id": "t000"}},\n', "ends after record 1 without a closing `]`"),
        ('[{"data": {"text_id": "t000"}}] x', "something comes after the list"),
        ('[{"data": {"text_id": "nope"}, "annotations": [{"result": ' + json.dumps(choices("tech")) + "}]}]",
         "record 1 (line 1), annotations[0]: id 'nope' is no text of job news"),
        (json.dumps([exported(0, annotation("tech", "sport"))]), "[0].result: 2 choices, and a text has one"),
        (json.dumps([exported(0, annotation("tech", created_at="soon"))]), "created_at: 'soon' is no time"),
        (json.dumps([exported(0, annotation("tech", by=[]))]), "annotations[0].completed_by: no person"),
        ('[{"a": 1}]', "neither Label Studio's (`data`) nor Argilla's (`fields`): its keys are a"),
        ('[{"data": {"text_id": "t000\xe9', "not UTF-8"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_good_is_said_with_its_record(made: Scene, tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode("latin-1"))
    before = made.state()
    with pytest.raises(DataError) as caught:
        import_queue(*made.parts, path, "ada")
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert made.state() == before


def test_the_configuration_has_every_label_and_says_how_many_may_be_chosen(tmp_path: Path) -> None:
    labels = {"a \"b\" <c> & 'd'": "is <this>\nor that", "e": ""}
    for kind, choice in (("classification", "single"), ("multilabel", "multiple")):
        made = scene(tmp_path / kind if (tmp_path / kind).mkdir() is None else tmp_path, [], kind=kind, labels=labels)
        root = ElementTree.fromstring(configuration(made.job, made.task))
        control = root.find("Choices")
        assert control is not None
        assert control.attrib["choice"] == choice
        assert [c.attrib["value"] for c in control] == list(labels)
        assert control[0].attrib["hint"] == "is <this>\nor that"
        assert root.find("Text").attrib == {"name": "text", "value": "$text"}  # type: ignore[union-attr]


def test_the_configuration_is_written_beside_the_tasks(made: Scene, tmp_path: Path) -> None:
    export_queue(*made.parts, tmp_path / "q.json", Kind.LABEL_STUDIO)
    assert (tmp_path / "q.xml").read_text("utf-8") == configuration(made.job, made.task)
    tasks = json.loads((tmp_path / "q.json").read_text("utf-8"))
    assert [t["data"]["id"] for t in tasks] == ["t000", "t001", "t002", "t003"]
    assert tasks[0]["predictions"][0]["result"][0]["value"] == {"choices": ["sport"]}
    assert tasks[0]["annotations"] == []
    assert job_of(tmp_path).name == tasks[0]["meta"]["job"]
