"""The error for everything that a user can fix."""

import difflib
from collections.abc import Iterable


class GenaeError(Exception):
    """Something the user can mend: the message says what was given, what was expected, and what to do.

    The command line prints it as one sentence and exits with status 2.
    """


def reason(error: BaseException) -> str:
    """The first line of what an exception says, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def told(error: BaseException) -> str:
    """The first line of what an exception tells the user, which may be nothing; typer's own errors format theirs."""
    message = getattr(error, "format_message", error.__str__)()
    return next(iter(message.splitlines()), "")


def nearest(given: str, known: Iterable[str]) -> str:
    """A hint naming the valid spelling nearest to ``given``, or all of them where none is near."""
    names = sorted(known)
    if not names:
        return "there is none to choose"
    close = difflib.get_close_matches(given, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"
