"""Prompt tuning of frozen vision transformers that starts from your own data."""

from selfprompt.analysis import analyse
from selfprompt.data.datasets import Dataset, Examples, with_splits
from selfprompt.data.protocol import Protocol
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError
from selfprompt.listing import list_backbones, list_datasets, list_methods
from selfprompt.methods import create_model
from selfprompt.methods.base import Method
from selfprompt.model import PromptedModel, load
from selfprompt.pool import AdapterPool
from selfprompt.recipe import Recipe
from selfprompt.registry import Record, describe
from selfprompt.tuning.fit import Result, fit
from selfprompt.tuning.prediction import predict
from selfprompt.tuning.run import evaluate

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
