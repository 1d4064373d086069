"""The command line: one thin file a command. Exit status 0 done, 3 done in part, 2 the user's input, 1 our fault."""

from __future__ import annotations

import sys
import traceback

from cyclopts import App, CycloptsError

from selfprompt.cli import analyse, bench, compare, doctor, evaluate, export, list, predict, pretrain, report, tune
from selfprompt.cli.console import any_letter, errors, log_to_stderr, result_alone
from selfprompt.errors import UserError
from selfprompt.files import FIXES, unwritable
from selfprompt.tuning.engine import out_of_memory

app = App(name="selfprompt", help="Prompt tuning of frozen vision transformers that starts from your own data.")
for module in (tune, evaluate, predict, analyse, compare, bench, report, export, pretrain, list, doctor):
    app.command(module.command, name=module.__name__.rpartition(".")[2])


def main() -> None:
    """Run the command line and exit with its status."""
    any_letter()
    log_to_stderr()
    try:
        with result_alone("--json" in sys.argv):
            app(sys.argv[1:], exit_on_error=False, print_error=False, error_console=errors)
    except (UserError, CycloptsError) as error:
        print(f"error: {str(error).strip()}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FIXES and error.filename is not None:
            print(f"error: {unwritable(error.filename, error, 'used')}", file=sys.stderr)
            sys.exit(2)
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and out_of_memory(error)):
            print("error: Memory is out: use smaller images, a smaller backbone or fewer prompts.", file=sys.stderr)
            sys.exit(2)
        traceback.print_exc()
        sys.exit(1)
