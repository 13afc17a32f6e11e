"""Small models on disk, and classes that lie apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from agent.job import TaskSettings
from agent.records import Floats
from agent.tasks import Task, build

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "where", "is", "my", "card", "lost", "it", "?"]


def tiny_model(folder: Path, *, seed: int = 0, positions: int = 16) -> Path:
    """A BERT of two layers with random weights, and a tokenizer of eleven words."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    shape = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=positions,
        pad_token_id=0,
    )
    BertModel(shape).save_pretrained(folder)
    return folder


def clusters(rng: np.random.Generator, n: int, classes: int, dim: int = 16) -> tuple[Floats, np.ndarray]:
    """(n, dim) unit vectors around one centre a class, and each one's class."""
    labels = np.arange(n) % classes
    centres = np.random.default_rng(classes).normal(size=(classes, dim))
    vectors = centres[labels] + rng.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def one_hot(labels: np.ndarray, classes: int) -> Floats:
    out: Floats = np.zeros((len(labels), classes), np.float32)
    out[np.arange(len(labels)), labels] = 1
    return out


def task(*names: str, kind: str = "classification") -> Task:
    return build(TaskSettings(kind=kind, labels=dict.fromkeys(names, "")))
