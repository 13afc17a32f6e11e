"""The queue as a CSV table, out and in."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.errors import DataError
from agent.records import MicroDollars, Source, TextId
from agent.review.cells import guarded, unguarded
from agent.review.desk import Desk
from agent.review.exchange import ImportReport, export_queue, import_queue
from agent.review.table import quoted
from tests.review.scenes import Scene, Waiting, draw, news, scene, spans

pytestmark = pytest.mark.usefixtures("each_kind_of_store")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", errors="surrogatepass", newline="") as file:
        return list(csv.DictReader(file))


def fill(path: Path, labels: dict[str, str], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """The table as a person gives it back."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["id", "text", "suggestion", "confidence", "reason", "label"])
    for row in rows_of(path):
        writer.writerow([*list(row.values())[:-1], labels.get(row["id"], "")])
    path.write_bytes(out.getvalue().encode(encoding))
    return path


@pytest.fixture
def made(tmp_path: Path) -> Scene:
    return news(tmp_path, 3)


# Out -------------------------------------------------------------------------------------------------------------


def test_the_table_holds_the_queue_in_its_order_with_an_empty_label(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    assert export_queue(*made.parts, path) == 3
    first = rows_of(path)[0]
    assert [row["id"] for row in rows_of(path)] == ["t000", "t001", "t002"]
    assert (first["suggestion"], first["confidence"], first["label"]) == ("sport", "0.5000", "")
    assert first["reason"] == "Confidence 0.50 is below 0.80."


def test_a_blind_row_shows_neither_suggestion_nor_confidence_nor_reason(tmp_path: Path) -> None:
    made = scene(tmp_path, [Waiting("a", "politics", reason="audit: politics at 0.91", confidence=0.91, blind=True)])
    export_queue(*made.parts, tmp_path / "queue.csv")
    table = (tmp_path / "queue.csv").read_text(encoding="utf-8-sig")
    assert "politics" not in table
    assert "0.91" not in table


def test_what_an_audit_drew_is_in_the_table_blind_and_is_read_back(made: Scene, tmp_path: Path) -> None:
    draw(made, "t001")
    path = tmp_path / "queue.csv"
    assert export_queue(*made.parts, path) == 3
    row = next(row for row in rows_of(path) if row["id"] == "t001")
    assert (row["suggestion"], row["confidence"]) == ("", "")
    assert "sport" not in row["reason"]
    import_queue(*made.parts, fill(path, {"t001": "tech"}), "ada")
    assert made.given() == {"t001": "tech"}
    assert made.store.reviews("news")[-1].blind
    assert made.waiting() == ["t000", "t002"]


def test_a_table_that_cannot_be_written_is_said_and_leaves_nothing_behind(made: Scene, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/queue.csv: cannot be written: No such file"):
        export_queue(*made.parts, tmp_path / "nowhere" / "queue.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        export_queue(*made.parts, tmp_path / "folder")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    "text", ["=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", '=HYPERLINK("http://evil")']
)
def test_no_cell_begins_like_a_formula(tmp_path: Path, text: str) -> None:
    made = scene(tmp_path, [Waiting(text, "sport", id=text, reason=text)])
    export_queue(*made.parts, tmp_path / "queue.csv")
    row = rows_of(tmp_path / "queue.csv")[0]
    assert all(row[column].startswith("'") for column in ("id", "text", "reason"))


@pytest.mark.parametrize("number", ["00123", "12e7", "1.5E+10", "12345678901234567"])
def test_ids_that_a_spreadsheet_would_turn_into_other_numbers_are_guarded(number: str) -> None:
    assert guarded(number) == f"'{number}"


@pytest.mark.parametrize("plain", ["sport", "1", "42", "3.5", "a=b", "it's", "", "'quoted'"])
def test_ordinary_cells_stay_as_they_are(plain: str) -> None:
    assert guarded(plain) == plain


hostile = st.text(alphabet=st.sampled_from("'=+-@\t\r\n ,;\"ae0１＝\0\u202e\ud800")) | st.text()


@given(hostile)
@example("'=1")
@example("''+")
@example("' =")
@settings(max_examples=300)
def test_every_cell_comes_back_exactly(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell


@given(st.lists(hostile, min_size=1, max_size=4))
def test_a_row_is_what_the_csv_module_would_write(cells: list[str]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerow(cells)
    assert quoted(cells) == out.getvalue()


# In --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(hostile, hostile), min_size=1, max_size=4, unique_by=lambda pair: pair[0]))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_ids_and_texts_go_out_and_come_back(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    made = scene(folder, [Waiting(text, "sport", id=text_id or "empty") for text_id, text in items])
    path = folder / "queue.csv"
    export_queue(*made.parts, path)
    assert [unguarded(row["text"]) for row in rows_of(path)] == [text for _, text in items]
    fill_all(path, "tech")
    assert import_queue(*made.parts, path, "ada") == ImportReport(added=len(made.given()))
    assert set(made.given()) == {text_id or "empty" for text_id, _ in items}
    made.store.close()


def fill_all(path: Path, label: str) -> None:
    rows = [list(row.values()) for row in rows_of(path)]
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "text", "suggestion", "confidence", "reason", "label"])
    writer.writerows([*row[:-1], label] for row in rows)
    path.write_bytes(out.getvalue().encode("utf-8", "surrogatepass"))


def test_filled_labels_are_given_and_empty_ones_left(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    report = import_queue(*made.parts, fill(path, {"t000": "tech", "t002": " Sport "}), "ada")
    assert report == ImportReport(added=2, empty=1)
    assert made.given() == {"t000": "tech", "t002": "sport"}
    assert made.waiting() == ["t001"]
    assert {label.by for label in made.store.labels("news", source=Source.PERSON)} == {"ada"}


def test_what_an_import_did_reads_as_a_sentence() -> None:
    assert str(ImportReport(3, 1, 2, 4)) == "3 added, 1 replaced, 2 unchanged, 4 still empty"
    assert str(ImportReport(added=3)) == "3 added, 0 still empty"


def test_the_same_file_twice_adds_nothing(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    fill(path, {"t000": "tech"})
    import_queue(*made.parts, path, "ada")
    before = made.state(), made.store.reviews("news")
    assert import_queue(*made.parts, path, "ada") == ImportReport(unchanged=1, empty=2)
    assert (made.state(), made.store.reviews("news")) == before


def test_a_corrected_file_replaces_that_persons_label(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    import_queue(*made.parts, fill(path, {"t000": "tech"}), "ada")
    assert import_queue(*made.parts, fill(path, {"t000": "sport"}), "ada") == ImportReport(replaced=1, empty=2)
    assert made.given() == {"t000": "sport"}


def test_what_was_imported_can_be_undone_on_the_page(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    before = made.state()
    import_queue(*made.parts, fill(path, {"t000": "tech"}), "ada")
    ada = Desk(*made.parts, "ada")
    ada.undo(ada.figures()["newest"])
    assert made.state() == before


def test_every_wrong_row_is_reported_with_its_line_and_nothing_is_imported(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    path.write_text('id,text,label\nt000,"two\nlines",tech\nnope,b,tech\nt001,c,sprot\nt000,d,sport\nt002,e,\n')
    before = made.state()
    with pytest.raises(DataError) as caught:
        import_queue(*made.parts, path, "ada")
    assert str(caught.value).splitlines() == [
        f"{path}:4: id 'nope' is no text of job news",
        f"{path}:5: unknown label 'sprot'; did you mean 'sport'?",
        f"{path}:6: id 't000' has another label on line 2",
        "nothing was imported: correct these rows and import the file again",
    ]
    assert made.state() == before


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_what_spreadsheets_write_is_read(made: Scene, tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    fill(path, {"t001": "tech"}, delimiter, encoding)
    assert import_queue(*made.parts, path, "ada").added == 1


def test_columns_may_be_in_any_order_and_case_and_others_are_ignored(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    path.write_text("Label , notes,ID\ntech,hm,t000\n\n")
    assert import_queue(*made.parts, path, "ada") == ImportReport(added=1)


def test_a_cell_of_a_megabyte_is_read_and_the_limit_of_others_left_alone(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    made = scene(tmp_path, [Waiting("x" * 1_000_000, "sport")])
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    fill_all_with_limit(path)
    assert import_queue(*made.parts, path, "ada").added == 1
    assert csv.field_size_limit() == limit


def fill_all_with_limit(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -len('""\r\n')] + b'"tech"\r\n')


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "queue.csv:1: needs one column `id` and one column `label`; found: nothing"),
        (b"id,text\na,b\n", "found: id, text"),
        (b"id,label,label\na,b,c\n", "needs one column `id` and one column `label`"),
        (b"id,label\nt000,tech\n\xe9,b\n", "queue.csv:3: not UTF-8; in Excel, save it as `CSV UTF-8"),
        (b'id,label\nt000,tech\nt001,"te"ch\n', "queue.csv:3: not a CSV row"),
        (b'id,label\nt000,"tech\n', "queue.csv:2: not a CSV row"),
        (b"id,text,label\nt000\n", "queue.csv:2: only 1 cells"),
        ("id,label\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_file_that_is_no_such_table_is_said(made: Scene, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "queue.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        import_queue(*made.parts, path, "ada")
    assert said in str(caught.value)
    assert made.given() == {}


def test_a_file_that_is_not_there_is_said(made: Scene, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.csv: cannot be read: No such file"):
        import_queue(*made.parts, tmp_path / "gone.csv", "ada")


def test_several_labels_and_none_at_all_are_read(tmp_path: Path) -> None:
    made = scene(tmp_path, [Waiting("a", ("sport", "tech")), Waiting("b", ()), Waiting("c", ())], kind="multilabel")
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    assert [row["suggestion"] for row in rows_of(path)] == ['["sport", "tech"]', "[]", "[]"]
    report = import_queue(*made.parts, fill(path, {"t000": "tech; business", "t001": "[]"}), "ada")
    assert report == ImportReport(added=2, empty=1)
    assert made.given() == {"t000": ("business", "tech"), "t001": ()}
    assert import_queue(*made.parts, path, "ada").unchanged == 2


def test_a_task_of_another_kind_goes_out_and_comes_back(tmp_path: Path) -> None:
    made = spans(tmp_path)
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    import_queue(*made.parts, fill(path, {"s0": '["Grace"]'}), "ada")
    assert made.given() == {"s0": ["Grace"]}


def test_an_earlier_label_of_another_person_is_superseded_not_counted_as_ones_own(
    made: Scene, tmp_path: Path
) -> None:
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    Desk(*made.parts, "grace").label(TextId("t000"), "tech", 1)
    assert import_queue(*made.parts, fill(path, {"t000": "sport"}), "ada").added == 1
    assert made.given() == {"t000": "sport"}


# Seconds and failures -----------------------------------------------------------------------------------------------


def with_seconds(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    lines = ["id,label,seconds", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_seconds_that_somebody_noted_count_towards_the_peoples_minutes(made: Scene, tmp_path: Path) -> None:
    path = with_seconds(tmp_path / "filled.csv", [("t000", "tech", "12.5"), ("t001", "sport", ""), ("t002", "", "9")])
    import_queue(*made.parts, path, "ada")
    assert made.store.review_seconds("news") == 12.5


def test_a_table_without_seconds_counts_none(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    import_queue(*made.parts, fill(path, {"t000": "tech"}), "ada")
    assert made.store.review_seconds("news") == 0.0


@pytest.mark.parametrize("seconds", ["soon", "-3", "nan", "inf"])
def test_seconds_that_are_no_time_are_refused_with_their_line(made: Scene, tmp_path: Path, seconds: str) -> None:
    path = with_seconds(tmp_path / "filled.csv", [("t000", "tech", seconds)])
    with pytest.raises(DataError, match=rf":2: seconds '{seconds}' is no time"):
        import_queue(*made.parts, path, "ada")
    assert made.given() == {}


def test_the_table_says_what_went_wrong_with_a_failed_text(tmp_path: Path) -> None:
    failed = scene(tmp_path, [Waiting("Anything.", None, reason="failed: HTTP 503: busy")])
    attempt = failed.store.reserve("news", "local", "key", TextId("t000"), MicroDollars(40), owner="run")
    failed.store.mark_ambiguous(attempt, "HTTP 503: busy")
    export_queue(*failed.parts, tmp_path / "queue.csv")
    assert "The oracle failed once, for $0.00004: HTTP 503: busy." in (tmp_path / "queue.csv").read_text("utf-8")
