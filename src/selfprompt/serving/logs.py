"""The log: a line a request, as text or as JSON, on standard error."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

logger = logging.getLogger("selfprompt.serving")


class Lines(logging.Formatter):
    """A record as one line.

    Args:
        form: ``json`` or ``text``.
    """

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        fields: dict[str, Any] = getattr(record, "fields", {})
        words = record.getMessage()
        if record.exc_info:
            words += "\n" + self.formatException(record.exc_info)
        if self.form == "json":
            line = {"time": when, "level": record.levelname.lower(), "message": words, **fields}
            return json.dumps(line, ensure_ascii=True)
        return " ".join([when, record.levelname.lower(), words, *(f"{k}={v}" for k, v in fields.items())])


def configure(form: str) -> None:
    """Send what this library and uvicorn log to standard error, in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(form))
    for name in ("selfprompt", "uvicorn"):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(logging.INFO)
