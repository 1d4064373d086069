"""The command line: one thin file a command.

Exit status 0 done, 3 done in part, 2 the user's input, 1 an error of ours.

A command is imported when it is asked for, and what it does when its flags are in order: help, listings and refusals
wait for no library of numbers.
"""

from __future__ import annotations

import ast
import sys
import traceback
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, UnknownCommandError

import selfprompt
from selfprompt import watch
from selfprompt.cli.console import any_letter, began, log_to_stderr, result_alone, sentence
from selfprompt.errors import UserError, unknown

COMMANDS = (
    "tune",
    "evaluate",
    "predict",
    "embed",
    "verify",
    "analyse",
    "compare",
    "bench",
    "report",
    "export",
    "push",
    "serve",
    "studio",
    "pretrain",
    "list",
    "doctor",
)

UNUSED: Any = object()  # a console for errors, which `main` prints itself: to make rich's takes a sixth of the start


def help_of(name: str) -> str | None:
    """The docstring of a command, read without running its file."""
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    return ast.get_docstring(next(node for node in functions if node.name == "command"))


app = App(name="selfprompt", help=selfprompt.__doc__, help_format="plaintext", version=selfprompt.__version__)
for name in COMMANDS:
    app.command(f"selfprompt.cli.{name}:command", name=name, help=help_of(name), help_format="markdown")
app.command("selfprompt.cli.completion:command", name="--install-completion", help=help_of("completion"))


def main() -> None:
    """Run the command line and exit with its status."""
    any_letter()
    log_to_stderr()
    began.append(watch.clock())
    try:
        with result_alone("--json" in sys.argv):
            words = ["./-" if word == "-" else word for word in sys.argv[1:]]  # standard input, and no option
            app(words, exit_on_error=False, print_error=False, error_console=UNUSED)
    except UnknownCommandError as error:  # its own sentence imports every command
        print(f"error: {unknown('command', (error.unused_tokens or [''])[0], COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    except (UserError, CycloptsError) as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if fault := user_error(error):
            print(f"error: {fault}", file=sys.stderr)
            sys.exit(2)
        traceback.print_exc()
        sys.exit(1)


def user_error(error: Exception) -> UserError | None:
    """The error as one that the user can fix: a place that the system refuses, or memory that is out."""
    if isinstance(error, OSError):
        from selfprompt.files import FIXES, unwritable

        if error.errno in FIXES and error.filename is not None:
            return unwritable(error.filename, error, "used")
    if isinstance(error, RuntimeError):
        from selfprompt.tuning.engine import out_of_memory

        if out_of_memory(error):
            error = MemoryError()
    if isinstance(error, MemoryError):
        return UserError("Memory is out: use smaller images, a smaller backbone or fewer prompts.")
    return None
