"""Texts into a model of your own: a causal or an encoder-decoder model learns to write them, saved as a standard
folder.

What it learns is low-rank changes of its linear layers (LoRA; Hu et al. 2021, arXiv:2106.09685), which are merged
into its weights at the end, so that the folder needs nothing but `transformers`.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.distill.card import Card
from agent.distill.checkpoint import PACE, Checkpoint, Note, Pace
from agent.distill.distil import save_with_card
from agent.distill.epochs import PLAIN, Manner, Passes, go_down
from agent.distill.fingerprint import fingerprint_of
from agent.distill.network import seeded
from agent.distill.shown import public_name
from agent.distill.training import Progress
from agent.distill.writer import Asked, Writer
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.records import Floats
from agent.tasks.overlap import missing

if TYPE_CHECKING:
    import torch

NOT_ASKED = -100
"""In the place of a token that is not to be learnt, as `transformers` has it: the text that is read, and padding."""
RATE_TIMES = 10
"""So many times a classifier's learning rate: what is learnt is new and small, and the model itself stays."""
AT_ONCE = 4
"""Texts that go through the model together while it learns."""
PASSES = Passes(seen=1500, fewest=2, most=8)


@dataclass(frozen=True)
class TextLessons:
    """Texts, what is to be written of each, and (n,) float32 weights above zero."""

    texts: Sequence[str]
    answers: Sequence[str]
    weights: Floats


def with_lora(writer: Writer, rank: int, seed: int) -> Any:
    """The model with changes of that rank, which alone are learnt, at every linear layer but the last. Raises
    ExtraMissing, and ModelError for a kind of model that has none."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise missing("peft") from None
    kind = "CAUSAL_LM" if writer.is_causal else "SEQ_2_SEQ_LM"
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type=kind)
    with seeded(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peft says of names that are new, and of settings that it mends itself
        try:
            return get_peft_model(writer.model, settings)
        except ValueError as error:
            said = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise ModelError(f"distil.model: cannot be taught by LoRA: {said}") from None


def train(
    writer: Writer,
    lessons: TextLessons,
    *,
    rank: int,
    epochs: int,
    rate: float,
    seed: int,
    progress: Progress,
    manner: Manner = PLAIN,
    checkpoint: Checkpoint | None = None,
) -> list[float]:
    """Teach a model to write, in place; the same arguments on one machine give the same weights. Only what is to be
    written is learnt, not what is read.

    Returns the mean loss of a token in nats, for each epoch.
    """
    read, answers = [writer.read(t) for t in lessons.texts], [writer.answer(a) for a in lessons.answers]
    model = with_lora(writer, rank, seed)
    loss_of_batch = _causal if writer.is_causal else _encoder_decoder

    def loss_of(batch: list[int]) -> tuple[torch.Tensor, float]:
        pairs = [(read[i], answers[i]) for i in batch]
        logits, wanted = loss_of_batch(writer, model, pairs)
        return _summed(logits, wanted, lessons.weights[batch])

    lengths = [len(r) + len(a) for r, a in zip(read, answers, strict=True)]
    losses = go_down(
        model,
        lengths,
        loss_of,
        epochs=epochs,
        rate=rate,
        seed=seed,
        dropout=False,
        progress=progress,
        manner=manner,
        checkpoint=checkpoint,
    )
    writer.model = model.merge_and_unload().eval()
    return losses


def _causal(
    writer: Writer, model: Any, pairs: Sequence[tuple[list[int], list[int]]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, t, V) logits and the (b, t) tokens that they are to foretell. Where the model can, only places at which
    some answer stands are foretold: with a large vocabulary the others would take most of the memory."""
    import torch

    batch = writer.padded([r + a for r, a in pairs], left=False)
    wanted = torch.full_like(batch["input_ids"], NOT_ASKED)
    for row, (r, a) in enumerate(pairs):
        wanted[row, len(r) - 1 : len(r) + len(a) - 1] = torch.tensor(a, device=wanted.device)
    if "logits_to_keep" in inspect.signature(model.get_base_model().forward).parameters:
        places = (wanted != NOT_ASKED).any(dim=0).nonzero()[:, 0]
        return model(**batch, logits_to_keep=places).logits, wanted[:, places]
    return model(**batch).logits, wanted


def _encoder_decoder(
    writer: Writer, model: Any, pairs: Sequence[tuple[list[int], list[int]]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same; what is read and what is written are apart."""
    import torch

    batch = writer.padded([r for r, _ in pairs], left=False)
    said = writer.padded([a for _, a in pairs], left=False)
    wanted = torch.where(said["attention_mask"] > 0, said["input_ids"], NOT_ASKED)
    return model(**batch, labels=wanted).logits, wanted


def _summed(logits: torch.Tensor, wanted: torch.Tensor, weights: Floats) -> tuple[torch.Tensor, float]:
    """The sum of all tokens' losses, each with its text's weight, and the sum of the weights."""
    import torch

    each = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), wanted.flatten(), reduction="none", ignore_index=NOT_ASKED
    ).view(wanted.shape)
    counts = torch.from_numpy(np.ascontiguousarray(weights)).to(each.device)[:, None] * (wanted != NOT_ASKED)
    return (each * counts).sum(), float(counts.sum())


def distil_texts(
    lessons: TextLessons,
    asked: Asked,
    settings: DistilSettings,
    *,
    folder: Path,
    seed: int,
    facts: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
    note: Note = lambda said: None,
    pace: Pace = PACE,
) -> Writer:
    """Teach the model that `settings` names to write, and save a standard `transformers` folder with its card.

    Where a process is killed and another one is started it goes on, and ends with the same weights.

    Args:
        lessons: what is learnt.
        asked: how it is asked, now and later.
        settings: model, rank, epochs, and a learning rate, which counts `RATE_TIMES` here.
        folder: replaced in one step; until then, and after any failure, the old one stands.
        facts: for the model card, see `agent.distill.card.Card`.
        progress: told (texts seen, texts to see).
        note: told that it goes on.
        pace: how often it is kept where it stands.

    Raises ModelError where the model cannot be used or the folder not be written; ExtraMissing.
    """
    assert settings.model is not None
    began = time.monotonic()
    writer = Writer.open(settings.model, asked)
    epochs = PASSES.over(len(lessons.texts), settings.epochs)
    rate, rank = RATE_TIMES * settings.rate(), settings.lora_rank
    what = [list(lessons.texts), list(lessons.answers), asdict(asked), seed]
    checkpoint = Checkpoint(folder, fingerprint_of(what, [lessons.weights], settings, _key(writer)), pace, note)
    losses = train(
        writer,
        lessons,
        rank=rank,
        epochs=epochs,
        rate=rate,
        seed=seed,
        progress=progress,
        manner=_by_few(Manner.of(settings)),
        checkpoint=checkpoint,
    )
    training = {
        "model": public_name(settings.model),
        "seed": seed,
        "epochs": epochs,
        "learning rate": rate,
        "rank of what was learnt (LoRA)": rank,
        "texts learnt from": len(lessons.texts),
        "loss of a token at the end, in nats": round(losses[-1], 4),
        "seconds": round(time.monotonic() - began, 1),
    }
    card = Card((), False, settings.model, asked.most_read, training, (), facts or {}, writes=how_to_use(writer))
    save_with_card(writer, card, folder)
    return writer


def _by_few(manner: Manner) -> Manner:
    """The same steps, a few texts at a time: such a model keeps much more of each until it has gone back than a small
    encoder does. Sixteen abstracts at once took 11 GB with a model of 135 million weights."""
    few = min(manner.batch, AT_ONCE)
    return replace(manner, batch=few, accumulate=manner.accumulate * math.ceil(manner.batch / few))


def _key(writer: Writer) -> str:
    """A hash of the weights that it begins with: only what is learnt is kept on the way."""
    import torch

    hashed = hashlib.sha256()
    for name, weight in writer.model.state_dict().items():
        hashed.update(name.encode())
        hashed.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()


def how_to_use(writer: Writer) -> str:
    """Python that asks the saved model with nothing but `transformers`, as it was asked while it was taught."""
    kind = "AutoModelForCausalLM" if writer.is_causal else "AutoModelForSeq2SeqLM"
    words = 'INSTRUCTION + "\\n\\n" + "a text"' if writer.asked.instruction else '"a text"'
    chats = writer.is_causal and writer.tokenizer.chat_template is not None
    prompt = f'{words} + "\\n\\n"' if writer.is_causal else words
    if chats:
        turns = f'[{{"role": "user", "content": {words}}}]'
        prompt = f"read.apply_chat_template({turns}, tokenize=False, add_generation_prompt=True)"
    marks = ", add_special_tokens=False" if chats else ""
    start = 'asked["input_ids"].shape[1]' if writer.is_causal else "0"
    lines = [
        f"from transformers import {kind}, AutoTokenizer",
        "",
        'read = AutoTokenizer.from_pretrained("THIS_FOLDER")',
        f'model = {kind}.from_pretrained("THIS_FOLDER")',
        *([f"INSTRUCTION = {writer.asked.instruction!r}"] if writer.asked.instruction else []),
        f"prompt = {prompt}",
        f'asked = read(prompt, return_tensors="pt"{marks})',
        f"read.decode(model.generate(**asked)[0, {start}:], skip_special_tokens=True)",
    ]
    return "\n".join(lines)
