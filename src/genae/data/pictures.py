"""Stand-in."""

from collections.abc import Sequence

from genae.errors import GenaeError


def refuse_or_note(bad: Sequence[str], total: int, where: str, skip_bad: bool) -> list[str]:
    """What a data set says of its unreadable files, each a name and a reason; `GenaeError` unless they are skipped."""
    if bad and not skip_bad:
        shown = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
        raise GenaeError(
            f"{len(bad)} of {total} files in {where} are unreadable: {shown}; "
            "repair them, or leave them out with --skip-bad"
        )
    if len(bad) == total:
        raise GenaeError(f"none of the {total} files in {where} is a readable image")
    return [f"{len(bad)} unreadable files skipped: {', '.join(bad[:3])}"] if bad else []
