"""What Windows lacks or does otherwise: asked of the source where this system cannot show it."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import genae

SOURCE = Path(genae.__file__).parent
FILES = sorted([*SOURCE.rglob("*.py"), *(SOURCE.parents[1] / "tools").glob("*.py")])
MISSING = ("fcntl", "resource", "termios", "pwd", "grp", "tty", "pty", "syslog")
"""Modules of the standard library that Windows has not."""
ONLY_POSIX = {
    "fork", "forkpty", "getuid", "geteuid", "getgid", "getppid", "setsid", "killpg", "sysconf", "statvfs", "uname",
    "mkfifo", "chown", "fchmod", "pread", "preadv", "pwrite", "posix_fadvise", "sched_getaffinity", "nice", "wait3",
    "O_DIRECTORY", "O_NOFOLLOW", "O_DIRECT", "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "alarm",
    "pause", "setitimer", "sigwait", "pthread_kill", "AF_UNIX", "symlink_to", "hardlink_to",
}  # fmt: skip
"""Names of `os`, `signal`, `socket` and `pathlib` that Windows has not, or not for everybody."""

# Libraries know which system they run on, and import before anything is taken away; genae alone finds nothing.
WITHOUT = f"""
import builtins, importlib, pkgutil, sys
import fastapi, matplotlib.pyplot, numpy, scipy.linalg, sklearn.datasets, torch, torchvision, uvicorn
import genae

real = builtins.__import__
def without(name, globals=None, *rest, **named):
    if name.split(".")[0] in {MISSING} and (globals or {{}}).get("__name__", "").startswith("genae"):
        raise ModuleNotFoundError(f"No module named {{name!r}}")
    return real(name, globals, *rest, **named)
builtins.__import__ = without
for module in pkgutil.walk_packages(genae.__path__, "genae."):
    if module.name != "genae.__main__":
        importlib.import_module(module.name)
model = genae.train("stacked-wae", sys.argv[1], data="digits", images=64, batch_size=8, width=4, code_dim=6,
                    device="cpu", precision="float32")
assert genae.load(sys.argv[1]).sample(2).shape == (2, 1, 8, 8)
"""


def test_every_module_imports_and_trains_without_posix_modules(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, tmp_path / "run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_calls_that_windows_has_not_are_in_one_place() -> None:
    used = {
        (file.relative_to(SOURCE).as_posix(), node.attr)
        for file in FILES
        if SOURCE in file.parents
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ONLY_POSIX
    }
    without = {("data/raw.py", "sysconf"), ("storage.py", "preadv"), ("storage.py", "posix_fadvise")}
    assert used <= without, "which do without, where there are none"


def _text_files(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that open, read or write a file as text, as far as the source shows."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("read_text", "write_text"):
            yield node
        if isinstance(node.func, ast.Name) and name == "open":
            mode = node.args[1] if len(node.args) > 1 else ast.Constant("r")
            if not (isinstance(mode, ast.Constant) and "b" in str(mode.value)):
                yield node


def test_text_files_are_utf_8_on_every_system() -> None:
    silent = [
        f"{file.name}:{call.lineno}"
        for file in FILES
        for call in _text_files(ast.parse(file.read_text(encoding="utf-8")))
        if not any(keyword.arg == "encoding" for keyword in call.keywords)
    ]
    assert not silent, "without an encoding a file is read as the system's own"


def test_names_that_the_terminal_cannot_show_end_no_command(folder_of_images: Path) -> None:
    folder = folder_of_images.rename(folder_of_images.with_name("写真"))
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "genae", "data", folder]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr.decode("cp1252")
