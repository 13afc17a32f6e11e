"""Texts with pictures before people: what is sent of them, who may see a picture, and what leaves for other tools."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from agent.images import Images
from agent.job import Job
from agent.picture import Reference, join
from agent.review.exchange import export_queue, import_queue
from agent.review.guard import HEADERS
from agent.tasks import build
from tests.pictures import picture
from tests.review.clients import HOME, Page
from tests.review.scenes import SECTIONS, Scene, Waiting, scene

JOB = {
    "name": "news",
    "task": {"kind": "classification", "labels": SECTIONS},
    "data": {"pool": "pool/pool.csv", "image": "photo"},
    "oracle": {"name": "local", "base_url": "http://127.0.0.1:1/v1", "model": "small", "image_tokens": 9},
    "budget": {"dollars": 1},
}


def depicted(folder: Path, *names: str) -> Scene:
    """An item for each of these pictures of the pool's folder, in order."""
    pool = Images(folder / "pool")
    pool.folder.mkdir(exist_ok=True)
    (pool.folder / "pool.csv").touch()
    items = []
    for i, name in enumerate(names):
        if not (pool.folder / name).exists():
            picture(pool.folder / name, kind="JPEG" if name.endswith("jpg") else "PNG")
        items.append(Waiting(join(f"Article number {i}.", pool.found(name, "")), "sport"))
    made = scene(folder, items)
    job = Job.of(JOB, folder)
    return Scene(made.store, job, build(job.task))


@pytest.fixture
def made(tmp_path: Path) -> Scene:
    return depicted(tmp_path, "sport/1.png", "2.jpg")


def at(text_id: str) -> dict[str, str]:
    return {"id": json.dumps(text_id)}


def test_an_item_has_its_words_and_not_the_path_which_may_name_a_label(made: Scene) -> None:
    reply = Page(made).get("/api/items")
    one, two = reply.json()["items"]
    assert [(i["text"], i["length"], i["picture"]) for i in (one, two)] == [
        ("Article number 0.", 17, "photo"),
        ("Article number 1.", 17, "photo"),
    ]
    assert "1.png" not in reply.text
    assert Page(made).get("/api/text", params=at("t000")).json() == {"text": "Article number 0."}


def test_a_picture_comes_as_what_it_is_with_every_header_that_keeps_it_harmless(made: Scene) -> None:
    page = Page(made)
    for text_id, name, kind in (("t000", "sport/1.png", "image/png"), ("t001", "2.jpg", "image/jpeg")):
        reply = page.get("/api/picture", params=at(text_id))
        assert reply.status_code == 200
        assert reply.content == (made.job.folder / "pool" / name).read_bytes()
        assert reply.headers["content-type"] == kind
        assert {n: reply.headers[n] for n in HEADERS} == HEADERS


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"id": "t000"}, 400),
        ({"id": "17"}, 400),
        (at("nobody"), 404),
        (at("../pool.csv"), 404),
        (at("sport/1.png"), 404),
        (at("\ud800"), 404),
        ({"id": '"t000"', "path": "../../etc/passwd"}, 200),
    ],
)
def test_pictures_are_had_by_the_id_of_a_text_alone(made: Scene, asked: dict[str, str], status: int) -> None:
    assert Page(made).get("/api/picture", params=asked).status_code == status


def test_another_site_gets_no_picture(made: Scene) -> None:
    page = Page(made)
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        assert page.get("/api/picture", params=at("t000"), headers=headers).status_code == 403
    assert page.get("/api/picture", params=at("t000"), headers={"Host": "evil.example"}).status_code == 400
    assert page.post("/api/picture", headers={"Origin": HOME}).status_code in {403, 405, 415}


def test_whoever_shows_no_token_gets_no_picture_where_people_have_some(made: Scene) -> None:
    page = Page(made, None)
    assert page.get("/api/picture", params=at("t000")).status_code == 401


@pytest.mark.parametrize("what", ["changed", "gone", "a link out", "no picture"])
def test_a_picture_that_is_not_the_one_it_was_is_not_shown(made: Scene, tmp_path: Path, what: str) -> None:
    path = made.job.folder / "pool" / "sport" / "1.png"
    before = path.read_bytes()
    path.unlink()
    if what == "changed":
        picture(path, "blue")
    elif what == "a link out":
        (tmp_path / "out.png").write_bytes(before)
        path.symlink_to(tmp_path / "out.png")
    elif what == "no picture":
        path.write_text("<script>alert(1)</script>")
    reply = Page(made).get("/api/picture", params=at("t000"))
    assert reply.status_code == 404
    assert str(tmp_path) not in reply.text


def test_a_text_of_a_job_without_pictures_is_just_a_text(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    text = join("A text.", Reference("1.png", Images(tmp_path).found("1.png", "").sha256))
    page = Page(scene(tmp_path, [Waiting(text, "sport")]))
    (item,) = page.get("/api/items").json()["items"]
    assert (item["text"], "picture" in item) == (text, False)
    assert page.get("/api/picture", params=at("t000")).status_code == 404


def test_what_was_done_is_listed_by_its_words(made: Scene) -> None:
    page = Page(made)
    assert page.act("/api/label", id="t000", value="tech", seconds=1.0).status_code == 200
    (act,) = page.get("/api/done").json()["acts"]
    assert act["opening"] == "Article number 0."


def test_a_table_has_a_column_for_the_path_and_comes_back(made: Scene, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    export_queue(*made.parts, path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["text"], r["image"]) for r in rows] == [
        ("Article number 0.", "sport/1.png"),
        ("Article number 1.", "2.jpg"),
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(r | {"label": "tech"} for r in rows)
    assert import_queue(*made.parts, path, "ada").added == 2
    assert made.given() == {"t000": "tech", "t001": "tech"}
