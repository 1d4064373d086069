"""Prompt tuning of frozen vision transformers that starts from your own data."""

from selfprompt.analysis import analyse
from selfprompt.catalog import describe, list_backbones, list_datasets, list_methods
from selfprompt.data.datasets import Dataset, Examples, with_splits
from selfprompt.data.protocol import Protocol
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError
from selfprompt.methods.base import Method
from selfprompt.methods.recipe import Recipe
from selfprompt.model import PromptedModel, create_model, load
from selfprompt.registry import Record
from selfprompt.runs.evaluate import evaluate
from selfprompt.runs.predict import predict
from selfprompt.serving.pool import AdapterPool
from selfprompt.tuning.fit import Result, fit

__all__ = [
    "AdapterPool",
    "Dataset",
    "Examples",
    "Method",
    "PromptedModel",
    "Protocol",
    "Recipe",
    "Record",
    "Result",
    "UserError",
    "analyse",
    "create_model",
    "describe",
    "evaluate",
    "fit",
    "list_backbones",
    "list_datasets",
    "list_methods",
    "load",
    "load_dataset",
    "predict",
    "with_splits",
]
__version__ = "0.1.0"
