"""A text's picture on the review page: the one that belongs to it, at a size that leaves the labels in sight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.review.browsers import DESKTOP, PHONE, Reviewer, Served, chromium
from tests.review.test_pictures import depicted

SHOWN = "() => { const i = document.querySelector('#picture img'); return i?.complete ? i.naturalWidth : null }"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_each_text_comes_with_its_own_picture(browser: Browser, tmp_path: Path, size: dict[str, int]) -> None:
    (tmp_path / "pool").mkdir()
    for name, width, height in (("0.png", 300, 200), ("1.png", 2000, 3000), ("2.png", 30, 20)):
        Image.new("RGB", (width, height), (200, 120, 60)).save(tmp_path / "pool" / name)
    made = depicted(tmp_path, "0.png", "1.png", "2.png")
    (tmp_path / "pool" / "2.png").unlink()
    context = browser.new_context(viewport=size)
    ada = Reviewer(context.new_page(), Served(made))
    for number, width in enumerate((300, 2000)):
        ada.sees("#text", f"Article number {number}.")
        ada.until(lambda width=width: ada.page.evaluate(SHOWN) == width)  # type: ignore[misc]
        assert ada.page.evaluate(SHOWN) == width
        expect(ada.page.locator("#picture img")).to_have_attribute("alt", "photo")
        box = ada.page.locator("#picture img").bounding_box()
        assert box is not None
        assert box["width"] <= size["width"]
        assert box["height"] <= size["height"] * 0.6, "the labels stay in sight"
        ada.press("1")
    ada.sees("#text", "Article number 2.")
    ada.sees("#picture", "not there any more")
    ada.has_given({"t000": "business", "t001": "business"})
    assert ["404" in said for said in ada.errors] == [True], "the one that is not there, and nothing else"
    context.close()
