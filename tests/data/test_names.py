"""The built-in names, apart from what loads them."""

import subprocess
import sys

from genae.data import builtin, names


def test_every_name_has_a_loader() -> None:
    assert tuple(builtin._OFFLINE) == names.OFFLINE
    assert tuple(builtin._DOWNLOADED) == names.DOWNLOADED


def test_names_need_no_torch() -> None:
    code = "import sys, genae.data.names; print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
