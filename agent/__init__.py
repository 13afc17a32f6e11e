"""Labelwright: an LLM-as-oracle self-labelling agent with a budget that cannot be overrun.

Importing this package loads no torch, no transformers, no openai and no web framework.
"""

from agent.errors import LabelwrightError, UserError
from agent.job import Job

__all__ = ["Job", "LabelwrightError", "UserError", "__version__"]
__version__ = "0.1.0"
