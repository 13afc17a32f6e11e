"""An encoder adapted to a pool by masked words, for an ablation: does reading the texts help, without any label?

MiniLM's sentence encoder comes without the layer that guesses masked words, so one is put on top: its own word
vectors, turned around. All layers learn, for so many tokens; only the encoder is kept.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from agent.distill.network import open_encoder, save_as_transformers
from agent.records import Floats
from agent.student.encoder import BUILTIN, Encoder
from evals._corpora import Corpus, kept_vectors

TOKENS = 150_000
MASKED = 0.15
MOST_TOKENS, BATCH_TEXTS = 64, 32
RATE = 5e-5


def adapted(corpus: Corpus) -> tuple[Floats, Floats]:
    """Vectors of the set's texts, and of its classes' names; made once and kept."""
    encoders: list[Encoder] = []

    def encode(texts: tuple[str, ...]) -> Floats:
        if not encoders:
            with tempfile.TemporaryDirectory() as folder:
                adapt(corpus, Path(folder))
                encoders.append(Encoder.load(folder, max_tokens=128))
        return encoders[0].encode(texts)

    kind = f"masked{TOKENS}"
    return (
        kept_vectors(f"{corpus.name}-{kind}", corpus.texts, encode),
        kept_vectors(f"{corpus.name}-{kind}-classes", corpus.described, encode),
    )


def adapt(corpus: Corpus, folder: Path) -> None:
    """Learn masked words of the pool's texts, and save the encoder."""
    import torch

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    first = Encoder.load(BUILTIN, max_tokens=MOST_TOKENS)
    model, tokenizer = open_encoder(first.folder)
    texts = [corpus.texts[i] for i in rng.permutation(corpus.pool).tolist()]
    tokens = tokenizer(texts, truncation=True, max_length=MOST_TOKENS, return_attention_mask=False)["input_ids"]
    words = model.get_input_embeddings().weight
    bias = torch.nn.Parameter(torch.zeros(len(words)))
    turn = torch.nn.Linear(words.shape[1], words.shape[1])
    norm = torch.nn.LayerNorm(words.shape[1])
    with torch.no_grad():
        turn.weight.copy_(torch.eye(words.shape[1]))
    new = [bias, *turn.parameters(), *norm.parameters()]
    optimiser = torch.optim.AdamW([{"params": [*model.parameters()], "lr": RATE}, {"params": new, "lr": 1e-3}])
    model.train()
    seen = 0
    while seen < TOKENS:
        rows = rng.permutation(len(tokens))
        for start in range(0, len(rows), BATCH_TEXTS):
            if seen >= TOKENS:
                break
            drawn = [tokens[i] for i in rows[start : start + BATCH_TEXTS].tolist()]
            batch = tokenizer.pad({"input_ids": drawn}, return_tensors="pt")
            loss = _loss(model, batch, rng, tokenizer.mask_token_id, lambda h: norm(turn(h)) @ words.T + bias)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            seen += int(batch["attention_mask"].sum())
    model.eval()
    save_as_transformers(model, tokenizer, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}\n', encoding="utf-8")


def _loss(model: Any, batch: Any, rng: np.random.Generator, mask: int, guess: Any) -> Any:
    import torch

    wanted = batch["input_ids"].clone()
    chosen = torch.from_numpy(rng.random(tuple(wanted.shape)) < MASKED) & (batch["attention_mask"] > 0)
    chosen[:, 0] = False
    batch["input_ids"][chosen] = mask
    hidden = model(**batch).last_hidden_state
    return torch.nn.functional.cross_entropy(guess(hidden[chosen]), wanted[chosen])
