"""What holds pictures: a folder, a zip of one, tar shards, parquet files, an lmdb database, or one picture file."""

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from genae.data.decoding import EXTENSIONS
from genae.data.files import Container, Files, cause, common_folder, is_picture, is_wanted
from genae.data.lists import slashed
from genae.data.lsun import DATA, find_in_lmdb
from genae.data.names import NAMES
from genae.data.official import TABLES, unrelated
from genae.data.packed import ENDING
from genae.data.parquet import find_in_parquet
from genae.data.shards import shards_below, shards_of
from genae.data.tar import find_in_tars
from genae.errors import GenaeError, nearest
from genae.progress import screen

FINDERS: dict[str, Callable[[Sequence[Path], str], Files]] = {".tar": find_in_tars, ".parquet": find_in_parquet}
"""For the endings of files of which several hold a data set."""
ARRAYS = (".npz", ".npy")


def existing(source: str | Path) -> Path:
    """The path of what holds images, or a pattern such as ``train-{000..099}.tar``; else raises `GenaeError`."""
    path = Path(source).expanduser()
    try:
        there = path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or holds a null
        raise GenaeError(f"{str(source)[:60]!r} cannot be a path: {cause(error)}") from None
    if not there and "{" in str(path) and path.suffix.lower() in FINDERS:
        return path
    if not there:
        near = nearest(str(source), NAMES)
        raise GenaeError(f"no data at {str(source)!r}: neither a path that exists nor a built-in name ({near})")
    if path.is_dir() or path.suffix.lower() in (".zip", ENDING, *ARRAYS, *FINDERS) or is_picture(path.name):
        return path
    if ".tar." in path.name.lower() or path.suffix.lower() in (".tgz", ".tbz2", ".txz"):
        raise GenaeError(f"{source} is compressed, and so cannot be read in any order; decompress it to a .tar")
    raise GenaeError(
        f"{source} is neither a folder of images, a .zip or .tar of one, a .parquet file, a picture, an .npz or .npy "
        f"array, nor a packed {ENDING} file"
    )


def find_pictures(path: Path) -> Container:
    """What `existing` has found a path or a pattern of, and how its pictures are opened. Raises `GenaeError`."""
    where = str(path)
    if path.is_dir():
        return _in_folder(path)
    if is_picture(path.name):
        return Container(
            where, [where], lambda: Files(where, [path.name], lambda _: path.read_bytes(), own=unrelated([path.name]))
        )
    find = FINDERS.get(path.suffix.lower())
    if find is None:
        return Container(where, [where], lambda: _laid_out(path, *_in_zip(path)))
    shards = [path] if path.exists() else shards_of(where)
    return Container(where, list(map(str, shards)), lambda: find(shards, where))


def _in_folder(root: Path) -> Container:
    """Every picture below a folder, or, where there is none, the pictures in the shards or the databases below it."""
    where, names = str(root), [*_below(root), *_beside(root)]
    if not any(map(is_picture, names)):
        for ending, find in FINDERS.items():
            shards = shards_below(root, ending)
            if shards:
                return Container(where, list(map(str, shards)), partial(find, shards, where))
        databases = [root] if (root / DATA).is_file() else [file.parent for file in sorted(root.glob(f"*/{DATA}"))]
        if databases:
            return Container(where, [str(folder / DATA) for folder in databases], lambda: find_in_lmdb(databases, root))
    return Container(
        where, sorted(f"{root}/{name}" for name in names),
        lambda: _laid_out(root, names, lambda name: (root / name).read_bytes()),
    )  # fmt: skip


def _laid_out(path: Path, names: Sequence[str], read: Callable[[str], bytes]) -> Files:
    """Pictures whose folders, or tables and lists beside them, say what belongs together; sorted by name."""
    pictures = sorted(filter(is_picture, names))
    if not pictures:
        raise GenaeError(f"{path} holds no images; expected files ending in {', '.join(sorted(EXTENSIONS))}")
    return Files(str(path), pictures, read, sorted(name for name in names if not is_picture(name)))


def _below(root: Path) -> Iterator[str]:
    """Pictures and lists of splits below a folder, as POSIX paths; links to folders are not followed, but named.

    A folder that may not be looked into raises `GenaeError`: its pictures and its class would be missing.
    """

    def refuse(error: OSError) -> None:
        if os.path.basename(error.filename) != "lost+found":  # of every disk, for its administrator alone
            raise GenaeError(f"the folder {error.filename} cannot be looked into ({cause(error)}); repair or remove it")

    for folder, folders, names in os.walk(root, onerror=refuse):
        for link in filter(os.path.islink, (os.path.join(folder, name) for name in folders)):
            screen.note(f"{link} is a link to a folder, which is not followed; move the folder itself there")
        above = "" if folder == str(root) else Path(folder).relative_to(root).as_posix() + "/"
        yield from filter(is_wanted, (above + name for name in names))


def _beside(root: Path) -> Iterator[str]:
    """Tables of splits beside a folder of pictures that holds none, as the makers of CelebA and Oxford-102 lay them."""
    for name in TABLES:
        if (root.parent / name).is_file() and not (root / name).exists():
            yield f"../{name}"


def _in_zip(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """Pictures and lists of splits in a zip, and how to read one.

    A folder that holds all of them is opened, as unpacking and entering it would.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise GenaeError(f"{path} is not a readable zip file: {cause(error)}") from None
    members = {slashed(name): name for name in archive.namelist()}
    stored = list(filter(is_wanted, members))
    top = common_folder(stored)
    return [name.removeprefix(top) for name in stored], lambda name: archive.read(members[top + name])
