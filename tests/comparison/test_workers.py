"""Processes that do units of work."""

from __future__ import annotations

import logging
from pathlib import Path

from selfprompt.comparison.workers import Unit, Workers


def say(words: str, file: Path) -> str:
    logger = logging.getLogger("selfprompt")
    logger.addHandler(logging.FileHandler(file))
    for _ in range(2):
        logger.warning("%s", words)
    return words


def test_what_several_processes_have_to_say_is_said_once(tmp_path: Path) -> None:
    workers, file = Workers(jobs=2), tmp_path / "said"
    for words in ("one", "two", "one"):
        assert workers.run([Unit(words, say, (words, file)) for _ in range(2)]) == [words] * 2
    assert file.read_text(encoding="utf-8").split() == ["one", "two"]
