"""Files that survive: written under a temporary name, flushed, renamed; locked; and never pickle.

What differs between operating systems is here: locks, flushed folders, files that are replaced while somebody reads.
"""

import hashlib
import io
import json
import math
import os
import re
import shutil
import threading
import time
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from genae.errors import GenaeError
from genae.rows import MAGIC, Rows, Stream, as_bytes, header_of, in_parts

FORMAT = "genae-1"
WRITER = "genae"
"""Stands in pictures and arrays that genae writes, so that it overwrites no others."""
LOCK, OWNER = ".lock", ".owner"
"""In a folder that is locked: the lock, and the number of the process that holds it."""
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
KINDS = {torch.float64: "F64", torch.int64: "I64", torch.float32: "F32", torch.bool: "BOOL", torch.uint8: "U8"}
"""Types of numbers -> what safetensors calls them."""
WINDOWS = os.name == "nt"
PATIENCE = 5.0
"""Seconds for which a file that somebody reads is waited for, before it is replaced."""


def cache_folder() -> Path:
    """Where genae keeps what it downloads or trains for reuse: ``$GENAE_CACHE``, or ``~/.cache/genae``."""
    return Path(os.environ.get("GENAE_CACHE") or "~/.cache/genae").expanduser()


def write_atomically(path: Path, data: str | bytes) -> None:
    """Write a file under a temporary name, flush it to the disk, rename it: readers see the old or the new one."""
    with written(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write under a temporary name, which is flushed and renamed at the end, and removed after an error."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise (_named(error, path) if isinstance(error, OSError) else error) from None


def expect_disk(path: Path, size: int, flag: str = "--out") -> None:
    """Raise `GenaeError` before ``size`` bytes are written to a disk that has fewer left."""
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise GenaeError(
            f"{path} will take {in_gigabytes(size)}, and its disk has {in_gigabytes(free)} left; make room, or choose "
            f"another {flag}"
        )


def in_gigabytes(size: int) -> str:
    """Bytes in words: ``2.6 GB``."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def replace(temporary: Path, path: Path) -> None:
    """Rename a file over another one. Windows refuses that while somebody reads the old one: then it is tried again,
    for up to `PATIENCE` seconds."""
    give_up_at = time.monotonic() + PATIENCE
    while True:
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            if not WINDOWS or time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)


def _named(error: OSError, path: Path) -> OSError:
    """The error with the file's name, which that of a full disk lacks."""
    return error if error.filename else OSError(error.errno, error.strerror, str(path))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write named tensors as safetensors, atomically."""
    temporary = path.with_name(path.name + ".tmp")
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    temporary.touch()  # with the mode that new files have here: safetensors would let its owner alone read it
    mode = temporary.stat().st_mode
    save_file(contiguous, temporary, {"format": FORMAT, **metadata})
    temporary.chmod(mode)
    with open(temporary, "rb+") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())
    replace(temporary, path)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_tensors` wrote; anything else raises `GenaeError`."""
    if path.exists() and not os.access(path, os.R_OK):
        raise GenaeError(f"{path} may not be read by you: ask its owner for permission")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise GenaeError(f"{path} is not a readable safetensors file: {error}") from None
    if metadata.get("format") != FORMAT:
        raise GenaeError(f"{path} was not written by this version of genae (format {metadata.get('format')!r})")
    return tensors, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, without its tensors; a file that is none raises `GenaeError`."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise GenaeError(f"{path} is not a readable safetensors file: {error}") from None


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Copy named tensors into a model; missing, unknown or misshapen ones raise `GenaeError`."""
    state = model.state_dict()
    wrong = sorted(set(state) ^ set(tensors)) or [n for n, t in tensors.items() if t.shape != state[n].shape]
    if wrong:
        raise GenaeError(f"{where} does not fit the model of its configuration: {wrong[0]!r} differs")
    model.load_state_dict(dict(tensors))


def weights_digest(network: nn.Module) -> str:
    """Hash of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]


def is_file_name(name: str) -> bool:
    """Whether every system takes it as a file's name, and not as a device (``aux``) or as another name: Windows drops
    dots and spaces at the end."""
    return not _DEVICE.fullmatch(name) and not name.endswith((".", " "))


def append_line(path: Path, record: Mapping[str, object]) -> None:
    """Append one JSON line."""
    try:
        with open(path, "a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise _named(error, path) from None


def read_lines(path: Path, key: str) -> list[dict[str, Any]]:
    """Every complete JSON line of a file that has ``key``; none where there is no file.

    A kill can cut a line short; what cannot be read is left out.
    """
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and key in record:
            lines.append(record)
    return lines


def flush_folder(path: Path) -> None:
    """Make renames inside a folder survive a power loss; Windows, which opens no folders, sees to that itself."""
    if WINDOWS:
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; `GenaeError` where another process holds it, with that one's number.

    The system releases the lock when the process ends, however it ends. The number stands in a file of its own,
    `OWNER`, because nobody can read a locked file on Windows; it stays there, as the lock's file does elsewhere.
    """
    with held(folder / LOCK, folder / OWNER, f"{folder} is being written by process {{}}; choose another --run"):
        yield


@contextmanager
def held(lock_file: Path, owner_file: Path, refusal: str) -> Iterator[None]:
    """Hold a lock for this process, or raise ``refusal`` with the number of the process that holds it; see `locked`."""
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        try:
            owner = owner_file.read_text(encoding="utf-8")
        except OSError:  # it has the lock, and has not said so yet
            owner = "of an unknown number"
        raise GenaeError(refusal.format(owner)) from None
    try:
        write_atomically(owner_file, str(os.getpid()))
        yield
    finally:
        lock.release()


class PlacedFile:
    """A file of which several threads read bytes at places of their own. It is not mapped into memory, where what was
    read would count as this process's."""

    def __init__(self, path: Path) -> None:
        """Open it; raises OSError."""
        self.path = path
        self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._handle)
        self._lock = threading.Lock()

    def size(self) -> int:
        """Bytes."""
        return os.fstat(self._handle).st_size

    def fill(self, memory: memoryview, offset: int) -> None:
        """Read as many bytes as ``memory`` has from ``offset`` on; EOFError where the file ends before."""
        done = 0
        while done < len(memory):
            read = self._read(memory[done:], offset + done)
            if not read:
                raise EOFError
            done += read

    def will_need(self, offset: int, count: int) -> None:
        """Let the system fetch ``count`` bytes from the disk meanwhile, where it takes such advice."""
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):  # of a file system that takes none
                os.posix_fadvise(self._handle, offset, count, os.POSIX_FADV_WILLNEED)

    def _read(self, memory: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._handle, [memory], offset)
        with self._lock:  # Windows: the place is the handle's, so one thread at a time
            os.lseek(self._handle, offset, os.SEEK_SET)
            data = os.read(self._handle, len(memory))
        memory[: len(data)] = data
        return len(data)


class FileRows:
    """The rows of a ``.npy`` file, as float32: `Rows`.

    What was read stays in the system's cache and not in this process: resident memory does not grow, as it would with
    a file that is mapped. Raises `GenaeError` for other files, and for one that was cut.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        mapped = load_numpy(path, mapped=True).get("images")
        if not isinstance(mapped, np.memmap) or mapped.dtype.kind not in "iuf" or not mapped.flags.c_contiguous:
            raise GenaeError(f"{path} does not hold rows of numbers, one after the other")
        self.shape: tuple[int, ...] = mapped.shape
        self._dtype = mapped.dtype
        self._offset = mapped.offset
        self._file = PlacedFile(path)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: slice | Tensor, /) -> Tensor:
        """[B, ...] float32."""
        return torch.from_numpy(self.read(which).astype(np.float32, copy=False))

    def read(self, which: slice | Tensor) -> np.ndarray:
        """[B, ...] as they are stored."""
        numbers = range(len(self))[which] if isinstance(which, slice) else which.tolist()
        rows = np.empty((len(numbers), *self.shape[1:]), self._dtype)
        memory, size = rows.reshape(-1).view(np.uint8).data, rows.nbytes // max(1, len(numbers))
        try:
            if isinstance(numbers, range) and numbers.step == 1:
                self._file.fill(memory, self._offset + size * numbers.start)
            else:
                for place, number in enumerate(numbers):
                    self._file.fill(memory[place * size : (place + 1) * size], self._offset + size * number)
        except (OSError, EOFError) as error:
            why = str(error) or "it is cut"
            raise GenaeError(f"{self.path} was changed while it was read: {why}") from None
        return rows


def save_arrays(path: Path, arrays: Mapping[str, Tensor | Stream], **texts: str | Sequence[str]) -> None:
    """Write named arrays, and texts beside them, as ``.npz``, ``.safetensors`` or ``.npy``.

    A `Stream` is written as it comes, so that memory does not grow with it. A ``.npy`` file holds the first array
    alone; what else there is stands in the file of `beside`. Raises `GenaeError` for another ending, and before
    anything is written to a disk that has too little room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    expect_disk(path, sum(_bytes_of(array) for array in arrays.values()))
    if path.suffix == ".npz":
        with written(path) as file:
            _write_npz(file, arrays, texts)
    elif path.suffix == ".npy":
        (_, first), *rest = arrays.items()
        others = dict(rest)
        if others or texts:
            with written(beside(path)) as file:
                _write_npz(file, others, texts)
        with written(path) as file:
            _write_npy(file, first)
    elif path.suffix == ".safetensors":
        metadata = {name: text if isinstance(text, str) else json.dumps(text) for name, text in texts.items()}
        with written(path) as file:
            _write_safetensors(file, arrays, metadata)
    else:
        raise GenaeError(f"cannot write {path}: expected a name that ends in .npz, .safetensors or .npy")


def beside(path: Path) -> Path:
    """The ``.npz`` of what a ``.npy`` file cannot hold: ``codes.rows.npz`` of ``codes.npy``."""
    return path.with_suffix(".rows.npz")


def arrays_as_bytes(arrays: Mapping[str, Tensor], **texts: str | Sequence[str]) -> bytes:
    """An ``.npz`` file of named arrays, and texts beside them."""
    buffer = io.BytesIO()
    _write_npz(buffer, arrays, texts)
    return buffer.getvalue()


def _bytes_of(array: Tensor | Stream) -> int:
    return array.nbytes if isinstance(array, Tensor) else 4 * math.prod(array.shape)


def _write_npz(file: BinaryIO, arrays: Mapping[str, Tensor | Stream], texts: Mapping[str, str | Sequence[str]]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_npy(member, array)
        for name, text in texts.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.array(text), allow_pickle=False)
        archive.comment = WRITER.encode()


def _write_npy(file: IO[bytes], array: Tensor | Stream) -> None:
    if isinstance(array, Tensor) and array.dtype != torch.float32:
        np.lib.format.write_array(file, array.numpy(), allow_pickle=False)
        return
    file.write(header_of(tuple(array.shape)))
    for part in _parts_of(array):
        file.write(as_bytes(part))


def _write_safetensors(file: BinaryIO, arrays: Mapping[str, Tensor | Stream], metadata: Mapping[str, str]) -> None:
    """The format of the library safetensors, which would need all values in memory at once, twice."""
    header: dict[str, object] = {"__metadata__": {"format": FORMAT, **metadata}}
    ordered = sorted(arrays.items(), key=lambda item: item[1].dtype.itemsize if isinstance(item[1], Tensor) else 4)
    ordered.reverse()  # the widest numbers first, so that all are aligned
    end = 0
    for name, array in ordered:
        kind = KINDS[array.dtype if isinstance(array, Tensor) else torch.float32]
        begin, end = end, end + _bytes_of(array)
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, array in ordered:
        for part in _parts_of(array):
            file.write(part.contiguous().numpy().reshape(-1).data.cast("B"))


def _parts_of(array: Tensor | Stream) -> Iterable[Tensor]:
    return in_parts(array) if isinstance(array, Tensor) else array.parts


def is_ours(path: Path) -> bool:
    """Whether a picture, table or file of arrays was written by genae: each kind of file says so in its own way."""
    with open(path, "rb") as file:
        content = file.read(2000)
        file.seek(max(0, path.stat().st_size - len(WRITER)))
        end = file.read()
    if path.suffix == ".npy":
        return content.startswith(MAGIC)
    if path.suffix == ".npz":
        return end == WRITER.encode()
    if path.suffix == ".png":
        return b"tEXtSoftware\0" + WRITER.encode() in content[:500]
    if path.suffix == ".gif":
        return bytes([len(WRITER)]) + WRITER.encode() in content
    if path.suffix == ".safetensors":
        return FORMAT.encode() in content
    if path.suffix == ".html":
        return b'<meta name="generator" content="genae">' in content[:500]
    return content.startswith(b"image,name,score")  # a table of `genae anomaly`


def load_numpy(path: Path, mapped: bool = False) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``, or of an ``.npy`` as ``images``; anything else, and pickles, raise `GenaeError`.

    An ``.npy`` that is ``mapped`` stays in its file, read-only.
    """
    try:
        loaded = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        return dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"images": loaded}
    except FileNotFoundError:
        raise GenaeError(f"{path} is not a readable NumPy file: there is no such file") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # NumPy's words about pickles advise to run their code.
        why = "it is damaged or of another kind" if "pickle" in str(error) else error
        raise GenaeError(f"{path} is not a readable NumPy file: {why}") from None


def load_codes(path: Path) -> tuple[Rows, str | None]:
    """Codes [N, D] and the name of their space, as ``genae encode`` wrote them; anything else raises `GenaeError`.

    Those of a ``.npy`` file are read when they are needed.
    """
    if path.suffix == ".npy":
        rows = FileRows(path)
        if len(rows.shape) != 2:
            raise GenaeError(f"{path} holds an array of shape {list(rows.shape)}; expected codes [N, D]")
        arrays = load_numpy(beside(path)) if beside(path).exists() else {}
        return rows, str(arrays["space"]) if "space" in arrays else None
    if path.suffix == ".safetensors":
        tensors, metadata = load_tensors(path)
        codes, space = tensors.get("codes"), metadata.get("space")
    else:
        arrays = load_numpy(path)
        codes = torch.from_numpy(arrays["codes"]) if "codes" in arrays and arrays["codes"].dtype.kind in "iuf" else None
        space = str(arrays["space"]) if "space" in arrays else None
    if codes is None or codes.ndim != 2:
        raise GenaeError(f"{path} holds no array 'codes' of shape [N, D]")
    return codes.float(), space
