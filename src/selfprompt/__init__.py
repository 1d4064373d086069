"""Prompt tuning of frozen transformers, of images, of images and words, and of texts."""

import lazy_loader

# what __init__.pyi names is imported when it is first used
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"
