"""Under torchrun: which commands the processes share, and which of the processes speaks."""

import os
import sys
import time
import warnings
from collections.abc import Sequence

SHARED = ("train", "prior", "evaluate", "probe", "reproduce")
"""Commands that every process carries out; process 0 alone carries out the others."""
GRACE = 3.0
"""Seconds in which torchrun ends the other processes after one has failed."""


def rank() -> int:
    """Number of this process, before any group is formed."""
    return int(os.environ.get("RANK", 0))


def take_roles(arguments: Sequence[str]) -> None:
    """Process 0 speaks for all; the others carry out a shared command in silence, and end at once for any other."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    shared = command in SHARED and not {"--help", "--dry-run"} & {*arguments}
    if rank() == 0 and not shared and command != "train":
        del os.environ["WORLD_SIZE"]  # it works as a process of its own, and waits for nobody
    if rank() > 0:
        if not shared:
            sys.exit(0)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
        warnings.simplefilter("ignore")


def wait_for_process_0() -> None:
    """Before another process than 0 tells its error: if process 0 fails as well, it tells the same, and torchrun ends
    this process in the meantime."""
    if rank() > 0:
        time.sleep(GRACE)
