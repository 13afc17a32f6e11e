"""A model that writes: a causal or an encoder-decoder model of `transformers`, with its tokenizer.

Knows texts, tokens and what is written of them; no label's provenance and no training.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.distill.network import (
    by_length,
    check_folder,
    read_model,
    read_tokenizer,
    save_as_transformers,
    saved_config,
    seeded,
)
from agent.distill.tables import Kind
from agent.errors import ModelError
from agent.records import Floats, Prediction
from agent.student.encoder import from_hub, positions
from agent.tasks.overlap import medoid, missing

if TYPE_CHECKING:
    import torch

ASKED = "asked"
"""Of a saved model's configuration: how it was asked while it was taught. `transformers` hands it through."""
ARCHITECTURES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
GGUF = ".gguf"


@dataclass(frozen=True)
class Asked:
    """How a model is asked for a text: what stands before each, and most tokens that it reads of one and writes."""

    instruction: str = ""
    most_read: int = 512
    most_written: int = 256


@dataclass(frozen=True)
class Written:
    """What was written of one text.

    Attributes:
        text: blanks around it are taken away; it may be empty.
        confidence: the geometric mean of its tokens' probabilities, 0 to 1; 0 where it was cut off.
        entropy: of what could have stood at each token, in nats, the mean.
        is_whole: it came to its end before the most tokens that it may have.
    """

    text: str
    confidence: float
    entropy: float
    is_whole: bool


class Writer:
    """A model and its tokenizer. Build one with `open` (to be taught) or `load` (as it was saved).

    Attributes:
        model: the `transformers` model, in float32.
        asked: how it is asked.
        samples: so many further texts are drawn for each, which say by their `disagreement` how unsure it is; none
            where that is 0.
    """

    names: tuple[str, ...] = ()
    multilabel = False
    columns = None

    def __init__(self, model: Any, tokenizer: Any, asked: Asked, batch_tokens: int = 8192) -> None:
        import torch

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = model.eval().to(self.device)
        self.tokenizer, self.asked, self.samples = tokenizer, asked, 0
        self.is_causal = not model.config.is_encoder_decoder
        self._budget = batch_tokens
        if tokenizer.eos_token_id is None:
            raise ModelError(
                "the model's tokenizer has no token for the end of a text, so it could not learn to stop"
            )
        self.end = int(tokenizer.eos_token_id)
        self.pad = self.end if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)

    @classmethod
    def open(cls, name: str, asked: Asked) -> Writer:
        """A folder, a .gguf file or a hub id. Raises ModelError, ExtraMissing."""
        folder, gguf = place_of(name)
        model, tokenizer = _read(folder, gguf)
        room = positions(model.config)
        if asked.most_written >= room:
            raise ModelError(
                f"{name}: it has room for {room} tokens, and an answer alone may have {asked.most_written} "
                "(`task.max_answer_tokens`); set that lower, or name another model"
            )
        return cls(model, tokenizer, asked)

    @classmethod
    def load(cls, folder: Path, batch_tokens: int = 8192) -> Writer:
        """A folder that `save` wrote, or any other such model, which is asked with the text alone. Raises
        ModelError."""
        check_folder(folder)
        model, tokenizer = _read(folder, None)
        said = getattr(model.config, ASKED, None)
        known = {k: said[k] for k in asdict(Asked()) if k in said} if isinstance(said, dict) else {}
        return cls(model, tokenizer, Asked(**known), batch_tokens)

    def save(self, folder: Path) -> None:
        """Weights (safetensors), configuration and tokenizer; `generate` is greedy by default. Raises OSError."""
        setattr(self.model.config, ASKED, asdict(self.asked))
        self.model.generation_config = self._greedy()
        save_as_transformers(self.model, self.tokenizer, folder)

    # Texts to tokens -----------------------------------------------------------------------------------------------

    def prompt(self, text: str) -> str:
        """What the model reads: instruction and text, in its own chat's form where it has one."""
        words = f"{self.asked.instruction}\n\n{text}" if self.asked.instruction else text
        if not self.is_causal:
            return words
        if self.tokenizer.chat_template is None:
            return f"{words}\n\n"
        turns = [{"role": "user", "content": words}]
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def read(self, text: str) -> list[int]:
        """Tokens of a text's prompt; the text is cut where it is too long for the model, or for what it was asked."""
        inside = self._tokens(text, whole=False)
        frame = len(self._tokens(self.prompt(""), whole=True))
        room = positions(self.model.config) - (frame + self.asked.most_written if self.is_causal else frame)
        most = max(1, min(self.asked.most_read, room))
        if len(inside) > most:
            text = self.tokenizer.decode(inside[:most], skip_special_tokens=True)
        found = self._tokens(self.prompt(text), whole=True)
        return found[:-1] if self.is_causal and found and found[-1] == self.end else found

    def answer(self, text: str) -> list[int]:
        """Tokens of what is to be written, with the end; without it where it is too long and cut."""
        found = self._tokens(text, whole=False)
        most = self.asked.most_written
        return [*found, self.end] if len(found) < most else found[:most]

    def _tokens(self, text: str, *, whole: bool) -> list[int]:
        """A template writes its own marks; elsewhere a whole prompt gets those of the tokenizer."""
        marks = whole and not (self.is_causal and self.tokenizer.chat_template is not None)
        found: list[int] = self.tokenizer(text, add_special_tokens=marks, verbose=False)["input_ids"]
        return found

    # Writing -------------------------------------------------------------------------------------------------------

    def write(self, texts: Sequence[str]) -> list[Written]:
        """What is likeliest, token by token, of n texts."""
        found: list[Written | None] = [None] * len(texts)
        for rows, tokens, entropies, chances in self._batches([self.read(t) for t in texts]):
            for i, row, entropy, chance in zip(rows, tokens, entropies, chances, strict=True):
                found[i] = self._written(row, entropy, chance)
        return [w for w in found if w is not None]

    def _written(self, tokens: list[int], entropies: Floats, chances: Floats) -> Written:
        """`entropies` and `chances` (log probabilities) are of each token, and of what fills up the batch."""
        is_whole = self.end in tokens
        count = tokens.index(self.end) + 1 if is_whole else len(tokens)
        sure = math.exp(float(chances[:count].mean())) if is_whole else 0.0
        text = self.tokenizer.decode(tokens[:count], skip_special_tokens=True).strip()
        return Written(text, sure, float(entropies[:count].mean()) if count else 0.0, is_whole)

    def _batches(self, read: list[list[int]]) -> Iterator[tuple[list[int], list[list[int]], Floats, Floats]]:
        """Places of a batch of like length, its tokens, and (b, t) entropy and log probability of each."""
        import torch

        lengths = [len(r) + self.asked.most_written for r in read]
        for rows in by_length(lengths, self._budget):
            watch = _watch()
            with torch.inference_mode():
                said = self.model.generate(
                    **self.padded([read[i] for i in rows], left=self.is_causal),
                    generation_config=self._greedy(),
                    logits_processor=[watch],
                )
            start = max(len(read[i]) for i in rows) if self.is_causal else 1
            entropies, chances = (torch.stack(seen, dim=1).cpu().numpy() for seen in (watch.entropies, watch.chances))
            yield rows, said[:, start:].tolist(), entropies, chances

    def draw(self, texts: Sequence[str], count: int, seed: int = 0) -> list[list[str]]:
        """`count` texts for each of n, drawn by chance as the model deems them likely."""
        import torch

        read, found = [self.read(t) for t in texts], [list[str]() for _ in texts]
        how = self._greedy()
        how.update(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, num_return_sequences=count)
        lengths = [count * (len(r) + self.asked.most_written) for r in read]
        with seeded(seed), torch.inference_mode():
            for rows in by_length(lengths, self._budget):
                batch = self.padded([read[i] for i in rows], left=self.is_causal)
                said = self.model.generate(**batch, generation_config=how)
                start = batch["input_ids"].shape[1] if self.is_causal else 1
                told = self.tokenizer.batch_decode(said[:, start:], skip_special_tokens=True)
                for k, i in enumerate(rows):
                    found[i] = [t.strip() for t in told[k * count : (k + 1) * count]]
        return found

    def disagreement(self, texts: Sequence[str]) -> list[float]:
        """1 less the mean chrF of all pairs of `samples` drawn texts, 0 to 1, of each of n."""
        return [1 - medoid(drawn)[1] for drawn in self.draw(texts, self.samples)]

    def padded(self, tokens: Sequence[Sequence[int]], *, left: bool) -> dict[str, torch.Tensor]:
        """One batch, filled up at its left or right."""
        import torch

        wide = max(map(len, tokens))
        ids = np.full((len(tokens), wide), self.pad, np.int64)
        mask = np.zeros_like(ids)
        for row, own in enumerate(tokens):
            place = slice(wide - len(own), wide) if left else slice(len(own))
            ids[row, place], mask[row, place] = own, 1
        return {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(mask).to(self.device),
        }

    def _greedy(self) -> Any:
        from transformers import GenerationConfig

        own = self.model.generation_config
        kept = ("bos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")
        return GenerationConfig(
            max_new_tokens=self.asked.most_written,
            do_sample=False,
            eos_token_id=self.end,
            pad_token_id=self.pad,
            **{name: found for name in kept if (found := getattr(own, name, None)) is not None},
        )

    # As a labeller -------------------------------------------------------------------------------------------------

    def predict(self, texts: Sequence[str]) -> Prediction:
        """What is written of n texts, and 1 less its confidence."""
        found = self.write(texts)
        return Prediction([w.text for w in found], np.array([1 - w.confidence for w in found], np.float32))

    def adds(self) -> dict[str, Kind]:
        """The text, the mean probability of its tokens, their mean entropy in nats, and with `samples` how far these
        disagree."""
        drawn = {"disagreement": Kind.NUMBER} if self.samples else {}
        return {"answer": Kind.NAME, "confidence": Kind.NUMBER, "entropy": Kind.NUMBER, **drawn}

    def rows(self, texts: Sequence[str]) -> Iterator[list[Any]]:
        """What `adds` names, of each text."""
        for row in self.told(texts):
            yield list(row.values())

    def told(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The same as JSON."""
        found = [
            {"answer": w.text, "confidence": round(w.confidence, 6), "entropy": round(w.entropy, 6)}
            for w in self.write(texts)
        ]
        if not self.samples or not found:
            return found
        apart = self.disagreement(texts)
        return [row | {"disagreement": round(d, 6)} for row, d in zip(found, apart, strict=True)]


def _watch() -> Any:
    """Notes of each token how unsure it was; changes nothing."""
    import torch
    from transformers import LogitsProcessor

    class Watch(LogitsProcessor):  # type: ignore[misc]
        def __init__(self) -> None:
            self.entropies: list[torch.Tensor] = []
            self.chances: list[torch.Tensor] = []

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            logs = torch.log_softmax(scores.float(), dim=1)
            self.entropies.append(torch.special.entr(logs.exp()).sum(dim=1))
            self.chances.append(logs.max(dim=1).values)
            return scores

    return Watch()


def place_of(name: str) -> tuple[Path, str | None]:
    """The folder of a model, and the .gguf file in it where that is what it consists of. Raises ModelError."""
    path = Path(name)
    if path.suffix.lower() == GGUF:
        if not path.is_file():
            raise ModelError(f"distil.model: no file {name}; name one that is there, a folder, or a hub id")
        return path.parent, path.name
    if not path.is_dir():
        return from_hub(name, "distil.model", "give `distil.model` the path of a folder or of a .gguf file"), None
    if (path / "config.json").is_file():
        return path, None
    found = sorted(p.name for p in path.glob(f"*{GGUF}"))
    if len(found) == 1:
        return path, found[0]
    several = f"several .gguf files ({', '.join(found[:3])}); name one"
    there = several if found else "neither a config.json nor a .gguf file"
    raise ModelError(f"distil.model: {name} holds {there}")


def ready(name: str) -> str:
    """The same name, once all is there that teaching such a model needs: better missed before a job pays for labels
    than after. Raises ModelError, ExtraMissing."""
    _, gguf = place_of(name)
    for package in ("peft", *(["gguf"] if gguf else [])):
        if find_spec(package) is None:
            raise missing(package)
    return name


def _read(folder: Path, gguf: str | None) -> tuple[Any, Any]:
    """Model in float32, and tokenizer. Raises ModelError, ExtraMissing."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    more: dict[str, Any] = {}
    if gguf is not None:
        if find_spec("gguf") is None:
            raise missing("gguf")
        more["gguf_file"] = gguf
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **more)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = read_model(folder, kind, "a model that writes", dtype=torch.float32, **more)
        return model if gguf is None else _plain(model, kind), read_tokenizer(folder, **more)
    except (OSError, ValueError, LookupError, RuntimeError, struct.error) as error:  # what a file of odd bytes makes
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{folder / (gguf or '')}: cannot be read as a model that writes: {said}") from None


def _plain(model: Any, kind: Any) -> Any:
    """The same model without a memory of the .gguf file, as which `transformers` would not save it."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    fresh = kind.from_config(model.config, dtype=model.dtype)
    fresh.load_state_dict(model.state_dict())
    fresh.generation_config = model.generation_config
    return fresh


def is_writer(folder: Path) -> bool:
    """Whether a folder holds a model that writes."""
    return any(str(name).endswith(ARCHITECTURES) for name in saved_config(folder).get("architectures") or ())
