"""Stands for vLLM where a test's job starts one of its own: as a server, or as `vllm.LLM`. Standard library only.

`LLM` has the signatures of vLLM 0.32. What goes wrong is said by the variable STAND_IN, see `vllm.llm`.
"""

from vllm.llm import LLM
from vllm.sampling_params import SamplingParams

__all__ = ["LLM", "SamplingParams"]
