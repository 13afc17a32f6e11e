"""What a text says of a person, found and hidden before the text leaves the machine."""

from __future__ import annotations

from agent.job import Job
from agent.redaction.redactor import PLACEHOLDERS, WORDS, Found, Redactor, counted, said

__all__ = ["PLACEHOLDERS", "WORDS", "Found", "Redactor", "counted", "redactor_of", "said"]


def redactor_of(job: Job) -> Redactor | None:
    """What hides personal data of a job's texts; None where it asks for nothing.

    Raises ExtraMissing where Presidio is not installed, ModelError where a model for names is not.
    """
    if not job.data.redact:
        return None
    model = job.data.redact_model
    folder = job.path(model) if model else None
    return Redactor.of(job.data.redact, str(folder) if folder and folder.is_dir() else model)
