"""Prompt tuning of frozen vision transformers that starts from your own data.

What is public stands in ``__init__.pyi``; it is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"
