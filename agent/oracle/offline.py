"""Answers files of questions with one vLLM that is loaded once, by `vllm.LLM.chat` and without a server.

    python offline.py SPOOL MODEL ARGS

ARGS is JSON: what `vllm.LLM` is given beside the model. Once the model is loaded there is a file SPOOL/ready, and
orders in SPOOL (see `Order`) are worked off, the first by name first, until the process is ended. While there is a
file SPOOL/stop nothing more is begun. Questions and answers are lines in the format of OpenAI's Batch API.

It is run by its path, under the interpreter of the environment that has vLLM, where there is no Labelwright: nothing
of ours may be imported here. It knows no money. `agent.oracle.spool` is the other side.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

ORDER, TAKEN, DONE, LOST = ".order", ".taken", ".done", ".lost"  # how far an order is, as the end of its file's name
READY, STOP = "ready", "stop"
POLL_S = 0.1
FIRST = 64  # questions that are asked together at first
SLICE_S = 20.0  # how long so many as are asked together should take: what a kill loses, and Ctrl-C waits for
GROWTH = 4  # most times as many as before

# fields of a request that go to vllm.SamplingParams under their own names
SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty", "seed",
    "min_tokens", "bad_words", "stop_token_ids", "ignore_eos", "allowed_token_ids", "skip_special_tokens",
    "spaces_between_special_tokens", "thinking_token_budget",
)  # fmt: skip
# those that a model's generation_config.json may set: vLLM's server heeds it, LLM.chat with parameters does not
DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "stop_token_ids")
TEMPLATE = ("chat_template", "add_generation_prompt", "continue_final_message")  # fields that go to LLM.chat
EXTRA = (*SAMPLING[1:], *TEMPLATE, "chat_template_kwargs", "reasoning_effort", "user")  # that a job file may add
FIELDS = frozenset({
    *EXTRA, "model", "messages", "temperature", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs",
    "structured_outputs", "response_format",
})  # fmt: skip
# whose fault an error of LLM.chat is, by the names of its classes: they moved between versions of vLLM
OF_A_QUESTION = frozenset({"VLLMClientError", "ValueError", "TypeError", "TemplateError"})
LEAST_LOGPROB = -9999.0  # as vLLM's server writes one of minus infinity, which JSON has not

Line = Mapping[str, Any]


class Chat:
    """A loaded `vllm.LLM` that answers lines."""

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self._defaults = llm.get_default_sampling_params()

    def answers(self, lines: Sequence[Line]) -> list[dict[str, Any]]:
        """A line for each, in order. What vLLM refuses is a line that says so, and the others are answered.

        Raises whatever the engine dies of.
        """
        alike: dict[str, list[int]] = {}
        for place, line in enumerate(lines):
            alike.setdefault(json.dumps(_template(line["body"]), sort_keys=True), []).append(place)
        found: dict[int, Any] = {}
        for places in alike.values():
            found |= zip(places, self._answered([lines[i] for i in places]), strict=True)
        return [self._written(line, found[place]) for place, line in enumerate(lines)]

    def _answered(self, lines: Sequence[Line], *, look: bool = True) -> list[Any]:
        """What came of each: vLLM's output, or an error.

        One question that vLLM refuses ends the whole call, before any answer. So those that are too long are sorted
        out then, if there are any, and what is left is asked in halves until each bad one is alone.
        """
        try:
            return self._chat(lines)
        except Exception as error:
            if not OF_A_QUESTION & {kind.__name__ for kind in type(error).__mro__}:
                raise
            if len(lines) == 1:
                return [error]
        refused = [self._too_long(line["body"]) if look else None for line in lines]
        rest = [line for line, error in zip(lines, refused, strict=True) if error is None]
        if len(rest) < len(lines):
            answered = iter(self._answered(rest, look=False) if rest else ())
            return [next(answered) if error is None else error for error in refused]
        half = len(lines) // 2
        return [*self._answered(lines[:half], look=False), *self._answered(lines[half:], look=False)]

    def _chat(self, lines: Sequence[Line]) -> list[Any]:
        bodies = [line["body"] for line in lines]
        outputs = self._llm.chat(
            [body["messages"] for body in bodies], [self._params(body) for body in bodies], **_template(bodies[0])
        )
        if len(outputs) != len(lines):  # what an earlier call left in the engine: whose they are nobody knows
            raise RuntimeError(f"vLLM gave {len(outputs)} answers to {len(lines)} questions")
        return list(outputs)

    def _params(self, body: Mapping[str, Any]) -> Any:
        """vllm.SamplingParams of a request. Raises ValueError for a field that nothing is made of."""
        from vllm import SamplingParams

        if unknown := sorted(body.keys() - FIELDS):
            raise ValueError(f"an offline vLLM can make nothing of `{unknown[0]}`")
        most = body.get("max_completion_tokens", body.get("max_tokens"))
        if type(most) is not int:
            raise ValueError("a request without a limit of its answer (`max_completion_tokens`)")
        given = {name: getattr(self._defaults, name) for name in DEFAULTS}
        given |= {name: body[name] for name in SAMPLING if name in body}
        logprobs = body.get("top_logprobs", 0) if body.get("logprobs") else None
        return SamplingParams(**given, max_tokens=most, logprobs=logprobs, structured_outputs=_structure(body))

    def _too_long(self, body: Mapping[str, Any]) -> ValueError | None:
        """The error of a prompt that leaves no room for an answer; None where it has room, or nobody can tell."""
        most = self._llm.llm_engine.model_config.max_model_len
        tokenizer, told = self._llm.get_tokenizer(), {"add_generation_prompt": True, **_template(body)}
        told |= told.pop("chat_template_kwargs", {})
        try:
            prompt = tokenizer.apply_chat_template(body["messages"], tokenize=False, **told)
            count = len(tokenizer.encode(prompt, add_special_tokens=False))
        except Exception:  # of a template or a tokenizer of its own kind: vLLM says what is wrong, if anything is
            return None
        if count < most:
            return None
        return ValueError(f"the prompt is too long: it has {count} tokens, and `max_model_len` is {most}")

    def _written(self, line: Line, found: Any) -> dict[str, Any]:
        if isinstance(found, Exception):
            return _refusal(line, 400, "BadRequestError", str(found))
        chosen = found.outputs[0]
        if chosen.finish_reason in ("error", "abort"):
            return _refusal(line, 500, "InternalServerError", f"vLLM ended it: {chosen.finish_reason}")
        body, prompt, answer = line["body"], len(found.prompt_token_ids), len(chosen.token_ids)
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
        }
        if found.num_cached_tokens is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": found.num_cached_tokens}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": chosen.text},
            "logprobs": {"content": self._logprobs(chosen, body["top_logprobs"])} if body.get("logprobs") else None,
            "finish_reason": chosen.finish_reason or "stop",
        }
        return _row(line, 200, {
            "id": f"chatcmpl-{line['custom_id']}", "object": "chat.completion", "created": int(time.time()),
            "model": body["model"], "choices": [choice], "usage": usage,
        })  # fmt: skip

    def _logprobs(self, chosen: Any, most: int) -> list[dict[str, Any]]:
        """As vLLM's server writes them: the token that was taken comes first, and counts as one of the `most`."""
        content = []
        for token_id, seen in zip(chosen.token_ids, chosen.logprobs, strict=True):
            written = {i: self._token(i, one) for i, one in seen.items()}
            content.append({**written[token_id], "top_logprobs": list(written.values())[:most]})
        return content

    def _token(self, token_id: int, seen: Any) -> dict[str, Any]:
        token = seen.decoded_token
        if token is None:
            token = self._llm.get_tokenizer().decode([token_id])
        raw = list(token.encode("utf-8", errors="replace"))
        return {"token": token, "logprob": max(seen.logprob, LEAST_LOGPROB), "bytes": raw}


def _template(body: Mapping[str, Any]) -> dict[str, Any]:
    """What LLM.chat is told about the chat template; the same for all questions of one call."""
    told = {name: body[name] for name in TEMPLATE if name in body}
    variables = dict(body.get("chat_template_kwargs") or {})
    if (effort := body.get("reasoning_effort")) is not None:  # as vLLM's server passes it on
        variables = {"reasoning_effort": effort, "enable_thinking": effort != "none"} | variables
    return told | ({"chat_template_kwargs": variables} if variables else {})


def _structure(body: Mapping[str, Any]) -> Any:
    """What an answer is held to, None where it is free."""
    from vllm.sampling_params import StructuredOutputsParams

    wanted = dict(body.get("structured_outputs") or {})
    asked = body.get("response_format") or {"type": "text"}
    if asked["type"] == "json_schema":
        wanted["json"] = asked["json_schema"]["schema"]
    elif asked["type"] != "text":
        raise ValueError(f"an offline vLLM knows no `response_format` of type {asked['type']}")
    return StructuredOutputsParams(**wanted) if wanted else None


def _row(line: Line, status: int, body: Any) -> dict[str, Any]:
    response = {"status_code": status, "request_id": line["custom_id"], "body": body}
    return {"id": f"vllm-{line['custom_id']}", "custom_id": line["custom_id"], "response": response, "error": None}


def _refusal(line: Line, status: int, kind: str, said: str) -> dict[str, Any]:
    return _row(line, status, {"error": {"message": said, "type": kind}})


def _never_run(line: Line) -> dict[str, Any]:
    said = "the file's time was used up before this question was begun"
    return {"custom_id": line["custom_id"], "response": None, "error": {"code": "batch_expired", "message": said}}


# Orders -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Order:
    """A file of questions to be answered, as a file of JSON in the spool. Its name says how far it is.

    It waits as NAME.order, is worked on as NAME.taken, and is NAME.done once `output` is there and whole. Until then
    what was answered is in `part`. One that was stopped waits again, and goes on where it was. NAME.lost is what the
    other side makes of one whose engine died.

    Attributes:
        path: where it is now.
        limit_s: most seconds that it may take; what is not begun by then is not run.
        seconds: how long it was worked on.
    """

    path: Path
    input: Path
    output: Path
    limit_s: float
    seconds: float = 0.0

    @classmethod
    def read(cls, path: Path) -> Order:
        """Raises OSError, ValueError, KeyError."""
        said = json.loads(path.read_text(encoding="utf-8"))
        return cls(path, Path(said["input"]), Path(said["output"]), float(said["limit_s"]), float(said["seconds"]))

    @classmethod
    def take(cls, spool: Path) -> Order | None:
        """The first that waits, taken; None where none does."""
        for path in sorted(spool.glob(f"*{ORDER}")):
            with suppress(FileNotFoundError):  # withdrawn at this moment
                order = cls.read(path.rename(path.with_suffix(TAKEN)))
                order.write()  # since when it is worked on, says the time of its file
                return order
        return None

    @property
    def part(self) -> Path:
        return self.output.with_name(f"{self.output.name}.part")

    def write(self) -> None:
        """Whole or not at all."""
        said: dict[str, Any] = {"input": str(self.input), "output": str(self.output)}
        said |= {"limit_s": self.limit_s, "seconds": self.seconds}
        part = self.path.with_name(f".{self.path.name}.part")
        part.write_text(json.dumps(said) + "\n", encoding="utf-8")
        part.replace(self.path)

    def move(self, state: str) -> None:
        """Give it another state."""
        self.path = self.path.rename(self.path.with_suffix(state))

    def finish(self) -> None:
        """Everything is answered."""
        self.part.replace(self.output)
        self.move(DONE)


@dataclass(slots=True)
class Pace:
    """How many questions are asked together: as many as take a while, and as a file has time for.

    Attributes:
        before: so many were asked together last; 0 before the first time.
        took: seconds that it took.
    """

    before: int = 0
    took: float = 0.0

    def together(self, left_s: float) -> int:
        """How many to ask next; 0 where no time is left."""
        if not self.before:
            return FIRST if left_s > 0 else 0
        rate = self.before / max(self.took, 1e-6)
        return max(0, int(min(self.before * GROWTH, max(1.0, rate * SLICE_S), rate * left_s)))


def work(chat: Chat, order: Order, stop: Path, pace: Pace) -> None:
    """Answer what an order has left, some questions at a time, until it is done or `stop` is there."""
    all_lines = [json.loads(raw) for raw in order.input.read_bytes().splitlines()]
    with order.part.open("ab+") as out:
        out.seek(0)
        kept = {json.loads(raw)["custom_id"] for raw in out}
        lines = [line for line in all_lines if line["custom_id"] not in kept]
        while lines and not stop.exists():
            print(f"{order.path.stem}: {len(all_lines) - len(lines)} of {len(all_lines)} answered", flush=True)
            size = pace.together(order.limit_s - order.seconds)
            if not size:
                _keep(out, map(_never_run, lines))
                lines = []
                break
            began = time.monotonic()
            some, lines = lines[:size], lines[size:]
            _keep(out, chat.answers(some))
            took = time.monotonic() - began
            if len(some) == size:  # a few that are left over say nothing of how fast many are
                pace.before, pace.took = size, took
            order.seconds += took
            order.write()
    if lines:
        order.move(ORDER)
    else:
        order.finish()
        print(f"{order.path.stem}: done in {order.seconds:.1f} s", flush=True)


def _keep(out: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add lines to a file, and see them onto the disk."""
    for row in rows:
        out.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    out.flush()
    os.fsync(out.fileno())


def main(spool: Path, model: str, args: Mapping[str, Any]) -> None:
    """Load the model, and answer orders until somebody ends the process."""
    here = Path(__file__).resolve().parent  # else a module of vLLM's could find one of ours beside this file
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    from vllm import LLM

    chat, pace = Chat(LLM(model=model, **args)), Pace()
    (spool / READY).touch()
    print(f"ready for orders in {spool}", flush=True)
    while True:
        order = None if (spool / STOP).exists() else Order.take(spool)
        if order is None:
            time.sleep(POLL_S)
        else:
            work(chat, order, spool / STOP, pace)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
