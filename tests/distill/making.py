"""A tiny encoder with random weights, and texts that it can tell apart: seconds become milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from agent.distill import Examples

ANIMALS = ["cat", "dog", "horse", "cow", "sheep", "goat"]
TOOLS = ["hammer", "saw", "drill", "file", "chisel", "plane"]
FOODS = ["bread", "cheese", "apple", "soup", "rice", "cake"]
FILLERS = ["the", "a", "one", "some", "old", "new", "big", "small"]
TOPICS = {"animal": ANIMALS, "tool": TOOLS, "food": FOODS}
NAMES = tuple(TOPICS)


def make_encoder(folder: Path, model_type: str = "bert", *, pooling: str = "mean", layers: int = 2) -> Path:
    """A BERT-like encoder of random weights with a word-piece tokenizer, saved as `transformers` saves one."""
    import torch
    from transformers import AutoConfig, AutoModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLERS, *ANIMALS, *TOOLS, *FOODS]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    sizes = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": 64}
    if model_type == "distilbert":
        sizes = {"dim": 32, "n_layers": layers, "n_heads": 4, "hidden_dim": 64}
    config = AutoConfig.for_model(
        model_type, vocab_size=len(words), max_position_embeddings=66, pad_token_id=0, initializer_range=0.05, **sizes
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        AutoModel.from_config(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    said = {"pooling_mode_mean_tokens": pooling == "mean", "pooling_mode_cls_token": pooling == "cls"}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def sentences(n: int, seed: int = 0, topics: tuple[str, ...] = NAMES) -> tuple[list[str], list[str]]:
    """n texts of three to eight words and the topic of each, taken in turn."""
    rng = np.random.default_rng(seed)
    said = [topics[i % len(topics)] for i in range(n)]
    texts = [
        " ".join(rng.permutation([*rng.choice(FILLERS, rng.integers(2, 6)), *rng.choice(TOPICS[topic], 2)]))
        for topic in said
    ]
    return texts, said


def graded(n: int, seed: int = 0) -> tuple[list[str], list[float]]:
    """n texts with four things in each, animals and foods, and one more than there are animals: 1 to 5."""
    rng = np.random.default_rng(seed)
    counts = [i % 5 for i in range(n)]
    texts = [
        " ".join(rng.permutation([*rng.choice(FILLERS, 2), *rng.choice(ANIMALS, k), *rng.choice(FOODS, 4 - k)]))
        for k in counts
    ]
    return texts, [1.0 + k for k in counts]


def examples(
    n: int = 60, *, names: tuple[str, ...] = NAMES, seed: int = 0, topics: tuple[str, ...] = NAMES
) -> Examples:
    """n sentences with hard targets."""
    texts, said = sentences(n, seed, topics)
    targets = np.array([[float(name == s) for name in names] for s in said], np.float32)
    return Examples(texts, targets, np.ones(n, np.float32), names, seed=seed)
