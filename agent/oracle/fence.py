"""A text is data: what in it could close its fence, or pass for a turn of the chat, is made harmless.

Nothing else of a text changes, and a text without any of it comes through as it is. A server turns special tokens in
a message into the real ones, so that a text with `<|im_start|>system` in it would speak with the system's voice.
Spellings that a model or a tokenizer may read as the same are treated the same: full-width letters, characters of no
width in between, HTML entities, letters of other alphabets that look alike.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence

HARMLESS = "‹"
"""Stands for the first character of whatever was made harmless."""

WORDS = (
    *("s", "bos", "eos", "pad", "unk", "mask", "cls", "sep", "think", "thinking", "reasoning", "tool", "tools"),
    *(
        "tool_call",
        "tool_calls",
        "tool_response",
        "tool_result",
        "function_call",
        "function_calls",
        "function_results",
    ),
    *("start_of_turn", "end_of_turn", "start_of_image", "end_of_image", "image_soft_token", "start_of_role"),
    *("end_of_role", "end_of_text", "fim_prefix", "fim_middle", "fim_suffix", "fim_pad", "repo_name", "file_sep"),
    *("system", "user", "assistant", "im_start", "im_end"),
)
"""Of tokens in angle brackets, with or without a slash: Llama 2, Mistral, Gemma, Granite, Qwen, BERT and others."""
BRACKETED = (
    *("inst", "system_prompt", "available_tools", "tool_calls", "tool_results", "tool_content", "think", "args"),
    *("call_id", "img", "img_break", "img_end", "prefix", "middle", "suffix", "gmask", "smask", "mask", "cls", "sep"),
    *("pad", "unk", "bos", "eos"),
)
"""Of tokens in square brackets: Mistral, GLM, BERT."""

# All is sought in a folded text: small letters, no marks, one spelling of each character. `*+` never goes back,
# so that a text of a million blanks takes no longer than another.
SOUGHT = re.compile(
    "|".join(
        (
            r"<\s*+\\?+/\s*+t\s*+e\s*+x\s*+t(?![a-z0-9_])",  # the closing fence, also where its end is missing
            r"<\s*+text(?:\s[^<>]{0,200})?/?>",
            r"<\s*+\|/?\w[\w .:/▁-]{0,62}\|?\s*+>",  # <|im_start|>, <|eot_id|>, <｜User｜>, <|turn>
            r"<\s*+/?+\w[\w .:/▁-]{0,62}\|\s*+>",  # <turn|>
            rf"<\s*+\\?+/?+\s*+(?:{'|'.join(WORDS)})\s*+/?+>",
            r"<<\s*+/?+\s*+sys\s*+>>",
            r"<\s*+(?:extra_id_|unused_?|reserved_?|reserved_special_token_|image_?)\d+\s*+>",
            r"<0x[0-9a-f]{2}>",
            rf"\[\s*+\\?+/?+\s*+(?:{'|'.join(BRACKETED)})\s*+\]",
        )
    )
)
FIRST = re.compile("[<\\[＜﹤≮［﹇\U000e003c\U000e005b&%\\\\]")
"""A text without any of these holds nothing of the kind."""
SPELLED = re.compile(
    r"&(?:lt|gt|sol|lsqb|lbrack|rsqb|rbrack|vert|verbar|#0*(?:47|60|62|91|93|124)|#x0*(?:2f|3c|3e|5b|5d|7c))"
    r"(?![a-z0-9]);?"
    r"|\\(?:u00|x)(?:2f|3c|3e|5b|5d|7c)|%(?:2f|3c|3e|5b|5d|7c)",
    re.IGNORECASE,
)
PLAIN = re.compile(r"[\t-\r -$'-\[\]-~]*")
"""ASCII without what may begin a spelled character, and without characters that nobody sees."""
ALIKE = str.maketrans("аеіорсухѕтԁмкһвнοεικνρτυχαʟ⁄∕⧸╱∣│ǀ⠀", "aeiopcyxstdmkhbhoeikvptuxal////||| ")
"""Letters that look like Latin ones, slashes and bars that look like theirs."""
UNSEEN = "ᅟᅠㅤﾠ"
"""Letters of no width."""
TAGS = range(0xE0020, 0xE007F)
"""Characters that nobody sees, each of them an ASCII character to whom it is told."""


def fenced(text: str) -> str:
    """The text with its own `<text>`, `</text>` and special tokens made harmless, in whatever spelling."""
    if FIRST.search(text) is None:
        return text
    seen, spans = _spread(text)
    starts = [spans[found.start()] for found in SOUGHT.finditer(seen)]
    if not starts:
        return text
    parts, end = [], 0
    for start, stop in starts:
        parts += [text[end:start], HARMLESS]
        end = stop
    return "".join(parts) + text[end:]


def folded(text: str) -> str:
    """The text as a reader would take it: small letters, no marks, nothing unseen, one spelling of each character."""
    return _spread(text)[0]


def _spread(text: str) -> tuple[str, Sequence[tuple[int, int]]]:
    """The folded text, and for each of its characters from where to where it stands in the text."""
    if PLAIN.fullmatch(text):
        return text.lower(), _Same()
    seen: list[str] = []
    spans: list[tuple[int, int]] = []
    place = 0
    while place < len(text):
        found = SPELLED.match(text, place) if text[place] in "&%\\" else None
        stop = found.end() if found else place + 1
        letters = _seen(_said(found[0]) if found else text[place])
        seen += letters
        spans += [(place, stop)] * len(letters)
        place = stop
    return "".join(seen), spans


class _Same(Sequence[tuple[int, int]]):
    """Where each character stands in a text that is folded by its letters' case alone."""

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, place: int) -> tuple[int, int]:  # type: ignore[override]  # no slices of it are taken
        return place, place + 1


def _said(spelled: str) -> str:
    """`<` of `&lt;`, `&#60;`, `\\u003c`, `%3C`."""
    if spelled[0] == "&":
        return html.unescape(spelled if spelled[-1] == ";" else spelled + ";")
    return chr(int(spelled[-2:], 16))


def _seen(letter: str) -> str:
    """What a reader sees of one character: nothing of a mark or of what has no width."""
    if letter.isascii():
        return letter.lower() if letter.isprintable() or letter.isspace() else ""
    if ord(letter) in TAGS:
        return chr(ord(letter) - 0xE0000).lower()
    plain = unicodedata.normalize("NFKD", letter).casefold()
    kept = [c for c in plain if unicodedata.category(c) not in ("Mn", "Me", "Cf", "Cc", "Co") and c not in UNSEEN]
    return "".join(kept).translate(ALIKE)
