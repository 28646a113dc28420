"""Run inside an unpacked wheel: it is what gets imported, and ``genae --help`` answers in under a second."""

import os
import subprocess
import sys
import time
from pathlib import Path

import genae

here = Path.cwd()
assert Path(genae.__file__).is_relative_to(here), f"imported {genae.__file__}, not the wheel in {here}"
page = Path(genae.__file__).parent / "explorer"
assert (page / "export.html").exists(), "the explorer's page is missing"
assert (Path(genae.__file__).parent / "py.typed").exists(), "py.typed is missing: type checkers would see Any"
assert (page / "page" / "panels" / "map.js").exists(), "the explorer's panels are missing"
seconds = []
for _ in range(3):
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "genae", "--help"], capture_output=True, text=True, check=True, env={**os.environ}
    )
    seconds.append(time.perf_counter() - start)
    assert "evaluate" in result.stdout
assert min(seconds) < 1, f"genae --help took {min(seconds):.2f} s"
print(f"wheel {genae.__version__}: genae --help answers in {min(seconds):.2f} s")
