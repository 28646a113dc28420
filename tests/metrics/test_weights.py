"""Weight files: downloads, checks, damage."""

import functools
import hashlib
import http.server
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from genae.errors import GenaeError
from genae.metrics import weights
from genae.metrics.backbones import open_network

CPU = torch.device("cpu")


@pytest.mark.parametrize("damage", ["nan", "integers"])
def test_damaged_weights_are_refused(tmp_path: Path, damage: str) -> None:
    from torchvision import models

    state = models.resnet18(weights=None).state_dict()
    if damage == "nan":
        state["fc.weight"][3, 4] = torch.nan
    else:
        state = {key: value.long() for key, value in state.items()}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(GenaeError, match="the file is damaged"):
        open_network("torchvision:resnet18", CPU, {"torchvision:resnet18": tmp_path / "w.pth"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address that serves it."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield tmp_path / "served", f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_weights_are_downloaded_once_and_checked(
    server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "cache"))
    folder, address = server
    (folder / "w.pth").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    good = weights.Published(f"{address}/w.pth", digest[:8])
    assert weights.fetch("net", good, {}).read_bytes() == b"weights"
    (folder / "w.pth").unlink()
    assert weights.fetch("net", good, {}).read_bytes() == b"weights", "the second time from the cache"
    (folder / "other.pth").write_bytes(b"tampered")
    with pytest.raises(GenaeError, match=r"invalid hash value.*give the file with --weights net=FILE"):
        weights.fetch("net", weights.Published(f"{address}/other.pth", digest[:8]), {})
    with pytest.raises(GenaeError, match=r"HTTP Error 404.*give the file with --weights net=FILE"):
        weights.fetch("net", weights.Published(f"{address}/gone.pth", digest[:8]), {})
    assert [path.name for path in (tmp_path / "cache" / "weights").iterdir()] == ["w.pth"]


class Shell:
    """What a malicious pickle would hold."""

    def __reduce__(self) -> Any:
        return (Path.write_text, (Path("owned"), "x"))


def test_weight_files_run_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": Shell()}, "evil.pth")
    Path("evil.pkl").write_bytes(pickle.dumps(Shell()))
    for name in ("evil.pth", "evil.pkl"):
        with pytest.raises(GenaeError, match=f"{name} is not a readable weight file"):
            weights.read_weights(Path(name))
    assert not Path("owned").exists()


def broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "w.pth"
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.touch()
    elif kind == "cut":
        torch.save({"a": torch.zeros(9)}, path)
        path.write_bytes(path.read_bytes()[:-50])
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "other network":
        torch.save({"a": torch.zeros(9)}, path)
    elif kind == "safetensors":
        path = tmp_path / "w.safetensors"
        path.write_bytes(b"\x00" * 20)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "is not a readable weight file"),
        ("empty", "is not a readable weight file"),
        ("cut", "is not a readable weight file"),
        ("safetensors", "is not a readable weight file"),
        ("list", "does not hold named tensors"),
        ("other network", r"does not hold the weights of Inception-v3 .*: 'Conv2d_1a_3x3.bn.bias' differs"),
        ("absent", "there is no weight file"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(GenaeError, match=message):
        open_network("inception", CPU, {"inception": broken(tmp_path, kind)})
