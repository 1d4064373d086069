"""Commands of a page, ``!selfprompt ...``, are run within the page's own process: they import torch once.

Other commands of the shell go to the shell.
"""

import logging
import shlex
import sys

from IPython import get_ipython

from selfprompt import cli

shell = get_ipython()
to_shell = shell.system


def system(line: str) -> None:
    """Run a command; one that fails ends the build."""
    words = shlex.split(line)
    if words[0] != "selfprompt":
        to_shell(line)
        return
    was, sys.argv = sys.argv, words
    handlers = [*logging.getLogger("selfprompt").handlers]
    try:
        cli.main()
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise RuntimeError(f"exit status {stop.code} of {line}") from None
    finally:
        sys.argv = was
        logging.getLogger("selfprompt").handlers[:] = handlers


shell.system = system
