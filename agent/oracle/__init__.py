"""The large model: questions, the chat client, the start-up probe, and tapes. It does not know that it is metered."""

from agent.oracle.batch import BatchApi
from agent.oracle.chat import ChatOracle
from agent.oracle.completion import THINKS, thought_only
from agent.oracle.dialect import STRUCTURED, Dialect
from agent.oracle.hostile import looks_hostile
from agent.oracle.phrasing import PLAIN, Phrasing, Put, Reading, merged, most_alike
from agent.oracle.probe import Capabilities, obeyed, probe_question, serves
from agent.oracle.prompt import Questions, Sampling, Template, one_a_class
from agent.oracle.served import served_counts
from agent.oracle.shards import FileOracle, Shards
from agent.oracle.spool import Spool
from agent.oracle.tape import TapeHeader, TapeOracle, read_tape, write_tape

__all__ = [
    "PLAIN",
    "STRUCTURED",
    "THINKS",
    "BatchApi",
    "Capabilities",
    "ChatOracle",
    "Dialect",
    "FileOracle",
    "Phrasing",
    "Put",
    "Questions",
    "Reading",
    "Sampling",
    "Shards",
    "Spool",
    "TapeHeader",
    "TapeOracle",
    "Template",
    "looks_hostile",
    "merged",
    "most_alike",
    "obeyed",
    "one_a_class",
    "probe_question",
    "read_tape",
    "served_counts",
    "serves",
    "thought_only",
    "write_tape",
]
