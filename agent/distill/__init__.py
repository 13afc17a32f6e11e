"""Labels into a model of your own: fine-tuning, calibration, a standard folder with its card, and labelling with it.

Importing this loads no torch; `distil` and `Model.load` do.
"""

from __future__ import annotations

from agent.distill.abstaining import Bar, answered
from agent.distill.answering import AnswerLessons, Answers, distil_answers, is_answerer
from agent.distill.card import Figure
from agent.distill.compare import Compared, compare
from agent.distill.depicted import DepictedNetwork, distil_depicted, is_depicted
from agent.distill.distil import Distilled, add_figures, distil, made_from, save_student
from agent.distill.grading import GradeLessons, Grades, distil_grades, is_grader
from agent.distill.onnx import Checks, write_onnx
from agent.distill.predict import Labeller, Model, Read, abstains_below, load_model, predict_file
from agent.distill.reference import Reference, model_key, read_reference
from agent.distill.runtime import Runtime
from agent.distill.start import Start
from agent.distill.tagging import SpanLessons, Tags, distil_spans, is_tagger
from agent.distill.targets import Examples
from agent.distill.writer import Asked, Writer, is_writer
from agent.distill.writing import TextLessons, distil_texts

__all__ = [
    "AnswerLessons",
    "Answers",
    "Asked",
    "Bar",
    "Checks",
    "Compared",
    "DepictedNetwork",
    "Distilled",
    "Examples",
    "Figure",
    "GradeLessons",
    "Grades",
    "Labeller",
    "Model",
    "Read",
    "Reference",
    "Runtime",
    "SpanLessons",
    "Start",
    "Tags",
    "TextLessons",
    "Writer",
    "abstains_below",
    "add_figures",
    "answered",
    "compare",
    "distil",
    "distil_answers",
    "distil_depicted",
    "distil_grades",
    "distil_spans",
    "distil_texts",
    "is_answerer",
    "is_depicted",
    "is_grader",
    "is_tagger",
    "is_writer",
    "load_model",
    "made_from",
    "model_key",
    "predict_file",
    "read_reference",
    "save_student",
    "write_onnx",
]
