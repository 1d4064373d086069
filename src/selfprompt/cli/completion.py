"""``selfprompt --install-completion``."""

from __future__ import annotations

from typing import Literal

from selfprompt.cli.console import emit
from selfprompt.errors import UserError


def command(shell: Literal["bash", "zsh", "fish"] | None = None, *, json: bool = False) -> None:
    """Let the shell complete commands, flags and their values, from its next start on.

    Args:
        shell: Which shell; by default the one that this is typed in.
        json: Print one JSON object.
    """
    from cyclopts.completion.detect import ShellDetectionError

    from selfprompt.cli import app

    try:
        path = app.install_completion(shell=shell)
    except (ShellDetectionError, ValueError):
        raise UserError(
            "It does not show which shell this is: write --install-completion bash, zsh or fish."
        ) from None
    emit({"completion": str(path)}, json, f"{path}: start the shell anew")
