"""One other way to make a model of labels, for evals.distil_rivals.

    ENVIRONMENT/bin/python evals/_distillers.py NAME FOLDER

Runs in an environment of its own (`make rivals`), so it imports nothing of Labelwright. FOLDER/given.json holds the
labelled texts, the texts to label and the encoder's folder; classes go to FOLDER/said.json. Each library is set as it
comes, but for the encoder, the cut of the texts, the seed and the threads, and SetFit's number of pairs: by default
it would go over every pair of texts, a million of them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}

Given = dict[str, Any]
BATCH = 32
FOLDS = 3
PASSES_OF_SETFIT = 3
"""Times as many texts go through the encoder of SetFit as through ours: each of its pairs has two."""


def trainer(given: Given, folder: Path) -> list[int]:
    """`transformers.Trainer` on a new classifier, with the settings it comes with: three epochs, batches of eight."""
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(given["encoder"])
    torch.manual_seed(given["seed"])
    model = AutoModelForSequenceClassification.from_pretrained(given["encoder"], num_labels=len(given["names"]))

    def tokens(texts: list[str]) -> Dataset:
        cut = tokenizer(texts, truncation=True, max_length=given["tokens"])
        return Dataset.from_dict(dict(cut))

    known = tokens(given["texts"]).add_column("labels", given["labels"])
    settings = TrainingArguments(
        output_dir=str(folder / "trainer"), save_strategy="no", report_to="none", seed=given["seed"], use_cpu=True
    )
    how = {"args": settings, "data_collator": DataCollatorWithPadding(tokenizer)}
    done = Trainer(model=model, train_dataset=known, **how)
    done.train()
    return list(map(int, done.predict(tokens(given["test"])).predictions.argmax(axis=1)))


def cleanlab(given: Given, folder: Path) -> list[int]:
    """The same on the labels that cleanlab finds nothing wrong with: `CleanLearning` over the encoder's vectors."""
    from cleanlab.classification import CleanLearning
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    encoder = SentenceTransformer(given["encoder"], device="cpu")
    encoder.max_seq_length = given["tokens"]
    vectors = encoder.encode(given["texts"], batch_size=BATCH)
    times: Counter[int] = Counter(given["labels"])
    often = [label for label, n in times.items() if n >= FOLDS]  # it refuses classes rarer than that
    rows = [i for i, label in enumerate(given["labels"]) if label in often]
    labels = [often.index(given["labels"][i]) for i in rows]
    cleaner = CleanLearning(LogisticRegression(max_iter=1000, C=10), seed=given["seed"], cv_n_folds=FOLDS)
    issues = cleaner.find_label_issues(vectors[rows], labels)["is_label_issue"].tolist()
    wrong = {i for i, issue in zip(rows, issues, strict=True) if issue}
    kept = [i for i in range(len(given["labels"])) if i not in wrong]
    return trainer(
        given | {"texts": [given["texts"][i] for i in kept], "labels": [given["labels"][i] for i in kept]}, folder
    )


def setfit(given: Given, folder: Path) -> list[int]:
    """SetFit: pairs of texts draw the encoder together or apart, then a logistic regression on it."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(given["encoder"], device="cpu")
    pairs = PASSES_OF_SETFIT * given["passes"] * len(given["texts"]) // 2
    settings = TrainingArguments(
        output_dir=str(folder / "setfit"),
        max_steps=pairs // 16,
        max_length=given["tokens"],
        seed=given["seed"],
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
    )
    known = Dataset.from_dict({"text": given["texts"], "label": given["labels"]})
    Trainer(model=model, args=settings, train_dataset=known).train()
    return list(map(int, model.predict(given["test"], batch_size=BATCH)))


LIBRARIES: dict[str, tuple[str, Callable[[Given, Path], list[int]]]] = {
    "setfit": ("setfit", setfit),
    "trainer": ("transformers", trainer),
    "cleanlab": ("cleanlab", cleanlab),
}


def main() -> None:
    import torch

    name, folder = sys.argv[1], Path(sys.argv[2])
    package, label = LIBRARIES[name]
    given: Given = json.loads((folder / "given.json").read_text(encoding="utf-8"))
    torch.set_num_threads(given["threads"])
    began = time.perf_counter()
    said = label(given, folder)
    told = {"said": said, "seconds": time.perf_counter() - began, "library": f"{package} {metadata.version(package)}"}
    (folder / "said.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
