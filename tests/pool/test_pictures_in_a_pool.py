"""A column of pictures in a pool: read from every format, told apart by content, cut in the text, and named."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from agent.errors import DataError, JobFileError
from agent.job import Job
from agent.picture import split, words_of
from agent.pool import Pool, read_labelled
from agent.tasks import build
from tests.pictures import picture
from tests.pool.making import WRITERS, words

ORACLE = {"model": "m", "tape": "tape.gz", "image_tokens": 100}


def settings(**data: Any) -> dict[str, Any]:
    return {
        "task": {"kind": "classification", "labels": ["red", "blue"]},
        "data": {"pool": "pool.csv", "text": "caption", "image": "photo", **data},
        "oracle": ORACLE,
        "budget": {"dollars": 1},
    }


def opened(folder: Path, **data: Any) -> Pool:
    job = Job.of(settings(**data), folder)
    return Pool.open(job.data, job, lambda texts: words([words_of(text) for text in texts]))


def write(path: Path, *rows: tuple[str, ...]) -> None:
    head = ["caption", "photo", "label"][: len(rows[0])]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])


@pytest.mark.parametrize("name", WRITERS)
def test_texts_and_pictures_are_read_from_every_format(tmp_path: Path, name: str) -> None:
    rows = [{"caption": "one", "photo": "photos/1.png"}, {"caption": "", "photo": "2.jpg"}]
    WRITERS[name](tmp_path / name, rows)
    folder = tmp_path / name if (tmp_path / name).is_dir() else tmp_path
    picture(folder / "photos" / "1.png", "red")
    picture(folder / "2.jpg", "blue", kind="JPEG")
    found = [split(t.text) for t in opened(tmp_path, pool=name).texts()]
    assert [(said, image.path) for said, image in found if image] == [("one", "photos/1.png"), ("", "2.jpg")]


def test_items_are_the_same_where_text_path_and_bytes_are(tmp_path: Path) -> None:
    for name, colour in (("1.png", "red"), ("2.png", "red"), ("3.png", "blue")):
        picture(tmp_path / name, colour)
    write(tmp_path / "pool.csv", ("a", "1.png"), ("a", "1.png"), ("a", "2.png"), ("a", "3.png"), ("b", "1.png"))
    before = [t.id for t in opened(tmp_path).texts()]
    assert len(before) == 4
    picture(tmp_path / "3.png", "green")
    (tmp_path / "pool.csv").touch()
    after = [t.id for t in opened(tmp_path).texts()]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True]


def test_a_row_without_a_picture_is_left_out_and_counted(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    write(tmp_path / "pool.csv", ("a", "1.png"), ("b", " "), ("c", ""))
    pool = opened(tmp_path)
    assert (len(pool), pool.left_out["empty"]) == (1, 2)


def test_a_long_text_is_cut_and_keeps_its_picture(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    write(tmp_path / "pool.csv", ("w " * 30, "1.png"))
    (text,) = opened(tmp_path, max_tokens=8).texts()
    said, image = split(text.text)
    assert (said, image and image.path) == (" ".join("w" * 8), "1.png")


def test_what_is_wrong_with_a_picture_is_told_with_file_and_line(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    write(tmp_path / "pool.csv", ("a", "1.png"), ("b", "2.png"))
    with pytest.raises(DataError, match=r"^pool\.csv:3: picture '2\.png' is not PNG"):
        opened(tmp_path)
    write(tmp_path / "gold.csv", ("a", "1.png", "red"), ("b", "../1.png", "red"), ("c", "", "red"))
    job = Job.of(settings(), tmp_path)
    with pytest.raises(DataError, match=r"gold\.csv:3: picture '../1\.png' leads out") as error:
        read_labelled(tmp_path / "gold.csv", job.data, build(job.task), images=job.images)
    assert "gold.csv:4: the name of the picture is empty" in str(error.value)


def test_a_gold_text_is_that_of_the_pool_where_its_picture_is(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    picture(tmp_path / "2.png", "blue")
    write(tmp_path / "pool.csv", ("a", "1.png"))
    write(tmp_path / "gold.csv", ("a", "1.png", "red"), ("a", "2.png", "blue"))
    job, pool = Job.of(settings(), tmp_path), opened(tmp_path)
    found = read_labelled(tmp_path / "gold.csv", job.data, build(job.task), pool=pool, images=job.images)
    assert [(text.row, value) for text, value in found] == [(0, "red"), (-1, "blue")]


# what a job may say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": {"kind": "regression", "scale": {"low": 1, "high": 5}}}, "`data.image`: pictures are for classif"),
        ({"data": {"pool": "p.csv", "text": "photo", "image": "photo"}}, "is the column of the text"),
        ({"data": {"pool": "p.csv", "image": "photo", "redact": True}}, "`data.redact`: nothing hides"),
        ({"oracle": {"model": "m", "tape": "t.gz"}}, "`oracle.image_tokens`: oracle oracle needs it"),
        ({"data": {"pool": "p.csv"}}, "`oracle.image_tokens`: the job has no pictures"),
        ({"oracle": ORACLE | {"prior": "content_free"}}, "`oracle.prior`: content_free asks about"),
        ({"distil": {"epochs": 3}}, "`distil.epochs`: with `data.image` a head is taught"),
    ],
)
def test_a_job_that_pictures_make_no_sense_in_is_refused(tmp_path: Path, changes: Any, said: str) -> None:
    with pytest.raises(JobFileError, match=said):
        Job.of(settings() | changes, tmp_path)


def test_pictures_need_a_pool_that_lies_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=r"`data\.image`: there is no owner/set here"):
        _ = Job.of(settings(pool="owner/set"), tmp_path).images
