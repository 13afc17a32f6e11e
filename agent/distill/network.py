"""The network that is distilled into: a standard `transformers` sequence classifier with its tokenizer.

Knows texts, tokens and logits; no label's provenance, no training, no file format but the model folder's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.distill.mean_pooling import fits, make_mean_pooling
from agent.errors import ModelError
from agent.pairing import split
from agent.records import Floats
from agent.student.encoder import CPU_BATCH_TOKENS, positions
from agent.student.logistic import sigmoid, softmax

if TYPE_CHECKING:
    import torch

    from agent.student.encoder import Encoder

COLUMNS = "text_columns"
"""Of a saved model's configuration: the names of the two texts of a pair. `transformers` hands it through."""
ABSTAIN = "abstain_below"
"""Likewise: the confidence below which the model gives no label."""
THRESHOLD, HALF = "label_threshold", 0.5
"""Likewise: with any number of labels a text, the probability from which on a label holds."""
OURS = (COLUMNS, ABSTAIN, THRESHOLD)
SEGMENTS = "token_type_ids"
SINGLE, MULTI = "single_label_classification", "multi_label_classification"


class Tokenised(list[int]):
    """Token numbers of a text; of a pair `segments` says which of the two texts each is of, where the model is told
    that."""

    segments: list[int] | None = None


Tokens = list[Tokenised]


class Network:
    """A classifier and its tokenizer. Build one with `open` (to be trained) or `load` (as it was saved).

    Attributes:
        names: the C class names, in the order of the logits.
        multilabel: each class is a decision of its own.
        columns: where a text is a pair (`agent.pairing`), what its two texts are called; None for single texts.
        abstain_below: the confidence below which a text gets no label; None where every text gets one.
        label_threshold: for multilabel, the probability from which on a label holds.
        max_tokens: a longer text is cut; of a pair whichever is longer.
        batch_tokens: most tokens, padding counted, that go through the model at once when nothing is learnt.
        model: the `transformers` model.
    """

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int, batch_tokens: int = 8192) -> None:
        import torch

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = model.eval().to(self.device)
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.batch_tokens = batch_tokens if self.device == "cuda" else min(batch_tokens, CPU_BATCH_TOKENS)
        self.names = tuple(str(model.config.id2label[i]) for i in range(model.config.num_labels))
        self.multilabel = model.config.problem_type == MULTI
        self.columns = columns_of(model.config)
        self.abstain_below = abstention_of(model.config)
        self.label_threshold = threshold_of(model.config)

    @classmethod
    def open(
        cls,
        encoder: Encoder,
        names: Sequence[str],
        *,
        multilabel: bool,
        columns: tuple[str, str] | None = None,
        seed: int,
        reads_as_before: bool = False,
    ) -> Network:
        """The encoder with a new classifier on top, which reads what the encoder's own pooling reads where it can;
        or, of the folder of a classifier, what that one read (`reads_as_before`).

        With `columns` it reads pairs, both texts at once, so that words of one attend to words of the other (the
        cross-encoder of Reimers and Gurevych 2019, arXiv:1908.10084).

        Raises ModelError where `transformers` has no sequence classifier for this kind of encoder.
        """
        import torch
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(encoder.folder, trust_remote_code=False, local_files_only=True)
        config.id2label = dict(enumerate(names))
        config.label2id = {name: i for i, name in enumerate(names)}
        config.problem_type = MULTI if multilabel else SINGLE
        for ours in OURS:  # of a model that is distilled further, and does not hold of the new one
            vars(config).pop(ours, None)
        if columns is not None:
            setattr(config, COLUMNS, list(columns))
        no_attention_dropout(config)
        averages = encoder.pooling == "mean" and not reads_as_before
        pools = averages and fits(config)
        if pools:
            config.num_hidden_layers += 1
        elif averages and hasattr(config, "classifier_pooling"):
            config.classifier_pooling = "mean"  # ModernBERT's kin can by themselves
        with seeded(seed):
            model = read_model(encoder.folder, config=config, ignore_mismatched_sizes=True)
            if pools:
                make_mean_pooling(model)
        if not torch.cuda.is_available() and has_fast_bfloat16("cpu"):
            # torch's fused attention goes back slowly there: steps on texts of 16 or 64 tokens took 1.4 times as long
            model.set_attn_implementation("eager")
        tokenizer = read_tokenizer(encoder.folder)
        tokenizer.model_max_length = encoder.max_tokens  # so that `truncation=True` cuts where the training did
        return cls(model, tokenizer, encoder.max_tokens)

    @classmethod
    def load(cls, folder: Path, batch_tokens: int = 8192) -> Network:
        """A folder that `save` wrote, or any other sequence classifier. Raises ModelError."""
        check_folder(folder)
        model, tokenizer = read_model(folder), read_tokenizer(folder)
        return cls(model, tokenizer, most_tokens(model.config, tokenizer), batch_tokens)

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), configuration and tokenizer as `transformers` does. Raises OSError."""
        if self.abstain_below is not None:
            setattr(self.model.config, ABSTAIN, self.abstain_below)
        if self.label_threshold != HALF:
            setattr(self.model.config, THRESHOLD, self.label_threshold)
        save_as_transformers(self.model, self.tokenizer, folder)

    # Texts to numbers ----------------------------------------------------------------------------------------------

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Token numbers of each text with the marks the model wants, cut at `max_tokens`."""
        return cut_tokens(self.tokenizer, texts, self.max_tokens, pairs=self.columns is not None)

    def forward(self, tokens: Tokens) -> torch.Tensor:
        """(n, C) float32 logits of one batch, with whatever gradient and dropout are on at the moment."""
        batch = self.tokenizer.pad(to_pad(tokens), return_tensors="pt").to(self.device)
        logits: torch.Tensor = self.model(**batch).logits.float()
        return logits

    def logits(self, tokens: Tokens) -> Floats:
        """(n, C) float32, without dropout or gradient, in batches of like length."""
        return self._collect(tokens, self.forward, len(self.names))

    def features(self, tokens: Tokens) -> Floats:
        """(n, d) float32: what the classifier reads, which is the last linear layer."""
        return self.read(tokens)[1]

    def chances(self, logits: Floats) -> Floats:
        """(n, C) probabilities of logits."""
        return sigmoid(logits) if self.multilabel else softmax(logits)

    def read(self, tokens: Tokens) -> tuple[Floats, Floats]:
        """`logits` and `features`, of one pass."""
        import torch

        seen: list[torch.Tensor] = []
        last, classes = self.classifier(), len(self.names)
        hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().float()))

        def both(batch: Tokens) -> torch.Tensor:
            logits = self.forward(batch)
            return torch.cat([logits, seen.pop()], dim=1)

        try:
            found = self._collect(tokens, both, classes + last.in_features)
        finally:
            hook.remove()
        return found[:, :classes].copy(), found[:, classes:].copy()

    def _collect(self, tokens: Tokens, run: Callable[[Tokens], torch.Tensor], width: int) -> Floats:
        import torch

        out = np.empty((len(tokens), width), np.float32)
        self.model.eval()
        for batch in by_length([len(t) for t in tokens], self.batch_tokens):
            with torch.inference_mode():
                out[batch] = run([tokens[i] for i in batch]).cpu().numpy()
        return out

    # The classifier ------------------------------------------------------------------------------------------------

    def classifier(self) -> torch.nn.Linear:
        """The last linear layer, (C, d), whatever the architecture calls it."""
        import torch

        found = [m for m in self.model.modules() if isinstance(m, torch.nn.Linear)]
        last = [m for m in found if m.out_features == len(self.names)][-1:]
        if not last:
            raise ModelError(f"{type(self.model).__name__}: no linear layer of {len(self.names)} classes at its end")
        return last[0]

    def set_classifier(self, weights: Floats, bias: Floats) -> None:
        """Take (d, C) weights and (C,) biases of a linear classifier on `features`."""
        import torch

        last = self.classifier()
        with torch.no_grad():
            last.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights.T)))
            if last.bias is not None:
                last.bias.copy_(torch.from_numpy(bias))

    def divide_logits(self, temperature: float) -> None:
        """Fold a temperature into the classifier: the same logits, divided by it, in the same standard folder."""
        import torch

        last = self.classifier()
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.div_(temperature)


def columns_of(config: Any) -> tuple[str, str] | None:
    """What the two texts of a pair are called that a model reads; None where it reads single texts."""
    found = getattr(config, COLUMNS, None)
    return None if found is None else (str(found[0]), str(found[1]))


def abstention_of(config: Any) -> float | None:
    """The confidence below which a saved model gives no label; None where it always gives one."""
    found = getattr(config, ABSTAIN, None)
    return None if found is None else float(found)


def threshold_of(config: Any) -> float:
    """The probability from which on a saved model's labels hold. Raises ModelError where it is none."""
    found = getattr(config, THRESHOLD, HALF)
    if isinstance(found, float) and 0 < found < 1:
        return found
    raise ModelError(f"config.json: `{THRESHOLD}` is {found!r}, and takes a number between 0 and 1, or leave it out")


def cut_tokens(tokenizer: Any, texts: Sequence[str], most: int, *, pairs: bool) -> Tokens:
    """Token numbers of each text (or joined pair) with the marks the model wants, cut at `most`."""
    parts = [split(text) for text in texts] if pairs else []
    given = ([a for a, _ in parts], [b for _, b in parts]) if parts else (list(texts),)
    found = tokenizer(*given, truncation=True, max_length=most, return_attention_mask=False, verbose=False)
    tokens = [Tokenised(ids) for ids in found["input_ids"]]
    if parts and SEGMENTS in found:
        for row, segments in zip(tokens, found[SEGMENTS], strict=True):
            row.segments = segments
    return tokens


def to_pad(tokens: Tokens) -> dict[str, Any]:
    """One batch as `tokenizer.pad` takes it."""
    given: dict[str, Any] = {"input_ids": tokens}
    if tokens[0].segments is not None:
        given[SEGMENTS] = [row.segments for row in tokens]
    return given


def most_tokens(config: Any, tokenizer: Any) -> int:
    """How many tokens of a text the model reads: as many as it was trained on, and has positions for."""
    return min(int(tokenizer.model_max_length), positions(config))


def by_length(lengths: Sequence[int], tokens: int, texts: int = 1 << 30) -> Iterator[list[int]]:
    """Indices in batches of like length, longest first: of at most `tokens` tokens, padding counted, and `texts`."""
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable").tolist()
    start = 0
    while start < len(order):
        size = min(texts, max(1, tokens // max(1, lengths[order[start]])))
        yield order[start : start + size]
        start += size


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global generators, which dropout and new weights draw from, seeded here and put back after."""
    import torch

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def check_folder(folder: Path) -> None:
    """Raises ModelError where there is no model folder."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no model folder (it has no config.json); name one that `distil` made")


def saved_config(folder: Path) -> dict[str, Any]:
    """What the config.json of a model folder says; nothing where there is none."""
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def open_encoder(folder: Path) -> tuple[Any, Any]:
    """The encoder of a folder without any classifier, on the best device, and its tokenizer. Raises ModelError."""
    import torch
    from transformers import AutoModel

    model = read_model(folder, AutoModel, "an encoder")
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), read_tokenizer(folder)


def save_as_transformers(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights (safetensors), configuration and tokenizer. Raises OSError."""
    from safetensors import SafetensorError

    try:
        with quietly():
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except SafetensorError as error:  # what it makes of a full disk
        raise OSError(str(error)) from error


def keep_word_vectors(model: Any) -> None:
    """Have a model's word vectors learn nothing: a few hundred labels touch few, and they are half of MiniLM. Of
    several models in one `ModuleList` each one's."""
    import torch

    models: list[Any] = list(model) if isinstance(model, torch.nn.ModuleList) else [model]
    for each in models:
        for parameter in each.get_input_embeddings().parameters():
            parameter.requires_grad_(False)


def has_fast_bfloat16(device: str) -> bool:
    """Whether bfloat16 saves time: elsewhere CPUs do it in software, slower than float32."""
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities: Callable[[], dict[str, Any]] | None = getattr(torch.cpu, "get_capabilities", None)
    return bool(capabilities and (found := capabilities()) and (found.get("avx512_bf16") or found.get("amx_bf16")))


def no_attention_dropout(config: Any) -> None:
    """Dropout of attention weights bars torch's fast attention on CPUs; that of the states stays."""
    for name in ("attention_probs_dropout_prob", "attention_dropout"):
        if hasattr(config, name):
            setattr(config, name, 0.0)


def read_model(folder: Path, kind: Any = None, what: str = "a sequence classifier", **options: Any) -> Any:
    """A model of class `kind`; a sequence classifier where that is None."""
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    with quietly():
        try:
            return (kind or AutoModelForSequenceClassification).from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, local_files_only=True, **options
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{folder}: cannot be loaded as {what}: {said}") from None


def read_tokenizer(folder: Path, **options: Any) -> Any:
    """The tokenizer of a model folder. Raises ModelError."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **options)
    except (OSError, ValueError, KeyError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{folder}: its tokenizer cannot be loaded: {said}") from None


@contextmanager
def quietly() -> Iterator[None]:
    """No table of weights that are new on purpose, and no progress bar; the settings are put back."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
