"""What leaves for Label Studio, Argilla or a table comes back whole, and blind items leave without an answer."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.errors import DataError
from agent.pairing import join
from agent.records import Label, Pick, Route, Source, TextId, Value
from agent.review.exchange import ImportReport, Kind, export_queue, import_queue, kind_of
from agent.store import RouteRow
from tests.review.scenes import Scene, Waiting, news, scene, spans

KINDS = list(Kind)
OUT = {Kind.CSV: "out.csv", Kind.LABEL_STUDIO: "out.json", Kind.ARGILLA: "out"}
# what people said: text, who, value, seconds
Said = tuple[int, str, Value, float]
hostile = st.text(alphabet=st.sampled_from("'=+-@\t\r\n ,;\"\\[]{}<&ae0１＝\0\u202e\ufeff\U0001f600")) | st.text(
    st.characters(exclude_categories=["Cs"])
)
lone = st.sampled_from(["\ud800", "a\udfff", "\udc00=1", "\ud800 \ud800"])  # a pair would be one character to JSON
BEGAN = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)


def give(made: Scene, said: Sequence[Said]) -> None:
    ids = [f"t{k:03d}" for k in range(1000)]
    names = [row.text_id for part in made.store.queue_in_parts(made.job.name) for row in part] or ids
    for number, (text, who, value, seconds) in enumerate(said):
        at = BEGAN + timedelta(minutes=number, microseconds=number)
        label = Label(TextId(names[text]), value, Source.PERSON, who, created_at=at)
        made.store.review(made.job.name, label.text_id, who, "label", label, seconds)


@pytest.mark.parametrize("kind", KINDS)
def test_marked_pieces_of_a_text_come_back(tmp_path: Path, kind: Kind) -> None:
    texts = ["Ada met Grace \U0001f600 in London", "Nobody"]
    waiting = [Waiting(texts[0], ((0, 3, "person", "Ada"),), "s0"), Waiting(texts[1], None, "s1")]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (
        scene(tmp_path / name, waiting, kind="spans", labels={"person": "", "place": ""}) for name in ("a", "b")
    )
    said = ((8, 13, "person", "Grace"), (19, 25, "place", "London"))
    give(one, [(0, "ann", said, 2.0), (1, "ann", (), 1.0)])
    export_queue(one.store, one.job, one.task, tmp_path / OUT[kind], kind, everything=True)
    import_queue(other.store, other.job, other.task, tmp_path / OUT[kind], "ann")
    assert other.given() == {"s0": said, "s1": ()}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_to_questions_come_back(tmp_path: Path, kind: Kind) -> None:
    context = "Ada met Grace \U0001f600 in London ␞ Ada left"
    waiting = [Waiting(join(f"Who {n}?", context), ((0, 3, "Ada"),), f"s{n}") for n in range(2)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (scene(tmp_path / name, waiting, kind="extractive_qa", no_answer=True) for name in ("a", "b"))
    said = ((context.rindex("Ada"), context.rindex("Ada") + 3, "Ada"),)
    give(one, [(0, "ann", said, 2.0), (1, "ann", (), 1.0)])
    export_queue(one.store, one.job, one.task, tmp_path / OUT[kind], kind, everything=True)
    import_queue(other.store, other.job, other.task, tmp_path / OUT[kind], "ann")
    assert other.given() == {"s0": said, "s1": ()}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_on_a_scale_come_back(tmp_path: Path, kind: Kind) -> None:
    waiting = [Waiting("It burns", 4.0, "s0", {"4": 0.7, "5": 0.3}), Waiting("It drips", None, "s1")]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    scale = {"low": 1, "high": 5, "step": 0.5}
    one, other = (scene(tmp_path / name, waiting, kind="regression", labels={}, scale=scale) for name in ("a", "b"))
    give(one, [(0, "ann", 5.0, 2.0), (1, "ann", 2.5, 1.0)])
    export_queue(one.store, one.job, one.task, tmp_path / OUT[kind], kind, everything=True)
    import_queue(other.store, other.job, other.task, tmp_path / OUT[kind], "ann")
    assert other.given() == {"s0": 5.0, "s1": 2.5}


def people(made: Scene) -> list[tuple[Any, ...]]:
    """Each person's newest label that stands of each text, with its time, and how long it took."""
    seconds = {r.label_id: r.seconds for r in made.store.reviews(made.job.name)}
    gone = made.store.withdrawn(made.job.name)
    newest = {
        (x.text_id, x.by): (x.text_id, x.by, made.task.show(x.value), x.created_at, seconds[x.id])
        for x in made.store.labels(made.job.name, source=Source.PERSON)
        if x.id not in gone
    }
    return sorted(newest.values(), key=lambda row: (row[0], row[3]))


@contextmanager
def two(folder: Path, waiting: Sequence[Waiting], **task: Any) -> Iterator[tuple[Scene, Scene]]:
    """The same job twice: in one people will have spoken."""
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    first, second = scene(folder / "a", waiting, **task), scene(folder / "b", waiting, **task)
    yield first, second
    first.store.close()
    second.store.close()


@pytest.mark.parametrize("kind", KINDS)
@given(
    items=st.lists(st.tuples(hostile | lone, hostile | lone), min_size=1, max_size=4, unique_by=lambda pair: pair[0]),
    who=st.lists((hostile | lone).filter(lambda name: name.strip() != ""), min_size=2, max_size=2, unique=True),
    seconds=st.floats(0, 3600).map(lambda s: round(s, 3)),
)
@example(items=[("=1", "\0")], who=["ada", "00000000-0000-5000-8000-000000000000"], seconds=1.5)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_people_come_back_with_their_labels_their_time_and_their_names(
    tmp_path_factory: pytest.TempPathFactory, kind: Kind, items: Any, who: list[str], seconds: float
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    with two(folder, [Waiting(text, "sport", id=i or "empty") for i, text in items]) as (first, second):
        said = [(k, name, ("tech", "politics")[n], seconds) for k in range(len(items)) for n, name in enumerate(who)]
        give(first, said)
        path = folder / OUT[kind]
        assert export_queue(*first.parts, path, kind, everything=True) == len(items)
        assert kind_of(path) is kind
        assert import_queue(*second.parts, path, "nobody") == ImportReport(added=len(said))
        assert people(second) == people(first)
        assert second.given() == first.given()
        assert import_queue(*second.parts, path, "nobody") == ImportReport(unchanged=len(said))
        assert import_queue(*first.parts, path, "nobody") == ImportReport(unchanged=len(said))


@pytest.mark.parametrize("kind", KINDS)
def test_several_labels_and_none_at_all_come_back(tmp_path: Path, kind: Kind) -> None:
    waiting = [Waiting("a", ("sport", "tech")), Waiting("b", ()), Waiting("c", ("tech",))]
    with two(tmp_path, waiting, kind="multilabel") as (first, second):
        give(first, [(0, "ada", ("business", "tech"), 2.0), (1, "ada", (), 3.0)])
        path = tmp_path / OUT[kind]
        export_queue(*first.parts, path, kind, everything=True)
        import_queue(*second.parts, path, "nobody")
        assert people(second) == people(first)
        assert second.given() == {"t000": ("business", "tech"), "t001": ()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_of_another_kind_comes_back(tmp_path: Path, kind: Kind) -> None:
    made = spans(tmp_path)
    give(made, [(0, "ada", ["Grace"], 2.0)])
    before = people(made)
    path = tmp_path / OUT[kind]
    export_queue(*made.parts, path, kind, everything=True)
    made.store.undo_review(made.job.name, "ada")
    assert import_queue(*made.parts, path, "nobody").added == 1
    assert people(made) == before


def whole(path: Path) -> str:
    """Everything that was written, settings too, with escapes undone."""
    files = [p for p in (path, path.with_suffix(".xml")) if p.is_file()] or sorted(path.rglob("records.json"))
    return "\n".join(f.read_text("utf-8") for f in files)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("everything", [False, True])
def test_a_blind_item_leaves_without_what_the_machine_said(tmp_path: Path, kind: Kind, everything: bool) -> None:
    chances = {"politics": 0.9137, "sport": 0.0863}
    hidden = Waiting(
        "Who won?", "politics", "a", chances, 0.9137, "audit: politics at 0.91", True, "unsure", {"rank": 77}
    )
    made = scene(tmp_path, [hidden, Waiting("Why?", "tech", "b", {"tech": 0.6}, 0.6)])
    path = tmp_path / OUT[kind]
    export_queue(*made.parts, path, kind, everything)
    lines = whole(path).splitlines()
    [line] = [x for x in lines if "Who won?" in x]
    for secret in ("politics", "0.91", "0.08", "local/small", "unsure", "77", "audit:"):
        assert secret not in line
    [other] = [x for x in lines if "Why?" in x]
    assert "tech" in other
    assert "0.6" in other
    assert "Who won?" in line


@pytest.mark.parametrize("kind", [Kind.LABEL_STUDIO, Kind.ARGILLA])
def test_a_blind_item_that_a_person_labelled_leaves_with_their_label_alone(tmp_path: Path, kind: Kind) -> None:
    made = scene(tmp_path, [Waiting("Who won?", "politics", "a", confidence=0.91, blind=True)])
    give(made, [(0, "ada", "tech", 1.0)])
    export_queue(*made.parts, tmp_path / OUT[kind], kind, everything=True)
    assert "politics" not in whole(tmp_path / OUT[kind]).replace("<Choice", "").split("<View>")[0]
    assert "tech" in whole(tmp_path / OUT[kind])


def test_where_labels_come_from_leaves_with_them(tmp_path: Path) -> None:
    made = news(tmp_path, 1)
    strong = Label(
        TextId("t000"), "tech", Source.ORACLE, "strong/big", {"tech": 0.8, "sport": 0.2}, 0.8, prompt_hash="p7"
    )
    made.store.add_labels(made.job.name, [strong])
    give(made, [(0, "ada", "sport", 4.5)])
    export_queue(*made.parts, tmp_path / "out.json", Kind.LABEL_STUDIO, everything=True)
    export_queue(*made.parts, tmp_path / "out", Kind.ARGILLA, everything=True)
    [task] = json.loads((tmp_path / "out.json").read_text())
    [record] = json.loads((tmp_path / "out" / "records.json").read_text())
    assert [p["model_version"] for p in task["predictions"]] == ["local/small", "strong/big"]
    assert task["predictions"][1]["score"] == 0.8
    assert task["annotations"][0]["completed_by"] == {"email": "ada"}
    assert task["annotations"][0]["lead_time"] == 4.5
    assert record["suggestions"]["label"] == {"value": "tech", "score": 0.8, "agent": "strong/big"}
    for kept in (task["meta"], json.loads(record["metadata"]["labelwright"])):
        assert (kept["job"], kept["round"], kept["slice"], kept["blind"]) == ("news", 3, "unsure", False)
        assert kept["machines"][1]["probabilities"] == {"tech": 0.8, "sport": 0.2}
        assert kept["machines"][1]["prompt_hash"] == "p7"


@pytest.mark.parametrize("kind", KINDS)
def test_an_import_that_has_one_wrong_label_takes_none(tmp_path: Path, kind: Kind) -> None:
    with two(tmp_path, [Waiting("a", "sport"), Waiting("b", "sport")]) as (first, second):
        give(first, [(0, "ada", "tech", 1.0), (1, "ada", "politics", 1.0)])
        path = tmp_path / OUT[kind]
        export_queue(*first.parts, path, kind, everything=True)
        file = path / "records.json" if path.is_dir() else path
        file.write_bytes(file.read_bytes().replace(b'"politics"', b'"politcs"'))
        with pytest.raises(DataError) as caught:
            import_queue(*second.parts, path, "nobody")
        message = str(caught.value)
        assert message.startswith(f"{file}:3:" if kind is Kind.CSV else f"{path}: record 2 (line 3)")
        assert "unknown label 'politcs'; did you mean 'politics'?" in message
        assert "nothing was imported" in message
        assert second.given() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_queue_is_an_empty_file_that_can_be_read(tmp_path: Path, kind: Kind) -> None:
    made = scene(tmp_path, [])
    path = tmp_path / OUT[kind]
    assert export_queue(*made.parts, path, kind) == 0
    assert import_queue(*made.parts, path, "ada", kind) == ImportReport()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path, kind: Kind) -> None:
    made = news(tmp_path, 1)
    (tmp_path / "blocked").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        export_queue(*made.parts, tmp_path / "blocked" / "out", kind)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("everything", [False, True])
def test_an_export_does_not_hold_what_it_writes(tmp_path: Path, kind: Kind, everything: bool) -> None:
    made = news(tmp_path, 0)
    ids = [TextId(f"t{k:04d}") for k in range(1200)]
    large = {i: f"{i} " + "words " * 8000 for i in ids}  # 58 MB in all
    with made.store.transaction("news") as tx:
        made.store.add_picks("news", 0, [Pick(i, 0, "unsure", 0.5) for i in ids], large, tx=tx)
        labels = [Label(i, "sport", Source.ORACLE, "local/small", None, 0.5) for i in ids]
        made.store.add_labels("news", labels, tx=tx)
        routes = [RouteRow(i, None, Route.PERSON, "unsure", 0.5) for i in ids]
        made.store.add_routes("news", 0, routes, tx=tx)
    del large
    tracemalloc.start()
    try:
        assert export_queue(*made.parts, tmp_path / OUT[kind], kind, everything) == len(ids)
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
