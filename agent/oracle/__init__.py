"""The large model: questions, the chat client, the start-up probe, and tapes. It does not know that it is metered."""

from agent.oracle.chat import ChatOracle
from agent.oracle.probe import Capabilities, obeyed, probe_question, serves
from agent.oracle.prompt import Questions, Sampling, Template, one_a_class
from agent.oracle.tape import TapeHeader, TapeOracle, read_tape, write_tape

__all__ = [
    "Capabilities",
    "ChatOracle",
    "Questions",
    "Sampling",
    "TapeHeader",
    "TapeOracle",
    "Template",
    "obeyed",
    "one_a_class",
    "probe_question",
    "read_tape",
    "serves",
    "write_tape",
]
