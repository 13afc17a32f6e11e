"""Stands for vLLM's server where a test starts one by `serve`: the scripted server, with a worker process of its own.

    python -m vllm.entrypoints.openai.api_server --model M --served-model-name NAME --host H --port P --pids FILE ...

`PYTHONPATH` has to name the folder that holds this `vllm`, and the checkout. It writes its own number and its
worker's into FILE, a line each.
"""

from __future__ import annotations

import argparse
import json
import threading
from pathlib import Path

from vllm.worker import log, start_worker

from tests.servers.scripted import Faults, ScriptedServer

POLL_S = 0.01


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("model", "served-model-name", "host"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pids", type=Path, required=True)
    parser.add_argument("--gold", type=Path, help='JSON lines of {"text": ..., "label": ...}')
    parser.add_argument("--log", type=Path, help="of charges")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--opens", type=Path, help="it listens once this file is there")
    parser.add_argument("--dies", action="store_true", help="while loading")
    parser.add_argument("--loses-its-port", type=Path, help="to another program, the first time")
    parser.add_argument("--stubborn", action="store_true", help="neither it nor its worker heeds SIGTERM")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    start_worker(options.pids, stubborn=options.stubborn)
    if options.loses_its_port and not options.loses_its_port.exists():
        options.loses_its_port.touch()
        raise OSError(98, "Address already in use")
    log(f"Loading model {options.model}")
    if options.dies:
        log("CPU out of memory")
        raise ValueError("no room for the weights of this model")
    while options.opens and not options.opens.exists():
        threading.Event().wait(POLL_S)
    rows = map(json.loads, options.gold.read_text(encoding="utf-8").splitlines()) if options.gold else ()
    server = ScriptedServer(
        {row["text"]: row["label"] for row in rows},
        name=options.served_model_name,
        faults=Faults(latency_s=options.latency_ms / 1000),
        log=options.log,
        port=options.port,
    )
    with server:
        log(f"Started on {server.url}")
        threading.Event().wait()


if __name__ == "__main__":
    main()
