"""Pictures and a model like CLIP, made by the test that needs them."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
SIDE = 16
WORDS = ["[PAD]", "[UNK]", "[BOS]", "[EOS]", "a", "thing", "number", *COLOURS, *map(str, range(10))]


def picture(path: Path, colour: str = "red", shade: int = 0, kind: str = "PNG") -> Path:
    """A square of one colour, a little darker for each `shade`, with its name's suffix or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = tuple(max(0, c - shade) for c in COLOURS[colour])
    Image.new("RGB", (SIDE, SIDE), rgb).save(path, kind)
    return path


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """Two layers a side with random weights, a tokenizer of a few words, and how pictures are prepared."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 2), ("[EOS]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", bos_token="[BOS]", eos_token="[EOS]"
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    of_text = small | {"vocab_size": len(WORDS), "max_position_embeddings": 16}
    of_text |= {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    of_image = small | {"image_size": SIDE, "patch_size": 8}
    shape = CLIPConfig(text_config=of_text, vision_config=of_image, projection_dim=8)
    CLIPModel(shape).save_pretrained(folder)
    square = {"height": SIDE, "width": SIDE}
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square).save_pretrained(folder)
    return folder
