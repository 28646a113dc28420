"""What the tests of data/ share."""

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def write_idx(path: Path, array: np.ndarray) -> None:
    content = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def mnist_copy() -> Callable[..., Path]:
    """Write 20 training and 5 test images as ``mnist_copy(root, layout, dot, ending)``; returns their folder."""

    def write(root: Path, layout: str = "MNIST/raw", dot: str = "-", ending: str = ".gz", first: int = 0) -> Path:
        folder = root / layout
        folder.mkdir(parents=True)
        for part, count in (("train", 20), ("t10k", 5)):
            images = (np.arange(count * 784, dtype=np.int64).reshape(count, 28, 28) + first).astype(np.uint8)
            write_idx(folder / f"{part}-images{dot}idx3-ubyte{ending}", images)
            write_idx(folder / f"{part}-labels{dot}idx1-ubyte{ending}", (np.arange(count) % 10).astype(np.uint8))
        return folder

    return write


@pytest.fixture
def png16() -> Callable[[np.ndarray], bytes]:
    """Encode [H, W, 3] uint16 as a PNG: Pillow cannot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def encode(pixels: np.ndarray) -> bytes:
        height, width, _ = pixels.shape
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
        header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
        body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + body

    return encode
