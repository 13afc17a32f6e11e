"""Files of pictures: nothing outside of the pool's folder is opened, and what is no picture is named."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from agent.errors import DataError
from agent.images import MOST_BYTES, Images
from tests.pictures import picture


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(tmp_path / "pool")


KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_known_by_its_first_bytes_and_not_by_its_name(images: Images, kind: str) -> None:
    path = picture(images.folder / "a b" / "one.dat", kind=kind)
    found = images.found("a b/one.dat", "pool.csv:2")
    assert found == ("a b/one.dat", hashlib.sha256(path.read_bytes()).hexdigest())
    image = images.read(found)
    assert (image.raw, image.media_type) == (path.read_bytes(), KINDS[kind])
    assert image.uri.startswith(f"data:{KINDS[kind]};base64,")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../out.png", "leads out of"),
        ("a/../../out.png", "leads out of"),
        ("a/../in.png", "leads out of"),
        ("/etc/passwd", "leads out of"),
        ("link.png", "leads out of"),
        ("linked/out.png", "leads out of"),
        ("https://example.com/a.png", "an address"),
        ("data:image/png;base64,AAAA", "an address"),
        ("file:///etc/passwd", "an address"),
        ("in.png\n", "no name of a file"),
        ("in\x00.png", "no name of a file"),
        ("nobody.png", "no picture 'nobody.png'"),
        ("a", "no picture 'a'"),
        ("pipe", "no picture 'pipe'"),
        ("x" * 300, "cannot be read"),
        ("page.png", "is not PNG, JPEG, WebP or GIF"),
        ("empty.png", "is empty"),
        ("large.png", "more than 21"),
    ],
)
def test_a_name_that_is_no_picture_of_the_folder_is_refused_with_its_line(
    images: Images, name: str, said: str
) -> None:
    outside = picture(images.folder.parent / "out.png")
    picture(images.folder / "in.png")
    (images.folder / "a").mkdir()
    (images.folder / "link.png").symlink_to(outside)
    (images.folder / "linked").symlink_to(outside.parent)
    os.mkfifo(images.folder / "pipe")
    (images.folder / "page.png").write_text("<svg onload='alert(1)'/>")
    (images.folder / "empty.png").touch()
    with (images.folder / "large.png").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(DataError, match=re.escape(said)) as error:
        images.found(name, "pool.csv:7")
    assert str(error.value).startswith("pool.csv:7: ")


def test_a_link_inside_of_the_folder_is_one_of_its_pictures(images: Images) -> None:
    picture(images.folder / "in.png")
    (images.folder / "same.png").symlink_to("in.png")
    assert images.found("same.png", "").sha256 == images.found("in.png", "").sha256


def test_a_picture_that_has_changed_is_noticed(images: Images) -> None:
    found = images.found(picture(images.folder / "one.png", "red").name, "pool.csv:2")
    picture(images.folder / "one.png", "blue")
    with pytest.raises(DataError, match=r"one\.png: has changed since the pool was read"):
        images.read(found)
    (images.folder / "one.png").unlink()
    with pytest.raises(DataError, match=r"no picture 'one\.png'"):
        images.read(found)
