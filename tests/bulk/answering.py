"""Stands in for `vllm run-batch`: reads a file of requests, writes a file of answers. Standard library only.

    python answering.py -i INPUT -o OUTPUT --model MODEL
                        [--gold FILE] [--stop-after N] [--wait-for FILE] [--refuse WORD]

Appends one line a run to `runs` beside the output: its evidence of what was run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

LABELS = ("fruit", "tool", "animal")


def answered(line: dict[str, Any], model: str, refused: str | None, gold: dict[str, str]) -> dict[str, Any]:
    text = line["body"]["messages"][-1]["content"]
    asked = text.split("<text>")[-1].split("</text>")[0].strip()
    response: dict[str, Any] = {"status_code": 200, "request_id": f"vllm-batch-{uuid.uuid4().hex}", "body": None}
    error = None
    if refused is not None and refused in text:
        response["status_code"] = 400
        error = {"error": {"message": "The prompt is too long.", "type": "BadRequestError", "code": 400}}
    else:
        said = gold.get(asked) or next((label for label in LABELS if label in text), "fruit")
        response["body"] = {
            "id": "chatcmpl",
            "object": "chat.completion",
            "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22},
        }
    return {"id": f"vllm-{uuid.uuid4().hex}", "custom_id": line["custom_id"], "response": response, "error": error}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", type=Path, required=True)
    parser.add_argument("-o", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--stop-after", type=int)
    parser.add_argument("--wait-for", type=Path)
    parser.add_argument("--refuse")
    parser.add_argument("--gold", type=Path)
    options = parser.parse_args()
    lines = [json.loads(raw) for raw in options.i.read_text(encoding="utf-8").splitlines()]
    gold = json.loads(options.gold.read_text(encoding="utf-8")) if options.gold else {}
    with (options.o.parent / "runs").open("a") as runs:
        print(json.dumps({"pid": os.getpid(), "lines": [line["custom_id"] for line in lines]}), file=runs)
    print("working", flush=True)
    while options.wait_for is not None and not options.wait_for.exists():
        time.sleep(0.01)
    with options.o.open("w", encoding="utf-8") as out:
        for place, line in enumerate(lines):
            written = json.dumps(answered(line, options.model, options.refuse, gold))
            if place == options.stop_after:
                out.write(written[: len(written) // 2])
                out.flush()
                print("out of memory", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            print(written, file=out)
    sys.exit(0)


if __name__ == "__main__":
    main()
