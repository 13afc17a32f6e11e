"""A text and its picture to one vector: a model like CLIP, which puts both into one space.

The vector of an item is that of its words beside that of its picture (Radford et al. 2021, arXiv:2103.00020, learn
the space; a linear head on both keeps what either says). Words without a picture, such as a class's name, stand for
both: so they are near an item whose text or whose picture is like them. Knows items (`agent.picture`), a model and
files; no task and no pool.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.errors import DataError, ExtraMissing, ModelError
from agent.images import Images
from agent.picture import Reference, split
from agent.records import Floats
from agent.student.encoder import Encoder, folder_of

if TYPE_CHECKING:
    import torch

AT_ONCE = 16
"""Pictures that go through the model together."""
PREPARED = "preprocessor_config.json"
FEATURES = ("get_text_features", "get_image_features")


class DepictedEncoder(Encoder):
    """An encoder of texts with pictures. Build one with `DepictedEncoder.of`; attributes as an `Encoder`'s.

    Args:
        images: where the pictures are.
    """

    def __init__(self, folder: Path, name: str, max_tokens: int, batch_tokens: int, images: Images) -> None:
        self._images = images
        super().__init__(folder, name, max_tokens, batch_tokens)
        self._prepare = _prepared(folder, name)
        self.key = f"depicted-{self.key}"

    @classmethod
    def of(cls, name: str, images: Images, max_tokens: int = 256, batch_tokens: int = 8192) -> DepictedEncoder:
        """Load a model: a folder or a hub id. Raises ModelError for one that reads no pictures, ExtraMissing."""
        return cls(folder_of(name), name, max_tokens, batch_tokens, images)

    def _reads(self) -> tuple[int, Any]:
        model = self._model
        width, of_text = (getattr(model.config, n, None) for n in ("projection_dim", "text_config"))
        if not all(hasattr(model, n) for n in FEATURES) or not isinstance(width, int) or of_text is None:
            raise ModelError(
                f"student.encoder: {self.name} ({model.config.model_type}) reads no pictures, and the job has some "
                "(`data.image`); name a folder or hub id of a model like CLIP, such as "
                "openai/clip-vit-large-patch14, or set `student: none`"
            )
        return 2 * width, of_text

    def _more_files(self) -> list[Path]:
        return sorted(self.folder.glob(PREPARED))

    def encode(self, texts: Sequence[str]) -> Floats:
        """(n, dim) float32 vectors of length one: the first half of the words, the second of the picture.

        Raises DataError for a picture that cannot be read, or is not the one it was.
        """
        items = [split(text) for text in texts]
        words, pictures = _numbered([w for w, _ in items]), _numbered([p for _, p in items if p is not None])
        of_words, of_pictures = self._of_words(list(words)), self._of_pictures(list(pictures))
        both = [
            np.concatenate([of_words[words[w]], of_words[words[w]] if p is None else of_pictures[pictures[p]]])
            for w, p in items
        ]
        found: Floats = np.array(both, np.float32).reshape(len(items), self.dim) / np.float32(np.sqrt(2))
        return found

    def _of_words(self, words: Sequence[str]) -> Floats:
        """(n, dim / 2) float32 of length one."""
        tokens = self._tokens(words, cut=True) if words else []
        out = np.empty((len(words), self.dim // 2), np.float32)
        for batch in self.batches([len(t) for t in tokens]):
            padded = self._tokenizer.pad({"input_ids": [tokens[i] for i in batch]}, return_tensors="pt")
            out[batch] = self._features("get_text_features", dict(padded))
        return out

    def _of_pictures(self, pictures: Sequence[Reference]) -> Floats:
        """(n, dim / 2) float32 of length one."""
        out = np.empty((len(pictures), self.dim // 2), np.float32)
        for start in range(0, len(pictures), AT_ONCE):
            some = [self._opened(p) for p in pictures[start : start + AT_ONCE]]
            pixels = self._prepare(images=some, return_tensors="pt")
            out[start : start + len(some)] = self._features("get_image_features", dict(pixels))
        return out

    def _opened(self, picture: Reference) -> Any:
        """The picture as colours, of a moving one the first frame. Raises DataError."""
        from io import BytesIO

        from PIL import Image, ImageOps

        raw = self._images.read(picture).raw
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(BytesIO(raw)) as image:
                    return ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
            raise DataError(
                f"{self._images.folder / picture.path}: cannot be read as a picture ({error}); save it anew, or take "
                "its row out of the pool"
            ) from None

    def _features(self, name: str, given: dict[str, Any]) -> Floats:
        import torch

        with torch.inference_mode():
            said = getattr(self._model, name)(**{k: self._there(v) for k, v in given.items()})
            pooled = said if isinstance(said, torch.Tensor) else said.pooler_output
            vectors = torch.nn.functional.normalize(pooled.float(), dim=1)
        found: Floats = vectors.cpu().numpy()
        return found

    def _there(self, given: torch.Tensor) -> torch.Tensor:
        """An input where the model is, numbers as exact as its own."""
        return given.to(self._model.device, self._model.dtype if given.is_floating_point() else given.dtype)


def _numbered(things: Sequence[Any]) -> dict[Any, int]:
    """Each distinct thing, with its place among them."""
    return {thing: i for i, thing in enumerate(dict.fromkeys(things))}


def _prepared(folder: Path, name: str) -> Any:
    """What makes a model's input of pictures. Raises ModelError, ExtraMissing."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise ExtraMissing("`data.image`: pictures are read with Pillow: pip install 'labelwright[image]'") from None
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"student.encoder: {name} does not say how pictures are prepared for it ({PREPARED}): {said}"
        ) from None
