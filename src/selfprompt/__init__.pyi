"""Prompt tuning of frozen transformers, of images, of images and words, and of texts."""

from .analysis import analyse as analyse
from .assembly import create_model as create_model
from .assembly import load as load
from .catalog import describe as describe
from .catalog import list_adaptations as list_adaptations
from .catalog import list_backbones as list_backbones
from .catalog import list_datasets as list_datasets
from .catalog import list_methods as list_methods
from .data.datasets import Dataset as Dataset
from .data.datasets import Examples as Examples
from .data.datasets import with_splits as with_splits
from .data.protocol import Protocol as Protocol
from .data.sources import load_dataset as load_dataset
from .errors import UserError as UserError
from .methods.base import Method as Method
from .methods.recipe import Recipe as Recipe
from .model import PromptedModel as PromptedModel
from .registry import Record as Record
from .runs.embed import embed as embed
from .runs.embed import embed_each as embed_each
from .runs.estimate import estimate as estimate
from .runs.evaluate import evaluate as evaluate
from .runs.predict import predict as predict
from .runs.predict import predict_each as predict_each
from .runs.push import push as push
from .runs.verify import verify as verify
from .serving.pool import AdapterPool as AdapterPool
from .tuning.fit import Result as Result
from .tuning.fit import fit as fit

__version__: str
