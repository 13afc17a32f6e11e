"""One other library, labelling a file of texts: for evals.throughput.

    ENVIRONMENT/bin/python evals/_labellers.py NAME FOLDER URL

Runs in an environment of its own, so it imports nothing of Labelwright. FOLDER/texts.jsonl holds the texts; labels go
to FOLDER/labels.jsonl, a line a text. Each library is set up for throughput as its own documentation says, with 256
requests in flight where it can have several, no cache and no telemetry; prompts put a text between the same marks.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

IN_FLIGHT = 256
PLENTY = 10_000_000  # a minute, of requests and of tokens: nothing is to wait for an allowance
LABELS = ("refund", "exchange", "complaint", "praise")
SYSTEM = "You label customer mail. " + " ".join(f"{name}: mail that is about a {name}." for name in LABELS)
MODEL = "scripted"

Labels = list[str | None]
Label = Callable[[list[str], Path, str], Labels]


def fenced(text: str) -> str:
    return f"<text>\n{text}\n</text>"


def curator() -> Label:
    """Bespoke Curator: `LLM` with a `prompt` and a `parse`, the OpenAI backend, no limits a minute."""
    from bespokelabs import curator

    class Labeller(curator.LLM):  # type: ignore[misc]
        def prompt(self, input: dict[str, str]) -> str:  # noqa: A002 - so it calls it
            return f"{fenced(input['text'])}\nLabel:"

        def parse(self, input: dict[str, str], response: str) -> dict[str, str]:  # noqa: A002
            return {"text": input["text"], "label": response}

    def label(texts: list[str], folder: Path, url: str) -> Labels:
        labeller = Labeller(
            model_name=MODEL,
            backend="openai",
            system_prompt=SYSTEM,
            generation_params={"max_tokens": 8, "temperature": 0},
            backend_params={
                "base_url": url,
                "api_key": "none",
                "max_requests_per_minute": PLENTY,
                "max_tokens_per_minute": PLENTY,
                "max_concurrent_requests": IN_FLIGHT,
                "max_retries": 0,
            },
        )
        found = labeller([{"text": text} for text in texts], working_dir=str(folder / "curator"))
        rows = {row["text"]: row["label"] for row in getattr(found, "dataset", found)}
        return [rows.get(text) for text in texts]

    return label


def distilabel() -> Label:
    """distilabel: a pipeline of its own `TextClassification`, in batches of 256, whose requests leave together."""
    from distilabel.models.llms import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextClassification

    def label(texts: list[str], folder: Path, url: str) -> Labels:
        with Pipeline(name="labels", cache_dir=str(folder / "distilabel")) as pipeline:
            rows = LoadDataFromDicts(data=[{"text": fenced(text)} for text in texts], batch_size=IN_FLIGHT)
            llm = OpenAILLM(
                model=MODEL,
                base_url=url,
                api_key="none",
                max_retries=0,
                generation_kwargs={"max_new_tokens": 16, "temperature": 0.0},
            )
            classify = TextClassification(
                llm=llm,
                context=SYSTEM,
                available_labels={name: f"mail that is about a {name}" for name in LABELS},
                use_default_structured_output=False,
                input_batch_size=IN_FLIGHT,
                add_raw_input=False,
                add_raw_output=False,
            )
            rows >> classify
        found = pipeline.run(use_cache=False)["default"]["train"]
        known = dict(zip(found["text"], found["labels"], strict=True))
        return [known.get(fenced(text)) for text in texts]

    return label


def autolabel() -> Label:
    """Refuel Autolabel: a classification job of its own. It asks one text after the other, whatever is set."""
    import pandas as pd
    from autolabel import AutolabelDataset, LabelingAgent

    def label(texts: list[str], folder: Path, url: str) -> Labels:
        os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": url, "OPENAI_BASE_URL": url}
        config = {
            "task_name": "Letters",
            "task_type": "classification",
            "dataset": {"label_column": "label", "delimiter": ","},
            "model": {"provider": "openai", "name": "gpt-3.5-turbo", "params": {"max_tokens": 8, "temperature": 0}},
            "prompt": {
                "task_guidelines": SYSTEM,
                "labels": list(LABELS),
                "example_template": "Input: <text>\n{text}\n</text>\nOutput: {label}",
            },
        }
        os.chdir(folder)
        agent = LabelingAgent(config, generation_cache=None, transform_cache=None, console_output=False)
        table = pd.DataFrame({"text": texts, "label": [""] * len(texts)})
        found = agent.run(AutolabelDataset(table, config=config), skip_eval=True)
        column = next(name for name in found.df.columns if name.endswith("_label") and name != "label")
        return [str(value).strip() for value in found.df[column]]

    return label


LIBRARIES: dict[str, tuple[str, Callable[[], Label]]] = {
    "curator": ("bespokelabs-curator", curator),
    "distilabel": ("distilabel", distilabel),
    "autolabel": ("refuel-autolabel", autolabel),
}


def main() -> None:
    name, folder, url = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    package, load = LIBRARIES[name]
    label = load()
    began = time.perf_counter()
    given = (folder / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    texts: list[str] = [json.loads(line)["text"] for line in given]
    labels = label(texts, folder, url)
    with (folder / "labels.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": t, "label": v}) + "\n" for t, v in zip(texts, labels, strict=True))
    seconds = time.perf_counter() - began
    print("\n" + json.dumps({"library": f"{package} {metadata.version(package)}", "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
