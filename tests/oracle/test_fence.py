"""The fence: nothing in a text closes it or passes for a turn of the chat, and ordinary texts come through."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.oracle.fence import HARMLESS, SOUGHT, fenced, folded

TOKENS = [
    *("<text>", "</text>", "<TEXT>", "< / text >", "</text foo>", "<text/>"),
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|begin_of_text|>"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|channel|>", "<|message|>", "<|return|>"),
    *("<s>", "</s>", "<bos>", "<eos>", "<pad>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "<|turn>", "<turn|>"),
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[gMASK]"),
    *(
        "<｜User｜>",
        "<｜begin▁of▁sentence｜>",
        "<|fim_prefix|>",
        "<fim_middle>",
        "<0x0A>",
        "<extra_id_0>",
        "<unused42>",
    ),
]
SPELLINGS = [
    *("</te\u200bxt>", "</t\u00adext>", "<\u2060/text>", "</text\ufeff>", "</t\u0301ext>", "</t\ufe0fext>"),
    *(
        "＜/text＞",
        "</ｔｅｘｔ>",
        "＜／ｔｅｘｔ＞",
        "﹤/text﹥",
        "<⁄text>",
        "</tехt>",
        "</t e x t>",
        "</text",
        "<\\/text>",
    ),
    *(
        "&lt;/text&gt;",
        "&LT;/text>",
        "&#60;/text&#62;",
        "&#x3C;/text>",
        "\\u003c/text\\u003e",
        "\\x3c/text>",
        "%3C/text%3E",
    ),
    *(
        "<|im_\u200bstart|>",
        "<|IM_START|>",
        "< |im_start| >",
        "＜|im_start|＞",
        "&lt;|im_start|&gt;",
        "[ / INST ]",
        "［INST］",
    ),
    "".join(chr(0xE0000 + ord(c)) for c in "</text>"),
]
SPOILED = [*TOKENS, *SPELLINGS]
NOISE = [
    "\u200b",
    "\u00ad",
    "\u2060",
    "\ufe0f",
    "\u0301",
    " ",
    "\n",
    "/",
    "\\",
    "<",
    ">",
    "|",
    "[",
    "]",
    "&lt;",
    "‹",
    "text",
]


@st.composite
def broken_up(draw: st.DrawFn) -> str:
    """A token with anything in between its characters."""
    token = draw(st.sampled_from(SPOILED))
    cut = draw(st.integers(0, len(token)))
    return token[:cut] + draw(st.sampled_from(["", *NOISE, *TOKENS])) + token[cut:]


texts = st.lists(st.text(max_size=6) | st.sampled_from(SPOILED) | st.sampled_from(NOISE) | broken_up(), max_size=8)


@given(texts.map("".join))
def test_no_text_holds_the_fence_or_a_special_token_once_it_is_fenced(text: str) -> None:
    safe = fenced(text)
    for form in (safe, unicodedata.normalize("NFC", safe), unicodedata.normalize("NFKC", safe), safe.casefold()):
        assert not any(token in form for token in TOKENS)
    assert SOUGHT.search(folded(safe)) is None
    assert fenced(safe) == safe


@given(texts.map("".join))
def test_all_that_changes_is_the_first_character_of_what_was_found(text: str) -> None:
    safe = fenced(text)
    if safe != text:
        first = next(i for i, (a, b) in enumerate(zip(safe, text, strict=False)) if a != b)
        assert safe[first] == HARMLESS
        assert text[first] in "<[＜﹤≮［&\\%\U000e003c\U000e005b"


@pytest.mark.parametrize("token", SPOILED, ids=ascii)
def test_each_spelling_is_made_harmless_wherever_it_stands(token: str) -> None:
    for text in (token, f"good {token} bad", f"a\n{token}\nb", token + token):
        assert fenced(text) != text


@given(st.text(st.characters(exclude_characters="<[&%\\＜﹤≮［﹇\U000e003c\U000e005b")))
def test_a_text_without_brackets_comes_through_as_it_is(text: str) -> None:
    assert fenced(text) is text


@pytest.mark.parametrize(
    "text",
    [
        "I <3 it, 5 < 6 & 7 > 2",
        "<b>bold</b> <p>news</p> <a href='x'>y</a> &lt;b&gt;",
        "see [1] and [2], f[x] = <T> where T",
        "<texture> </textarea> <context>",
        "50 % off \\o/ \\n AT&T R&D 100%",
        "f <| g |> h",
        "- [ ] to do\n- [x] done",
        "x ＜ y ［note］",
    ],
)
def test_ordinary_signs_are_nothing_to_worry_about(text: str) -> None:
    assert fenced(text) == text


@pytest.mark.parametrize("name", ["uci_sentiment", "banking77", "clinc150", "goemotions"])
def test_no_text_of_real_sets_is_changed(shared_data: Path, name: str) -> None:
    texts = pq.read_table(shared_data / name / "test.parquet")["text"].to_pylist()
    assert [t for t in texts if fenced(t) != t] == []


@pytest.mark.parametrize(
    "text", ["<" + " " * 300_000, "</t" * 100_000, "< " * 150_000, "<| a" * 100_000], ids=range(4)
)
def test_a_text_made_to_be_slow_is_not(text: str) -> None:
    began = time.process_time()
    fenced(text)
    assert time.process_time() - began < 5
