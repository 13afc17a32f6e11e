"""Labelwright: an LLM-as-oracle self-labelling agent with a budget that cannot be overrun.

Importing this package loads no torch, no transformers, no openai and no web framework.
"""

import os

# torch's linear algebra (MKL) may add up in another order on another number of threads, and near ties then turn.
# Asked before it is loaded, it keeps to one order, at no cost. Who has set this already keeps what they set.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

from agent.errors import LabelwrightError, UserError
from agent.job import Job

__all__ = ["Job", "LabelwrightError", "UserError", "__version__"]
__version__ = "0.1.0"
