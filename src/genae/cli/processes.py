"""Under torchrun: which commands the processes share, and which of the processes speaks."""

import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from genae.errors import GenaeError

SHARED = ("train", "prior", "evaluate", "probe", "reproduce")
"""Commands that every process carries out; process 0 alone carries out the others."""

OWN = ("--device", "--data-root")
"""Flags that a process may have for itself."""


def rank() -> int:
    """Number of this process, before any group is formed."""
    return int(os.environ.get("RANK", 0))


def processes() -> int:
    """How many were started together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def take_roles(arguments: Sequence[str]) -> None:
    """Process 0 speaks for all; the others carry out a shared command in silence, and end at once for any other.

    Raises `GenaeError` where the environment gives no numbers.
    """
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        if not (value := os.environ.get(name, "1")).isdecimal():
            os.environ["WORLD_SIZE"] = "1"  # this process speaks for itself
            raise GenaeError(f"{name} is {value!r} in the environment; expected a number: unset it, or use torchrun")
    if processes() <= 1:
        return
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    shared = command in SHARED and not {"--help", "--dry-run"} & {*arguments}
    if rank() == 0 and not shared and command != "train":
        del os.environ["WORLD_SIZE"]  # it works as a process of its own, and waits for nobody
    if rank() > 0:
        if not shared:
            sys.exit(0)
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the process ends)
        warnings.simplefilter("ignore")


def together(arguments: Sequence[str]) -> AbstractContextManager[None]:
    """Inside, one process's failure ends all of them; and they refuse to meet processes with other arguments."""
    if processes() <= 1:
        return nullcontext()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a lost connection is told in one sentence, by genae
    from genae import distributed

    distributed.alike["the arguments"] = repr(shlex.join(_common(arguments)))
    return distributed.failing_together()


def _common(arguments: Sequence[str]) -> list[str]:
    """Those that all processes must share: machines may keep the data elsewhere, and number their devices."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [now for before, now in pairs if before not in OWN and now.partition("=")[0] not in OWN]


def said(message: str) -> str | None:
    """What this process says of the error with which it ends: among several it names itself, unless the message names
    another. None where several on a machine end with the same: the first of them says it."""
    if processes() <= 1:
        return message
    from genae import distributed

    if not distributed.tells(message):
        return None
    return message if message.startswith("process ") else f"process {rank()}: {message}"
