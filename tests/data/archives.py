"""Archives of pictures for the tests of what can be opened."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def picture(value: int, kind: str = "png") -> bytes:
    """A file of one colour, 6 x 5 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((6, 5, 3), value, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def tar(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar file of these contents, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path
