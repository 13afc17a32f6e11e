"""A distilled model or exported labels, put on the Hugging Face hub: what goes there, who sees it, what went wrong.

Nothing is sent from anywhere else. Only files that `distil`, `onnx` and `export` wrote leave, by name; the token is
huggingface_hub's to find, and never shown.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from agent.distill.card import FACTS
from agent.errors import HubError
from agent.records import Source
from agent.report.card import files_named
from agent.store import IN_BULK

CARD = "README.md"
MOST_SAID = 300
"""Characters of what a library says of a failure."""
LABELS = "labels.parquet"
UNNAMED = re.compile(r"reviewer|person \d+")
OF_A_MODEL = (
    CARD,
    FACTS,
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.spm",
    "spiece.model",
    "sentencepiece*.model",
    "chat_template.jinja",
    "*.onnx",
)
"""Not the vectors that `serve --log` tells drift from: what a text says can partly be read out of its vector."""


class Kind(StrEnum):
    """What a repository holds, in the hub's words."""

    MODEL = "model"
    LABELS = "dataset"


@dataclass(frozen=True)
class Pushed:
    """What came of it: where it is, who sees it, how many files are there, and their size in bytes."""

    url: str
    private: bool
    files: int
    size: int

    def figures(self) -> dict[str, Any]:
        return {"url": self.url, "private": self.private, "files": self.files, "bytes": self.size}

    def __str__(self) -> str:
        seen = "only those see it who may" if self.private else "everyone sees it"
        return f"{self.url}: {self.files} files, {self.size / 1e6:.1f} MB; {seen}"


@dataclass(frozen=True)
class Place:
    """A repository that is there and may be written to; `reserve` makes one."""

    name: str
    kind: Kind
    private: bool

    def push(self, folder: Path) -> Pushed:
        """Make the repository hold what the folder does, in one commit: what an earlier push left there and is no
        more goes, and files of other names stay. Raises HubError."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        if kind_of(folder) is not self.kind:
            raise HubError(f"{folder}: it holds no {self.kind}, and {self.name} is there for one")
        if self.kind is Kind.LABELS and not self.private and (people := _people(folder / LABELS)):
            raise HubError(
                f"{folder / LABELS}: it names those who labelled ({', '.join(people[:3])}), and everyone sees "
                f"{self.name}, so nothing was sent; export the labels again with --hide-people"
            )
        files = files_to_push(folder, self.kind)
        hub = _hub()
        with _told(self.name, hub.endpoint):
            there = hub.list_repo_files(self.name, repo_type=self.kind)
        gone = [name for name in there if name not in files and _is_ours(name, self.kind)]
        with _told(self.name, hub.endpoint):
            changes: list[Any] = [CommitOperationDelete(name) for name in gone]
            changes += [CommitOperationAdd(name, path) for name, path in files.items()]
            hub.create_commit(self.name, changes, commit_message="Labelwright", repo_type=self.kind)
        where = "datasets/" if self.kind is Kind.LABELS else ""
        size = sum(path.stat().st_size for path in files.values())
        return Pushed(f"{hub.endpoint}/{where}{self.name}", self.private, len(files), size)


def reserve(name: str, kind: Kind, *, public: bool = False) -> Place:
    """The repository OWNER/NAME, made where it is not there yet; only those see it who may, unless it is `public`.

    Raises HubError: a malformed name, no token, one that may not write there, no network, or a repository that
    everyone sees where that was not asked for.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        raise HubError(_malformed(name)) from None
    if name.count("/") != 1:
        raise HubError(_malformed(name))
    hub = _hub()
    if not get_token():
        raise HubError(
            f"{name}: there is no token for the hub; make one that may write at {hub.endpoint}/settings/tokens and "
            "put it into the environment variable HF_TOKEN, or log in once: hf auth login"
        )
    with _told(name, hub.endpoint):
        hub.create_repo(name, private=not public, repo_type=kind, exist_ok=True)
        private = bool(hub.repo_info(name, repo_type=kind).private)
    if not private and not public:
        raise HubError(
            f"{name} is there already and everyone sees it, so nothing was sent; add --public if they may, or choose "
            "another name"
        )
    return Place(name, kind, private)


def kind_of(folder: Path) -> Kind:
    """What a folder holds. Raises HubError where it is neither a model nor labels."""
    if all((folder / name).is_file() for name in (CARD, FACTS, "config.json")) and any(folder.glob("*.safetensors")):
        return Kind.MODEL
    if all((folder / name).is_file() for name in (CARD, LABELS)) and LABELS in _named(folder):
        return Kind.LABELS
    raise HubError(
        f"{folder}: neither a model that `labelwright distil` made ({CARD}, {FACTS}, config.json, *.safetensors) nor "
        f"labels that `labelwright export` wrote ({CARD}, {LABELS}): name the folder that it wrote"
    )


def files_to_push(folder: Path, kind: Kind) -> dict[str, Path]:
    """The files that leave a folder, by the name that they have on the hub. Of labels those that the card names: what
    an earlier export left there stays here."""
    if kind is Kind.LABELS:
        found = [path for name in _named(folder) for path in _inside(folder / name)]
        return {CARD: folder / CARD} | {path.relative_to(folder).as_posix(): path for path in found}
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_file() and _is_ours(path.name, kind)}


def _named(folder: Path) -> list[str]:
    """The files that the card of exported labels names."""
    return files_named((folder / CARD).read_text(encoding="utf-8", errors="replace"))


def _people(labels: Path) -> list[str]:
    """Names of people in exported labels; `reviewer` is what somebody is called who gave none."""
    import pyarrow.parquet as pq

    rows = pq.read_table(labels, columns=["source", "by", "route"]).to_pydict()
    names = {by for source, by in zip(rows["source"], rows["by"], strict=True) if source == Source.PERSON}
    names |= {route.removeprefix(IN_BULK) for route in rows["route"] if route and route.startswith(IN_BULK)}
    return sorted(name for name in names if not UNNAMED.fullmatch(name))


def _inside(path: Path) -> list[Path]:
    """The file itself, or all in a folder."""
    return sorted(p for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file())


def _is_ours(name: str, kind: Kind) -> bool:
    """Whether a file on the hub or in a model's folder has a name that we give."""
    patterns = ("labels.*", "datasets/*") if kind is Kind.LABELS else OF_A_MODEL
    return any(fnmatch(name, pattern) for pattern in patterns) and ("/" not in name or kind is Kind.LABELS)


def _hub() -> Any:
    """The hub at HF_ENDPOINT. Bars of progress are for terminals."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    return HfApi(library_name="labelwright")


def _malformed(name: str) -> str:
    return f"{name!r}: a name on the hub is OWNER/NAME of letters, digits, '-', '_' and '.', such as ada/topics"


@contextmanager
def _told(name: str, endpoint: str) -> Iterator[None]:
    """Whatever goes wrong on the way to the hub as one HubError with a way out. Uploads end in errors of several
    libraries, and of a network stack that has changed twice; none of them is a bug of ours."""
    try:
        yield
    except Exception as error:
        raise HubError(_explained(error, name, endpoint)) from error


def _explained(error: BaseException, name: str, endpoint: str) -> str:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    if any(isinstance(e, OfflineModeIsEnabled) for e in chain):
        return f"{name}: HF_HUB_OFFLINE is set, and nothing can be sent; unset it and push again"
    refused = next((e for e in chain if isinstance(e, HfHubHTTPError)), None)
    if refused is None:
        said = f"nothing was put on the hub at {endpoint} ({_shortly(chain[-1])})"
        return f"{name}: {said}; mend that, or look at the network and HF_ENDPOINT"
    is_told = error is not refused and isinstance(error, ValueError)  # what is wrong with the card, say
    said = _shortly(error) if is_told else refused.server_message or _shortly(refused)
    status = refused.response.status_code
    if status == 401:
        return (
            f"{name}: the hub at {endpoint} does not take the token (401); make one that may write at "
            f"{endpoint}/settings/tokens, and put it into HF_TOKEN or log in with it: hf auth login"
        )
    if status in (403, 404):
        return (
            f"{name}: the token may not write there ({status}: {said}); is the owner you, or an "
            "organisation that lets you, and may the token write?"
        )
    return f"{name}: the hub at {endpoint} refused ({status}: {said}); push again later, or mend what it says"


def _shortly(error: BaseException) -> str:
    return " ".join(str(error).split())[:MOST_SAID] or type(error).__name__
