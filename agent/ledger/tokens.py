"""Tokens of a prompt by the model's own tokenizer and chat template: a bound that is tighter than bytes.

A server's template may differ from the one that lies beside the tokenizer, and text may split in another way where it
meets the template. So a bound is never the bare count: the texts themselves, what the template adds to turns of these
roles, a tenth and 64 tokens more, and the schema in bytes. Never more than the bound from bytes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from agent.errors import ModelError
from agent.ledger.prices import TOKENS_PER_MESSAGE, TOKENS_PER_REQUEST, prompt_bound, schema_bytes
from agent.records import Message, Question

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
MARGIN = 64
REMEMBERED = 4096  # texts whose count is kept: instructions and worked examples come with every question

Roles = tuple[str, ...]
Render = Callable[[Sequence[Message]], str]


class PromptTokens:
    """One model's tokenizer, and its chat template where it has one. Build it with `load`."""

    def __init__(self, tokenizer: Tokenizer, render: Render | None) -> None:
        self._tokenizer, self._render = tokenizer, render
        self._text = lru_cache(REMEMBERED)(self._ordinary)
        self._added: dict[Roles, int] = {}
        self._turn = threading.Lock()

    @classmethod
    def load(cls, name: str) -> PromptTokens:
        """From a folder with a tokenizer.json, or from the hub. Raises ModelError."""
        from tokenizers import Tokenizer

        files = _in_folder(Path(name)) if Path(name).is_dir() else _from_hub(name)
        try:
            tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
        except Exception as error:  # the library raises a bare Exception
            raise ModelError(f"oracle.tokenizer: {files['tokenizer.json']} cannot be read: {error}") from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer, _renderer(files))

    def count(self, question: Question) -> int:
        """Tokens of the prompt: rendered by the template and counted, or counted by parts where that cannot be."""
        written = self._rendered(question.messages)
        if written is None:
            return self._texts(question) + self._template_adds(question) + question.picture_tokens
        return self._tokens(written, special=True) + question.picture_tokens

    def text(self, content: str) -> int:
        """Tokens of a text by itself."""
        return self._text(content)

    def bound(self, question: Question) -> int:
        """Most tokens that the prompt can be, see the top of this file."""
        counted = self._texts(question) + self._template_adds(question)
        own = -(-counted * 11 // 10) + MARGIN + schema_bytes(question) + question.picture_tokens
        return min(own, prompt_bound(question))

    def _texts(self, question: Question) -> int:
        return sum(self._text(m.content) for m in question.messages)

    def _template_adds(self, question: Question) -> int:
        roles = tuple(m.role for m in question.messages)
        if roles not in self._added:
            self._added[roles] = self._measured(roles)
        return self._added[roles]

    def _measured(self, roles: Roles) -> int:
        """What the template writes around turns of these roles; the usual allowance where that cannot be seen."""
        marks = [f"mark{i}of{len(roles)}." for i in range(len(roles))]
        written = self._rendered([Message(r, m) for r, m in zip(roles, marks, strict=True)])
        if written is None or any(written.count(mark) != 1 for mark in marks):
            # no template, one that refuses these roles, or one that leaves out or repeats what it is given
            return TOKENS_PER_MESSAGE * len(roles) + TOKENS_PER_REQUEST
        whole = self._tokens(written, special=True)
        return max(len(roles), whole - sum(self._tokens(m, special=True) for m in marks))

    def _rendered(self, messages: Sequence[Message]) -> str | None:
        import jinja2

        if self._render is None:
            return None
        try:
            return self._render(messages)
        except (jinja2.TemplateError, TypeError, ValueError):
            return None

    def _ordinary(self, content: str) -> int:
        # a text that spells out a special token is that one token here, and many at a server that escapes it
        return self._tokens(content, special=False)

    def _tokens(self, text: str, *, special: bool) -> int:
        sayable = text.encode("utf-8", "replace").decode()  # half of a surrogate pair leaves as a question mark
        with self._turn:  # how special tokens are read is a setting of the one tokenizer, and batches have a thread
            self._tokenizer.encode_special_tokens = not special
            return len(self._tokenizer.encode(sayable, add_special_tokens=False).ids)


def _in_folder(folder: Path) -> dict[str, Path]:
    found = {name: folder / name for name in FILES if (folder / name).is_file()}
    if "tokenizer.json" not in found:
        raise ModelError(
            f"oracle.tokenizer: {folder} has no tokenizer.json; name the model's folder, its hub id, or leave "
            "`tokenizer` out (then the bytes of a prompt bound its tokens)"
        )
    return found


def _from_hub(name: str) -> dict[str, Path]:
    """The files in the hub's local cache, fetched where they are not there yet."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    found: dict[str, Path] = {}
    for file in FILES:
        try:
            found[file] = Path(hf_hub_download(name, file))
        except HFValidationError:
            raise ModelError(f"oracle.tokenizer: no folder {name}, and that is no hub id") from None
        except (EntryNotFoundError, HfHubHTTPError, OSError) as error:
            if file == "tokenizer.json":
                _not_there(name, error)
    return found


def _not_there(name: str, error: Exception) -> NoReturn:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise ModelError(
        f"oracle.tokenizer: no folder {name}, and the hub gave no tokenizer.json of that name ({said}); name the "
        "model's folder, or leave `tokenizer` out (then the bytes of a prompt bound its tokens)"
    ) from None


def _renderer(files: dict[str, Path]) -> Render | None:
    """The chat template as a function; None where there is none that can be read."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    told = _config(files.get("tokenizer_config.json"))
    source = files["chat_template.jinja"].read_text("utf-8") if "chat_template.jinja" in files else _template(told)
    if source is None:
        return None
    # as transformers sets it up; what it lacks beyond that makes a template unreadable, and so not used
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda _: "26 September 2026"}
    try:
        template = environment.from_string(source)
    except jinja2.TemplateError:
        return None
    marks = {name: _token(told.get(name)) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}

    def render(messages: Sequence[Message]) -> str:
        said = [{"role": m.role, "content": m.content} for m in messages]
        return template.render(messages=said, add_generation_prompt=True, **marks)

    return render


def _config(path: Path | None) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8")) if path is not None else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _template(told: dict[str, Any]) -> str | None:
    """The template in tokenizer_config.json: one text, or several by name of which `default` counts."""
    found = told.get("chat_template")
    if isinstance(found, list):
        found = next((t.get("template") for t in found if isinstance(t, dict) and t.get("name") == "default"), None)
    return found if isinstance(found, str) else None


def _token(found: Any) -> str:
    """A special token, written as text or as a record with its text."""
    said = found.get("content") if isinstance(found, dict) else found
    return said if isinstance(said, str) else ""


def _refuse(message: str) -> NoReturn:
    import jinja2

    raise jinja2.TemplateError(message)
