"""Tiny models that write, with random weights and a tokenizer trained on the spot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

CHAT = (
    "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
WORDS = {"cat": "Katze", "dog": "Hund", "cow": "Kuh", "fox": "Fuchs", "hen": "Huhn", "pig": "Schwein"}
COLOURS = {"red": "rot", "blue": "blau", "old": "alt", "big": "gross"}


def lessons() -> dict[str, str]:
    """Made-up English to made-up German: `the red cat` to `Katze rot`."""
    return {f"the {c} {w}": f"{german} {farbe}" for w, german in WORDS.items() for c, farbe in COLOURS.items()}


def make_tokenizer(texts: Iterable[str], *, chat: bool) -> Any:
    """Byte-level BPE, as GPT's kin have it."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(
        list(texts), vocab_size=400, special_tokens=["<pad>", "<s>", "</s>"], show_progress=False
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made._tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def make_writer(
    folder: Path, kind: str = "llama", *, chat: bool = False, texts: Iterable[str] | None = None, room: int = 256
) -> Path:
    """Two layers, 32 wide: a `llama`, a `gpt2` or a `t5`, saved as `transformers` saves one."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    known = texts if texts is not None else [w for pair in lessons().items() for w in pair]
    tokenizer = make_tokenizer(known, chat=chat)
    sizes: dict[str, dict[str, Any]] = {
        "llama": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": room,
        },
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": room},
        "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
    }
    marks = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **marks, **sizes[kind])
    model = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
