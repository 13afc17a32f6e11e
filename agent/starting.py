"""A job file to start from: `labelwright init`."""

from __future__ import annotations

from pathlib import Path

from agent.errors import DataError

JOB_FILE = """\
# A Labelwright job. Paths are relative to this file. ${NAME} is replaced by the environment variable NAME.
# Look it over with `labelwright check`, price it with `labelwright estimate --pilot 50`, then `labelwright run`.
name: first-job

task:
  kind: classification          # or multilabel, pairs, extractive_qa, spans, regression, generation, or module:Name
  labels:                       # names, each with a sentence that says when it applies
    card_arrival: asks when or whether a card comes
    lost_or_stolen_card: reports a lost or stolen card
  # other: true                 # a label more, for texts that none of these fits
  guidelines: ""                # a few lines for the oracle and the reviewers, or the path of a .md or .txt file

data:
  pool: texts.csv               # .csv .tsv .jsonl .parquet, a folder of them, an Arrow data set, or a hub id
  text: text                    # the column that holds the text
  # second: hypothesis          # the column of the other text, with `kind: pairs`
  # image: photo                # the column of a picture's path, beside the text (docs/tasks/images.md)
  # id: id                      # a column of ids; by default an id is made from the content
  # seed: seed.csv              # a few labelled texts that you trust: worked examples for the oracle
  # gold: gold.csv              # labelled texts for measuring only
  # ask_gold: true              # ask the first oracle about them too; every: each oracle, at its price
  # label: label                # the label column of seed and gold
  # max_tokens: 512             # longer texts are over-long
  # over_long: cut              # or skip, or refuse
  # redact: true                # hide e-mail, phone, card and IBAN from oracles (docs/redaction.md)

# student: none                 # only label: nothing is chosen, learnt or distilled (docs/labels-only.md)
student:
  encoder: builtin:minilm       # or a folder with a transformers encoder, or a hub id
  # refresh: false              # do not tune a copy of the encoder on the labels as they grow
  # class_names: false          # do not learn from the classes' names
  # unlabelled: off             # do not learn from the student's own surest guesses
  # label_noise: ignore         # let labels that look wrong count like the others

oracle:                         # one, or a list from cheap to dear
  name: main
  base_url: http://127.0.0.1:8000/v1         # or a list, where several servers serve the model (docs/endpoints.md)
  model: qwen2.5-7b-instruct
  # serve: {model: Qwen/Qwen2.5-7B-Instruct, python: /opt/vllm/bin/python}   # in place of base_url (docs/serve.md)
  # api_key_env: OPENAI_API_KEY # the *name* of the environment variable that holds the key
  price: {input: 0.05, cached_input: 0.01, output: 0.10}   # dollars per million tokens; or {gpu_hour: 2.0}
  # max_concurrency: 64         # a ceiling: how many are in flight is found out
  # limits: {requests_per_minute: 500, tokens_per_minute: 200000}   # what your account allows
  # attempts: 3                 # failures of one text, after which it waits for a person
  # tokenizer: Qwen/Qwen2.5-7B-Instruct   # the model's own (hub id or folder): less is set aside for each question
  # timeout_s: 60
  # format: {orders: 2}         # how questions are put: `labelwright pilot` finds out (docs/formats.md)
  # answers: auto               # how answers are held to the labels: choice, json_schema, plain

people:
  threshold: 0.8                # an answer less sure than this goes to a person
  target_error: 0.05            # what the threshold aims at once people have labelled enough
  audit: 0.05                   # share of accepted answers that a person judges blind all the same
  # escalate: always            # ask the next oracle at once, whatever that brings for its money (docs/cascade.md)
  # suspects: 0.02              # of accepted labels, shown to people at the end since they look wrong (docs/doubt.md)
  # votes: 2                    # people who label each text that waits; a lead decides where they disagree
  # honey_pots: 0.05            # chance that a text comes with one whose answer is known: how far a person is right
  # dollars_a_minute: 0.5       # what a person's minute costs, for the report

selection:
  strategy: adaptive            # or one of docs/strategies.md (margin, badge, k_center ...), or package.module:Name
  # options: {candidates: 5000} # the strategy's own, by docs/strategies.md
  # knowledge: entities.txt     # entities or triples to cover; needs `strategy: knowledge`
  # batch: auto                 # texts of a round
  # cold_start: auto            # texts of the first one
  random_share: 0.2             # always drawn by chance: what the report's comparison rests on
  # unbiased: true              # learn with weights that make up for choosing, where chance chose (strategy power)

budget:
  dollars: 5                    # a hard cap: no request leaves without its worst case being set aside
  # minutes: 60                 # of people: once they are used up, nothing more is offered for review

stop:
  agreement: 0.99               # stop when successive students agree this much; null: only at the cap
  # target_accuracy: 0.95       # or when the student is surely this good, on gold or on what people audit
  # gain_per_dollar: 0.5        # or when the next dollar is expected to buy fewer points of accuracy than this
  # max_labels: 2000
  # max_rounds: 20

seed: 0                         # of every random choice
# mode: batch                   # ask in batches: half the price at most providers, and within a day
# store: sqlite:///labels.db    # or postgresql://user@host/db: by default a file in the output folder
output: out                     # store, model, report and labels are kept here
"""


def write_job_file(path: Path, *, force: bool = False) -> None:
    """Raises DataError where the file is there already, or cannot be written."""
    if path.exists() and not force:
        raise DataError(f"{path}: is there already; give another name, or --force to write over it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(JOB_FILE, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from None
