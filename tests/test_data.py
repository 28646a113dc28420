"""Sources of every kind, and one clear sentence for each that cannot be used."""

import gzip
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from genae.data.attributes import read_attributes
from genae.data.sampler import shuffled
from genae.data.sources import open_data
from genae.data.transforms import parse_size, resize, to_uint8, to_unit_range
from genae.errors import GenaeError


@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 5))
def test_every_epoch_of_the_stream_is_a_permutation(total: int, batch: int, stream: int) -> None:
    stream_of = torch.cat([shuffled(i * batch, batch, total, 0, stream) for i in range(-(-3 * total // batch))])
    for epoch in range(3):
        assert sorted(stream_of[epoch * total : (epoch + 1) * total].tolist()) == list(range(total))


def test_the_stream_depends_on_seed_and_draw_and_not_on_how_it_is_read() -> None:
    whole = shuffled(0, 50, 20, seed=1)
    assert torch.equal(whole, torch.cat([shuffled(0, 13, 20, seed=1), shuffled(13, 37, 20, seed=1)]))
    assert not torch.equal(whole, shuffled(0, 50, 20, seed=2))
    assert not torch.equal(whole, shuffled(0, 50, 20, seed=1, stream=1))


def test_digits() -> None:
    data = open_data("digits")
    assert data.image_shape == (1, 8, 8)
    assert data.pixels.dtype == torch.uint8
    assert len(data.pixels) == 1797
    x = data.images(data.split("train"))
    assert x.min() == -1
    assert x.max() == 1
    together = torch.cat([data.split(s) for s in ("train", "validation", "test")])
    assert sorted(together.tolist()) == list(range(1797))
    assert data.digest == open_data("digits").digest
    assert data.digest != open_data("digits", size=10).digest


def test_shapes_have_the_attributes_that_they_say() -> None:
    data = open_data("shapes")
    assert data.image_shape == (3, 64, 64)
    corner = data.pixels[:, :, 0, 0].float().mean(1)
    dark = data.attributes["dark ground"]
    assert corner[dark].max() < corner[~dark].min()
    assert set(data.directions()) == {"large", "warm", "dark ground", "left", "high", "circle", "square", "triangle"}
    ink = (data.pixels.float() - data.pixels[:, :, :1, :1].float()).abs().sum(1)
    columns = torch.arange(64.0) + 0.5
    centre = (ink.sum(1) * columns).sum(1) / ink.sum((1, 2)) / 64
    assert ((centre < 0.5) == data.attributes["left"]).float().mean() > 0.97


def test_folder(folder_of_images: Path) -> None:
    data = open_data(str(folder_of_images))
    assert data.image_shape == (3, 12, 16)
    assert data.classes == ("cat", "dog")
    assert data.names[0] == "cat/0.png"
    assert {name: len(data.split(name)) for name in ("train", "validation", "test")} == {
        "train": 20, "validation": 2, "test": 2,
    }  # fmt: skip
    first = torch.from_numpy(np.array(Image.open(folder_of_images / "cat" / "0.png"))).permute(2, 0, 1)
    assert torch.equal(data.pixels[0], first)


def test_zip_of_a_folder_is_the_folder(folder_of_images: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in sorted(folder_of_images.rglob("*.png")):
            archive.write(file, file.relative_to(folder_of_images))
    zipped, folder = open_data(str(tmp_path / "pictures.zip")), open_data(str(folder_of_images))
    assert torch.equal(zipped.pixels, folder.pixels)
    assert zipped.digest == folder.digest


def test_split_folders_are_kept(folder_of_images: Path, tmp_path: Path) -> None:
    (tmp_path / "sets" / "test").mkdir(parents=True)
    (folder_of_images / "cat").rename(tmp_path / "sets" / "train")
    (folder_of_images / "dog" / "0.png").rename(tmp_path / "sets" / "test" / "0.png")
    data = open_data(str(tmp_path / "sets"))
    assert [data.names[i] for i in data.split("test").tolist()] == ["test/0.png"]
    assert len(data.split("train")) == 11
    assert len(data.split("validation")) == 1
    assert data.labels is None


@pytest.mark.parametrize(
    ("array", "shape", "low", "high"),
    [
        (np.zeros((9, 6, 5), np.uint8), (1, 6, 5), 0, 255),
        (np.zeros((9, 6, 5, 3), np.uint8), (3, 6, 5), 0, 255),
        (np.zeros((9, 4, 6, 5), np.uint8), (4, 6, 5), 0, 255),
        (np.zeros((9, 13, 20, 20), np.uint16), (13, 20, 20), 0, 65535),
        (np.zeros((9, 20, 20, 13), np.uint16), (13, 20, 20), 0, 65535),
        (np.arange(9 * 24, dtype=np.int64).reshape(9, 6, 4), (1, 6, 4), 0, 255),
        (np.arange(-90, 90, dtype=np.int16).reshape(9, 5, 4), (1, 5, 4), -90, 89),
        (np.linspace(0, 1, 270, dtype=np.float32).reshape(9, 6, 5), (1, 6, 5), 0, 1),
        (np.linspace(-1, 1, 270, dtype=np.float64).reshape(9, 6, 5), (1, 6, 5), -1, 1),
        (np.linspace(-7, 3, 270, dtype=np.float32).reshape(9, 6, 5), (1, 6, 5), -7, 3),
    ],
)
def test_arrays(array: np.ndarray, shape: tuple[int, ...], low: float, high: float, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", images=array, labels=np.arange(9) % 2)
    for file in ("a.npy", "a.npz"):
        data = open_data(str(tmp_path / file))
        assert data.image_shape == shape
        assert (data.low, data.high) == (low, high)
        x = data.images(torch.arange(9))
        assert float(x.min()) >= -1
        assert float(x.max()) <= 1
    assert data.classes == ("0", "1")


def test_sixteen_bit_and_rgba_files(tmp_path: Path) -> None:
    for folder, picture in {
        "deep": Image.fromarray(np.full((6, 5), 40_000, np.uint16)),
        "alpha": Image.fromarray(np.full((6, 5, 4), 200, np.uint8)),
        "grey": Image.fromarray(np.full((6, 5), 200, np.uint8)),
    }.items():
        (tmp_path / folder).mkdir()
        for i in range(4):
            picture.save(tmp_path / folder / f"{i}.png")
    deep = open_data(str(tmp_path / "deep"))
    assert float(deep.images(torch.tensor([0])).mean()) == pytest.approx(40_000 / 65_535 * 2 - 1, abs=1e-6)
    assert open_data(str(tmp_path / "alpha")).image_shape == (4, 6, 5)
    assert open_data(str(tmp_path / "alpha"), channels=3).image_shape == (3, 6, 5)
    assert open_data(str(tmp_path / "grey")).image_shape == (1, 6, 5)
    narrow = open_data(str(tmp_path / "deep"), value_range=(0, 50_000))
    assert float(narrow.images(torch.tensor([0])).mean()) == pytest.approx(0.6)


def test_value_range_of_floats_is_that_of_padding_too(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.linspace(-1, 1, 5 * 36, dtype=np.float32).reshape(5, 6, 6))
    data = open_data(str(tmp_path / "a.npy"), size=8, fit="pad")
    assert float(data.images(torch.tensor([4]))[0, 0, 0, 0]) == -1, "padding is black"


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def mnist_copy(root: Path) -> None:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 5)):
        images = np.arange(count * 784, dtype=np.int64).reshape(count, 28, 28).astype(np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8))


def test_the_writers_protocols_of_mnist(tmp_path: Path) -> None:
    mnist_copy(tmp_path)
    official = open_data("mnist", data_root=str(tmp_path))
    train = len(official.pixels) - len(official.split("test"))
    same, different = (open_data(name, data_root=str(tmp_path)) for name in ("mnist-sw", "mnist-dw"))
    parts = [set(same.split(name).tolist()) for name in ("train", "test")]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == set(range(train)), "both are official training images"
    assert len(parts[1]) == train // 6
    assert same.split("validation").tolist() == official.split("test").tolist()
    assert different.split("train").tolist() == list(range(train))
    assert different.split("test").tolist() == official.split("test").tolist()
    assert set(different.split("validation").tolist()) <= set(range(train))
    assert len({data.digest for data in (official, same, different)}) == 3


def test_local_copy_of_mnist_without_unpacking(tmp_path: Path) -> None:
    mnist_copy(tmp_path)
    data = open_data("mnist", data_root=str(tmp_path), size=32, fit="pad")
    assert data.image_shape == (1, 32, 32)
    assert data.split("test").tolist() == list(range(20, 25))
    assert not data.pixels[:, :, :2].any()
    assert data.pixels[0, 0, 2, 2:30].tolist() == list(range(28))


def test_a_damaged_copy_is_named(tmp_path: Path) -> None:
    mnist_copy(tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(GenaeError, match="train-images-idx3-ubyte.gz is not a complete IDX file"):
        open_data("mnist", data_root=str(tmp_path))


def test_downloads_come_from_torchvisions_mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "cache"))
    import hashlib
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    import torchvision

    mnist_copy(tmp_path / "served")
    raw = tmp_path / "served" / "MNIST" / "raw"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(raw)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    files = [(f.name, hashlib.md5(f.read_bytes()).hexdigest()) for f in sorted(raw.glob("*.gz"))]
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", files)
    try:
        data = open_data("mnist")
    finally:
        server.shutdown()
    assert len(data.pixels) == 25
    assert (tmp_path / "cache" / "data" / "MNIST" / "raw").is_dir()


def test_neither_copy_nor_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "a" / "b"))
    with pytest.raises(
        GenaeError, match=r"mnist is not in .* could not be downloaded .*refused.* --data-root"
    ) as caught:
        open_data("mnist")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a").exists(), "a failed download leaves nothing behind"


def folder_with(tmp_path: Path, **files: object) -> str:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in files.items():
        path = folder / f"{name}.png"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            Image.fromarray(np.zeros(content, np.uint8)).save(path)
    return str(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no images"),
        ({"a": (4, 4), "b": (4, 4, 3)}, r"mixes channel counts \(1 with 1, 1 with 3\); choose one with --channels"),
        ({"a": (4, 4), "b": (5, 4)}, "2 sizes .* --size"),
        ({"a": (4, 4), "b": b"not a picture", "c": b""}, r"2 of 3 files .* b.png .*--skip-bad"),
        ({"b": b"not a picture"}, "1 of 1 files"),
    ],
)
def test_folders_that_cannot_be_used(files: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(GenaeError, match=message) as caught:
        open_data(folder_with(tmp_path, **files))
    assert "\n" not in str(caught.value)


def test_skipping_bad_files_names_and_counts_them(tmp_path: Path) -> None:
    files = {"a": (4, 4), "b": b"not a picture", "c": (4, 4), "d": (4, 4)}
    data = open_data(folder_with(tmp_path, **files), skip_bad=True)
    assert len(data.pixels) == 3
    assert any("1 unreadable files skipped: b.png" in note for note in data.notes)


def test_a_truncated_picture_is_bad(folder_of_images: Path) -> None:
    file = folder_of_images / "cat" / "3.png"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(GenaeError, match=r"1 of 24 files .* cat/3.png"):
        open_data(str(folder_of_images))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((9, 4, 4), np.nan), "9 images hold NaN"),
        (np.zeros((9, 2, 2, 2), np.uint8), "two ways; say --layout"),
        (np.zeros((0, 4, 4), np.uint8), "holds no images"),
        (np.zeros((9, 4)), r"images \(9, 4\); expected an array"),
        (np.zeros((9, 4, 4), np.complex64), "complex64; expected integers or floats"),
        (np.full((9, 4, 4), 3.0), "value range .* 3 to 3; expected low < high"),
    ],
)
def test_arrays_that_cannot_be_used(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(GenaeError, match=message):
        open_data(str(tmp_path / "a.npy"))


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(GenaeError, match="not a readable NumPy file"):
        open_data(str(tmp_path / "a.npy"))


def test_missing_paths_suggest_names() -> None:
    with pytest.raises(GenaeError, match="did you mean 'digits'"):
        open_data("digit")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(8, 8), (9, 14), (40, 30)])
def test_resize_gives_the_size_and_keeps_flat_images_flat(fit: str, size: tuple[int, int]) -> None:
    images = torch.full((2, 3, 20, 30), 100, dtype=torch.uint8)
    out = resize(images, size, fit)
    assert out.shape == (2, 3, *size)
    assert out[..., size[0] // 2, size[1] // 2].eq(100).all()
    if fit != "pad":
        assert out.eq(100).all()


def test_sizes_in_words() -> None:
    assert parse_size("64") == (64, 64)
    assert parse_size("48x64") == (48, 64)
    for bad in ("", "big", "4x5x6", "0", "-3"):
        with pytest.raises(GenaeError, match="expected a number of pixels"):
            parse_size(bad)


def test_bytes_survive_the_models_range() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_unit_range(values, 0, 255)), values)


def test_attribute_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,smile,hat\nx/1.png,1,no\n0.png,-1,yes\n")
    table, _ = read_attributes(str(tmp_path / "a.csv"), ["0.png", "x/1.png"], 2)
    assert table["smile"].tolist() == [False, True]
    assert table["hat"].tolist() == [True, False]
    (tmp_path / "celeba.txt").write_text("2\nBald Young\n000001.jpg -1  1\n000002.jpg  1 -1\n")
    table, _ = read_attributes(str(tmp_path / "celeba.txt"), ["img/000002.jpg", "img/000001.jpg"], 2)
    assert table["Bald"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,smile\n0.png,1\n", "no row for 1 of 2 images .*1.png"),
        ("file,smile\n0.png,1\n1.png,maybe\n", "smile holds 'maybe'"),
        ("file,smile\n0.png,1\n1.png\n", "row 2 has 1 fields; the header has 2"),
        ("", "holds no attributes"),
    ],
)
def test_attribute_tables_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(GenaeError, match=message):
        read_attributes(str(tmp_path / "a.csv"), ["0.png", "1.png"], 2)


def test_labels_belong_to_the_identity_of_data(tmp_path: Path) -> None:
    images = np.arange(9 * 16, dtype=np.uint8).reshape(9, 4, 4)
    for name, labels in (("a", np.arange(9) % 2), ("b", 1 - np.arange(9) % 2), ("c", np.arange(9) % 3)):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=labels)
    assert len({open_data(str(tmp_path / f"{name}.npz")).digest for name in "abc"}) == 3


def test_a_zip_made_around_a_folder_keeps_its_classes(folder_of_images: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        for file in sorted(folder_of_images.rglob("*.png")):
            archive.write(file, Path("outer") / file.relative_to(folder_of_images))
    data = open_data(str(tmp_path / "outer.zip"))
    assert data.classes == ("cat", "dog")
    assert data.names[0] == "cat/0.png"


def test_sixteen_bit_colour_keeps_its_depth(tmp_path: Path) -> None:
    from torchvision.io import decode_image, write_png

    write_png(torch.zeros(3, 4, 5, dtype=torch.uint8), str(tmp_path / "eight.png"))
    assert decode_image(str(tmp_path / "eight.png")).shape == (3, 4, 5)
    (tmp_path / "deep").mkdir()
    for i in range(3):
        (tmp_path / "deep" / f"{i}.png").write_bytes(png16(np.full((4, 5, 3), 4000 + i, np.uint16)))
    data = open_data(str(tmp_path / "deep"))
    assert (data.low, data.high) == (0, 65535)
    assert data.pixels[1].unique().tolist() == [4001]


def png16(pixels: np.ndarray) -> bytes:
    """A 16-bit RGB PNG, written by hand: Pillow cannot."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(20 * 12, dtype=np.uint8).reshape(20, 12))
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    for i in range(3):
        picture.save(tmp_path / f"{i}.png", exif=exif)
    assert open_data(str(tmp_path)).image_shape == (1, 12, 20)


def test_nan_in_a_float_tiff_is_a_bad_file(tmp_path: Path) -> None:
    for i, value in enumerate((0.0, 1.0, float("nan"))):
        Image.fromarray(np.full((4, 4), value, np.float32)).save(tmp_path / f"{i}.tiff")
    with pytest.raises(GenaeError, match=r"1 of 3 files .*2.tiff \(it holds NaN"):
        open_data(str(tmp_path), value_range=(0, 1))


@pytest.mark.parametrize("layout", ["nhwc", "bananas"])
def test_layouts_are_checked(layout: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 5, 6, 7), np.uint8))
    with pytest.raises(GenaeError, match="expected NCHW or NHWC"):
        open_data(str(tmp_path / "a.npy"), layout=layout)
    with pytest.raises(GenaeError, match="two ways"):
        open_data(str(tmp_path / "a.npy"))
    assert open_data(str(tmp_path / "a.npy"), layout="NHWC").image_shape == (7, 5, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels is 0"),
        ({"channels": -1}, "channels is -1"),
        ({"value_range": (0, float("inf"))}, "value range .* 0 to inf"),
        ({"fit": "squeeze"}, "fit is 'squeeze'"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, object], message: str) -> None:
    with pytest.raises(GenaeError, match=message):
        open_data("digits", **options)


def test_extreme_aspects_survive_resizing(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((4, 8, 200), np.uint8))
    for size, fit in (("12", "pad"), ("64x4", "crop"), ("4x300", "stretch")):
        data = open_data(str(tmp_path / "wide.npy"), size=size, fit=fit)
        assert data.image_shape[1:] == parse_size(size)


def test_empty_files_are_refused(tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz", "a.zip"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(GenaeError, match="not a readable"):
            open_data(str(tmp_path / name))


def test_same_names_in_several_folders_need_their_path(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,smile\n0.png,1\n")
    with pytest.raises(GenaeError, match="no row for 2 of 2 images"):
        read_attributes(str(tmp_path / "a.csv"), ["x/0.png", "y/0.png"], 2)
    (tmp_path / "b.csv").write_text("file,smile\n0.png,1\n0.png,0\n")
    with pytest.raises(GenaeError, match="more than one row '0.png'"):
        read_attributes(str(tmp_path / "b.csv"), ["0.png"], 1)


def _listed(root: Path, above: str, train: str, test: str, lines: dict[str, list[str]]) -> Path:
    """Indoor67's and Places205's layouts: pictures in folders of classes, and lists beside them."""
    for name in (f"{place}/{i}.png" for place in ("a/abbey", "a/alley", "bar") for i in range(4)):
        path = root / above / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), int(path.stem), np.uint8)).save(path)
    (root / train).parent.mkdir(parents=True, exist_ok=True)
    for list_name, wanted in lines.items():
        (root / {"train": train, "test": test}[list_name]).write_text("\n".join(wanted) + "\n")
    return root


@pytest.mark.parametrize(
    ("above", "train", "test", "end"),
    [("Images", "TrainImages.txt", "TestImages.txt", ""), ("data/x", "lists/train_p.csv", "lists/test_p.csv", ",7")],
)
def test_official_splits_come_from_lists(above: str, train: str, test: str, end: str, tmp_path: Path) -> None:
    lines = {
        "train": [f"{c}/{i}.png{end}" for c in ("a/abbey", "a/alley", "bar") for i in (0, 1, 2)],
        "test": [f"bar/3.png{end}", f"a/abbey/3.png{end}"],
    }
    root = _listed(tmp_path / "set", above, train, test, lines)
    data = open_data(str(root))
    assert data.classes == ("a/abbey", "a/alley", "bar")
    assert data.labels is not None
    held = data.split("test").tolist()
    assert [data.names[i] for i in held] == [f"{above}/bar/3.png", f"{above}/a/abbey/3.png"]
    assert data.labels[held].tolist() == [2, 0]
    assert sum(len(data.split(name)) for name in ("train", "validation")) == 9, "a/alley/3.png is in no list"
    assert "11 of 12" in data.notes[0]
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in root.rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path))
    assert open_data(str(tmp_path / "set.zip")).digest == data.digest

    (root / train).unlink()
    more = open_data(str(root))
    assert sum(len(more.split(name)) for name in ("train", "validation")) == 10, "all that is not for testing"
    (root / test).write_text("bar/3.png\nbar/30.png\n")
    with pytest.raises(GenaeError, match="1 of the 2 pictures in the test list are not there, such as .*bar/30.png"):
        open_data(str(root))
    (root / test).write_text("# no picture\n")
    with pytest.raises(GenaeError, match="the line '# no picture'"):
        open_data(str(root))
    (root / test).write_text("\ufeffbar/3.png\nbar/3.png\n", encoding="utf-8")
    assert len(open_data(str(root)).split("test")) == 1, "named once, behind a byte order mark"
    (root / train).write_text("bar/2.png\nbar/3.png\n")
    with pytest.raises(GenaeError, match="1 pictures are in the .* list and in the .* list, such as .*bar/3.png"):
        open_data(str(root))
    (root / train).write_text("\n")
    with pytest.raises(GenaeError, match="is empty; expected a picture's path in every line"):
        open_data(str(root))


def test_the_papers_other_layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ImageNet: folders of splits and classes. CIFAR-100: torchvision's copy."""
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for wordnet in ("n01440764", "n01443537"):
            folder = tmp_path / "imagenet" / split / wordnet
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (40 + i, 30)).save(folder / f"{wordnet}_{i}.JPEG")
    data = open_data(str(tmp_path / "imagenet"), size=24, fit="crop")
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [12, 4, 4]
    assert data.classes == ("n01440764", "n01443537")
    assert data.image_shape == (3, 24, 24)

    folder = tmp_path / "cifar" / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, count in (("train", 20), ("test", 5)):
        content = {"data": np.zeros((count, 3072), np.uint8), "fine_labels": [i % 3 for i in range(count)]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple", "bear", "can"]}))
    # torchvision checks the sums of the real files
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setitem(torchvision.datasets.CIFAR100.meta, "md5", None)
    data = open_data("cifar100", data_root=str(tmp_path / "cifar"))
    assert data.image_shape == (3, 32, 32)
    assert data.classes == ("apple", "bear", "can")
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [18, 2, 5]
