"""Data sets by name."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torchvision

from genae.data import builtin
from genae.data.sources import open_data
from genae.errors import GenaeError
from tests.reading import pixels_of


def test_digits() -> None:
    data = open_data("digits")
    assert data.image_shape == (1, 8, 8)
    assert pixels_of(data).dtype == torch.uint8
    assert len(data) == 1797
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
    corner = pixels_of(data)[:, :, 0, 0].float().mean(1)
    dark = data.attributes["dark ground"]
    assert corner[dark].max() < corner[~dark].min()
    assert set(data.directions()) == {"large", "warm", "dark ground", "left", "high", "circle", "square", "triangle"}
    ink = (pixels_of(data).float() - pixels_of(data)[:, :, :1, :1].float()).abs().sum(1)
    columns = torch.arange(64.0) + 0.5
    centre = (ink.sum(1) * columns).sum(1) / ink.sum((1, 2)) / 64
    assert ((centre < 0.5) == data.attributes["left"]).float().mean() > 0.97


def test_the_writers_protocols_of_mnist(tmp_path: Path, mnist_copy: Callable[..., Path]) -> None:
    mnist_copy(tmp_path)
    official = open_data("mnist", data_root=str(tmp_path))
    train = len(official) - len(official.split("test"))
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


def test_downloads_come_from_torchvisions_mirrors(
    tmp_path: Path, mnist_copy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "cache"))
    import hashlib
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

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
    assert len(data) == 25
    assert (tmp_path / "cache" / "data" / "MNIST" / "raw").is_dir()


def test_neither_copy_nor_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "a" / "b"))
    with pytest.raises(
        GenaeError, match=r"mnist is not in .* could not be downloaded .*refused.* --data-root"
    ) as caught:
        open_data("mnist")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a").exists(), "a failed download leaves nothing behind"


def test_digits_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = builtin.digits()
    monkeypatch.setattr(builtin, "find_spec", lambda name: None)
    slow = builtin.digits()
    assert slow.labels is not None
    assert quick.labels is not None
    assert torch.equal(pixels_of(quick), pixels_of(slow))
    assert torch.equal(quick.labels, slow.labels)


def test_places_of_shapes_are_where_their_ink_is() -> None:
    places = builtin.shape_places(8, 64)
    drawn = builtin.shapes(64)
    assert places.shape == (64, 3, 8, 8)
    assert drawn.labels is not None
    assert torch.equal(places.sum((2, 3)).argmax(1), drawn.labels)
    pixels = pixels_of(drawn).float()
    ink = (pixels - pixels[:, :, :1, :1]).abs().sum(1).unfold(1, 8, 8).unfold(2, 8, 8)
    assert torch.equal(ink.sum((3, 4)) > 0, places.sum(1) > 0)


def test_processes_download_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path))
    at_work: list[int] = []

    def fetch() -> None:
        at_work.append(1)
        time.sleep(0.05)
        assert len(at_work) == 1, "two write the same files"
        at_work.pop()

    with ThreadPoolExecutor(3) as threads:  # each has a lock of its own, as processes have
        for downloaded in [threads.submit(builtin._download, "mnist", fetch) for _ in range(3)]:
            downloaded.result()
