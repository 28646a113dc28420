"""Pictures in lmdb databases, as LSUN's: the values are the files, and the keys their names."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from genae.data.files import Files
from genae.errors import GenaeError, reason

if TYPE_CHECKING:
    import lmdb

DATA = "data.mdb"
"""The file that makes a folder a database."""


def find_in_lmdb(folders: list[Path], root: Path) -> Files:
    """The pictures of databases in ``root``, or of the one that it is, by their keys; the folders are splits and
    classes, such as ``bedroom_train_lmdb``. Raises `GenaeError`."""
    place: dict[str, tuple[Path, bytes]] = {}
    root = root.resolve()
    for folder in map(Path.resolve, folders):
        above = "" if folder == root else folder.relative_to(root).as_posix() + "/"
        with _database(folder).begin() as transaction, transaction.cursor() as cursor:
            keys = list(cursor.iternext(keys=True, values=False))
        place |= {above + key.decode(errors="backslashreplace"): (folder, key) for key in keys}
    if not place:
        raise GenaeError(f"{root} holds no images; expected one as the value of every key of its database")

    def read(name: str) -> bytes:
        folder, key = place[name]
        with _database(folder).begin() as transaction:
            return bytes(transaction.get(key, b""))

    return Files(str(root), list(place), read)


@cache  # a process may open a database only once
def _database(folder: Path) -> "lmdb.Environment":
    try:
        import lmdb
    except ImportError:
        raise GenaeError(f"{folder} can be read with the package lmdb: pip install 'genae[lmdb]'") from None
    try:
        database = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, max_spare_txns=16)
    except (lmdb.Error, OSError) as error:
        raise GenaeError(f"{folder} is not a readable lmdb database: {reason(error)}; copy it again") from None
    needed = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
    if (folder / DATA).stat().st_size < needed:  # the system would end a process that reads behind the end
        database.close()
        raise GenaeError(f"{folder / DATA} is cut: it needs {needed:,} bytes; copy it again")
    return database
