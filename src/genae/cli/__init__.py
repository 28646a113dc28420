"""The command line: one typed function per command, nothing but parsing and printing.

Everything heavy is imported inside the commands, so that ``genae --help`` answers at once.
"""

import io
import os
import sys

from genae.cli.app import NO_CACHE, app
from genae.cli.processes import said, take_roles, together
from genae.errors import GenaeError, told

# isort: off
# The help lists commands in the order in which they come.
from genae.cli import training, measuring, drawing, coding, looking  # noqa: F401


def main() -> None:
    """Entry point: exit status 0, 2 with one sentence for what the user can mend, 130 after Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":  # where it is not UTF-8: Windows
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = [a for a in sys.argv[1:] if a not in ("--debug", NO_CACHE)]
    if NO_CACHE in sys.argv:
        os.environ["GENAE_CACHE_GB"] = "0"
    try:
        take_roles(arguments)
        with together(arguments):
            code = app(arguments, standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        usage = hasattr(error, "format_message")  # typer's own errors
        if "--debug" in sys.argv or not (usage or isinstance(error, GenaeError | OSError)):
            raise
        message = told(error)
        if message and (sentence := said(message)):  # none where the help was shown instead
            print(f"genae: error: {sentence}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
