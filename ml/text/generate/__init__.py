"""Texts that a language model writes: descriptions of items with poor text, summaries of interests.

A service or a model on this machine is asked, within a budget; nothing that it does ends a run, and nothing
that it answers is used unchecked.
"""

from ml.text.generate.cache import AnswerCache
from ml.text.generate.contract import GeneratorError, LanguageModel
from ml.text.generate.screen import word_count
from ml.text.generate.tasks import DESCRIBE_ITEM, SUMMARISE_INTERESTS, Task
from ml.text.generate.write import Limits, Session, Written, write_texts

__all__ = [
    "DESCRIBE_ITEM",
    "SUMMARISE_INTERESTS",
    "AnswerCache",
    "GeneratorError",
    "LanguageModel",
    "Limits",
    "Session",
    "Task",
    "Written",
    "word_count",
    "write_texts",
]
