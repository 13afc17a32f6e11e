"""In what endpoints of OpenAI's protocol differ: what they refuse, in whose words, and how they dress an answer.

The wordings are those that the servers' own issues and documentation quote; docs/endpoints.md says where.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.servers.model import Form, Token, pieces
from tests.servers.protocol import Response

WORDINGS = ("openai", "mistral", "vllm", "litellm", "llamacpp")
WRAPS = ("fence", "thought", "label", "explained")
UNKNOWN_TO_OPENAI = ("structured_outputs",)


@dataclass(frozen=True)
class Quirks:
    """Nothing is charged for what is refused.

    Attributes:
        refuses: fields that are refused; `both` refuses the two names of the limit together.
        wording: whose words a refusal is in.
        no_system: HTTP status with which a system message is refused; 0 takes it.
        most_logprobs: more alternatives a token are refused.
        wraps: how an answer is dressed that no schema holds.
        explains: tokens of an explanation after such an answer.
        thinks: tokens of a thought before every answer, kept apart as `reasoning_content`; the limit counts them.
    """

    refuses: frozenset[str] = frozenset()
    wording: str = "openai"
    no_system: int = 0
    most_logprobs: int | None = None
    wraps: str = ""
    explains: int = 0
    thinks: int = 0

    def refusal(self, body: Mapping[str, Any]) -> Response | None:
        """What is wrong with a request, the first thing alone."""
        limits = ("max_tokens", "max_completion_tokens")
        if "both" in self.refuses and all(name in body for name in limits):
            said = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
            return _openai(said, "max_tokens", "invalid_parameter_combination")
        for name in sorted(self.refuses & body.keys()):
            return self._refused(name, body)
        if self.most_logprobs is not None and body.get("top_logprobs", 0) > self.most_logprobs:
            said = f"Invalid value for 'top_logprobs': must be less than or equal to {self.most_logprobs}."
            return _openai(said, "top_logprobs", None)
        if self.no_system and any(m.get("role") == "system" for m in body["messages"]):
            return self._no_system()
        return None

    def _refused(self, name: str, body: Mapping[str, Any]) -> Response:
        if self.wording == "mistral":
            wrong = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
            detail = {"detail": [wrong | {"input": body[name]}]}
            return Response.of(422, _plain(detail, "invalid_request_error", None))
        if self.wording == "vllm":
            listed = {"type": "extra_forbidden", "loc": ("body", name), "msg": "Extra inputs are not permitted"}
            return Response.of(400, _plain(str([listed | {"input": body[name]}]), "BadRequestError", 400))
        if self.wording == "litellm":
            names = [n for n in (name, f"top_{name}") if n in body]
            said = (
                f"litellm.UnsupportedParamsError: some_provider does not support parameters: {names}, for model=some"
                ". To drop these, set `litellm.drop_params=True` or for proxy:\n\n`litellm_settings:\n drop_params: "
                f"true`\n. \n If you want to use these params dynamically send allowed_openai_params={names} in your "
                "request.. Received Model Group=some"
            )
            return Response.of(400, {"error": {"message": said, "type": "None", "param": None, "code": "400"}})
        if name in UNKNOWN_TO_OPENAI:
            return _openai(f"Unrecognized request argument supplied: {name}", None, None)
        if name == "temperature":
            said = (
                f"Unsupported value: 'temperature' does not support {body[name]} with this model. Only the default "
                "(1) value is supported."
            )
            return _openai(said, name, "unsupported_value")
        other = {"max_tokens": " Use 'max_completion_tokens' instead."}.get(name, "")
        said = f"Unsupported parameter: '{name}' is not supported with this model.{other}"
        return _openai(said, name, "unsupported_parameter")

    def _no_system(self) -> Response:
        if self.wording == "llamacpp":
            said = (
                "\n------------\nWhile executing CallExpression at line 1, column 71 in source:\n... "
                "raise_exception('System role not supported') ...\n ^\nError: Jinja Exception: System role not "
                "supported"
            )
            return Response.of(
                self.no_system, {"error": {"code": self.no_system, "message": said, "type": "server_error"}}
            )
        if self.wording == "openai":
            said = "Unsupported value: 'messages[0].role' does not support 'system' with this model."
            return _openai(said, "messages[0].role", "unsupported_value")
        return Response.of(self.no_system, _plain("System role not supported", "BadRequestError", self.no_system))

    def dressed(self, content: str, tokens: Sequence[Token], form: Form) -> tuple[str, list[Token]]:
        """An answer as this endpoint gives it."""
        if form.kind != "free":
            return content, list(tokens)
        in_json = self.wraps in ("fence", "explained")
        said = json.dumps(content, ensure_ascii=False)[1:-1] if in_json else content
        before, after = {
            "fence": ('```json\n{"label": "', '"}\n```'),
            "thought": ("<think>\nIt may be this, or that.\n</think>\n\n", "."),
            "label": ("**Label:** ", ""),
            "explained": ('{"label": "', '"}\n\nIt says so.'),
        }.get(self.wraps, ("", ""))
        after += "\nThat is since it says so." * (self.explains // 8)
        return before + said + after, [*_certain(before), *tokens, *_certain(after)]

    def thought(self) -> list[Token]:
        return _certain("hm " * (self.thinks // 2))


def _certain(text: str) -> list[Token]:
    return [(p, 0.0, [(p, 0.0)]) for p in pieces(text)]


def _openai(message: str, param: str | None, code: str | None) -> Response:
    body = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Response.of(400, {"error": body})


def _plain(message: Any, kind: str, code: int | None) -> dict[str, Any]:
    """An error as vLLM and Mistral write it: no `error` around it."""
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}
