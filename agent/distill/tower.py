"""A copy of an encoder that learns: its upper layers are tuned, what the lower ones say is computed once.

Knows tokens and vectors; no label, no loss and no schedule.

Word vectors and lower layers stay as they are, so what they make of a text never changes: it is kept, and a step pays
for the upper layers alone. With half of MiniLM's layers tuned a step costs half of what it does otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.distill.network import (
    by_length,
    cut_tokens,
    has_fast_bfloat16,
    keep_word_vectors,
    open_encoder,
    save_as_transformers,
)
from agent.records import Floats
from agent.student.encoder import CPU_BATCH_TOKENS
from agent.student.encoder import _pool as pool

if TYPE_CHECKING:
    import torch

    from agent.student.encoder import Encoder

LAYERS = {
    "bert": "encoder.layer",
    "roberta": "encoder.layer",
    "xlm-roberta": "encoder.layer",
    "camembert": "encoder.layer",
    "distilbert": "transformer.layer",
}
"""Model type → where its layers are, for those whose lower layers can be left out of a step."""


class Tower:
    """The encoder, and n texts that it learns on.

    Args:
        encoder: what is copied; it stays as it is.
        texts: n texts.
        upper: how many layers learn, from the top; all of them for a kind of model that `LAYERS` does not name.
        max_tokens: a longer text is cut while learning; the encoder that is saved cuts none shorter than before.

    Attributes:
        model: the `transformers` model.
        start: (n, d) float32, the texts' vectors before anything is learnt.
        layers: how many learn, as was asked for.
    """

    def __init__(self, encoder: Encoder, texts: Sequence[str], upper: int, max_tokens: int) -> None:
        self.model, self.tokenizer = open_encoder(encoder.folder)
        self.pooling, self.device = encoder.pooling, str(self.model.device.type)
        self.tokens = cut_tokens(self.tokenizer, texts, min(max_tokens, encoder.max_tokens), pairs=False)
        self.fast = has_fast_bfloat16(self.device)
        self._layers = LAYERS.get(self.model.config.model_type)
        self._lower = max(0, self._depth() - upper) if self._layers else 0
        self.layers = upper
        keep_word_vectors(self.model)
        learning: Any = self.model.get_submodule(self._layers)[self._lower :] if self._layers else self.model
        self._learning = [p for p in learning.parameters() if p.requires_grad]
        self.start, self._states = self._run_whole()

    def _depth(self) -> int:
        return len(self.model.get_submodule(self._layers))

    def parameters(self) -> list[torch.nn.Parameter]:
        """What learns."""
        return self._learning

    def state(self) -> list[Any]:
        """A copy of all that learns."""
        return [p.detach().clone() for p in self.parameters()]

    def restore(self, state: Sequence[Any]) -> None:
        """Put back what `state` gave."""
        import torch

        with torch.no_grad():
            for parameter, value in zip(self.parameters(), state, strict=True):
                parameter.copy_(value)

    def become(self, encoder: Encoder) -> None:
        """Take over what learns from an encoder that another tower on the same one was saved as."""
        learning = set(map(id, self.parameters()))
        theirs = dict(open_encoder(encoder.folder)[0].named_parameters())
        self.restore([theirs[name] for name, p in self.model.named_parameters() if id(p) in learning])

    @contextmanager
    def upper(self) -> Iterator[None]:
        """Inside, the model is its upper layers only, and reads kept states in place of tokens."""
        if not self._layers:
            yield
            return
        import torch

        where, name = self._layers.rsplit(".", 1)
        parent, layers, embeddings = self.model.get_submodule(where), self.model.get_submodule(self._layers), None
        embeddings = self.model.embeddings
        setattr(parent, name, torch.nn.ModuleList(list(layers)[self._lower :]))
        self.model.embeddings = _recall()
        try:
            yield
        finally:
            setattr(parent, name, layers)
            self.model.embeddings = embeddings

    def vectors(self, rows: Sequence[int]) -> torch.Tensor:
        """(b, d) float32 unit vectors of these of the texts, with whatever gradient is on; inside `upper` only."""
        import torch

        order, found = [], []
        for part in by_length([len(self.tokens[i]) for i in rows], CPU_BATCH_TOKENS):
            order += part
            found.append(self._forward([rows[i] for i in part]))
        return torch.cat(found)[torch.from_numpy(np.argsort(order))]

    def encode(self) -> Floats:
        """(n, d) float32: every text's vector as it is now; inside `upper` only."""
        import torch

        with torch.no_grad():
            found: Floats = self.vectors(range(len(self.tokens))).cpu().numpy()
        return found

    def save(self, folder: Path) -> None:
        """Weights, configuration, tokenizer and pooling, as `transformers` and sentence-transformers read them."""
        save_as_transformers(self.model, self.tokenizer, folder)
        (folder / "1_Pooling").mkdir(exist_ok=True)
        said = {
            "word_embedding_dimension": int(self.model.config.hidden_size),
            "pooling_mode_cls_token": self.pooling == "cls",
            "pooling_mode_mean_tokens": self.pooling == "mean",
        }
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")

    def _run_whole(self) -> tuple[Floats, list[Any]]:
        """Vectors of all texts, and what the first tuned layer reads of each: (t, d) each."""
        import torch

        vectors = np.empty((len(self.tokens), int(self.model.config.hidden_size)), np.float32)
        states: list[Any] = [None] * len(self.tokens)
        for part in by_length([len(t) for t in self.tokens], CPU_BATCH_TOKENS):
            batch = self._padded(part)
            with torch.no_grad():
                said = self.model(**batch, output_hidden_states=True)
            pooled = pool(said.last_hidden_state.float(), batch["attention_mask"], self.pooling)
            vectors[part] = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
            for i, state in zip(part, said.hidden_states[self._lower], strict=True):
                states[i] = state[: len(self.tokens[i])].clone() if self._layers else None
        return vectors, states

    def _padded(self, rows: Sequence[int]) -> Any:
        tokens = {"input_ids": [self.tokens[i] for i in rows]}
        return self.tokenizer.pad(tokens, padding_side="right", return_tensors="pt").to(self.device)

    def _forward(self, rows: Sequence[int]) -> torch.Tensor:
        import torch

        batch = self._padded(rows)
        if self._layers:
            states = [self._states[i] for i in rows]
            self.model.embeddings.states = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
        # what is judged is what the loop's encoder will say, and that computes in float32
        fast = self.fast and torch.is_grad_enabled()
        with torch.autocast(self.device, torch.bfloat16, enabled=fast):
            hidden = self.model(**batch).last_hidden_state
        pooled = pool(hidden.float(), batch["attention_mask"], self.pooling)
        return torch.nn.functional.normalize(pooled, dim=1)


def _recall() -> Any:
    """In the place of a model's embeddings: says the kept states, whatever it is asked."""
    import torch

    class Recall(torch.nn.Module):
        states: torch.Tensor

        def forward(self, *_: Any, **__: Any) -> torch.Tensor:
            return self.states

    return Recall()
