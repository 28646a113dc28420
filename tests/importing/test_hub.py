"""Autoencoders by id: a server of one's own that answers as huggingface.co does, and none that answers."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from genae.errors import GenaeError
from genae.importing.diffusers_weights import read_diffusers

diffusers = pytest.importorskip("diffusers")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Repositories are folders NAME/REPOSITORY in ``root``; ``served`` are the files that were sent."""

    root: Path
    served: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0].strip("/").removeprefix("api/models/")
        owner, name, *rest = path.split("/")
        folder = self.root / owner / name
        if owner == "gated":
            self.answer(403, error="GatedRepo")
        elif not folder.is_dir():
            self.answer(404, error="RepoNotFound")
        elif rest[:1] == ["revision"] and rest[1] not in ("main", COMMIT):
            self.answer(404, error="RevisionNotFound")
        elif rest[:1] == ["revision"]:
            files = [{"rfilename": entry["path"]} for entry in listed(folder)]
            self.answer(200, json.dumps({"id": f"{owner}/{name}", "sha": COMMIT, "siblings": files}).encode())
        elif rest[:1] == ["tree"]:
            self.answer(200, json.dumps(listed(folder)).encode())
        elif rest[:1] == ["resolve"] and (file := folder.joinpath(*rest[2:])).is_file():
            if self.command == "GET":
                self.served.append("/".join(rest[2:]))
            self.answer(200, file.read_bytes())
        else:
            self.answer(404, error="EntryNotFound")

    def answer(self, status: int, body: bytes = b"{}", error: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def listed(folder: Path) -> list[dict[str, object]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        {
            "type": "file", "path": path.relative_to(folder).as_posix(), "size": path.stat().st_size,
            "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
        }
        for path in files
    ]  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    from huggingface_hub import constants

    class Mine(Hub):
        root = tmp_path / "hub"
        served: list[str] = []  # noqa: RUF012

    server = ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield Mine
    server.shutdown()
    server.server_close()


def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    return diffusers.AutoencoderTiny(num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1), **sizes)


def test_an_id_is_downloaded_at_its_commit_and_then_found_without_a_network(hub, tmp_path, monkeypatch):
    from huggingface_hub import constants

    network = tiny()
    pipeline = hub.root / "someone" / "pipeline"
    network.save_pretrained(pipeline / "vae")
    network.save_pretrained(pipeline / "unet")
    network.half().save_pretrained(pipeline / "vae", variant="fp16")
    torch.save({}, pipeline / "vae" / "diffusion_pytorch_model.bin")
    (pipeline / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    options, tensors, _ = read_diffusers("someone/pipeline")
    assert (options["source"], options["revision"]) == ("diffusers:someone/pipeline", COMMIT)
    assert options["licence"] == "apache-2.0"
    file = pipeline / "vae" / "diffusion_pytorch_model.safetensors"
    assert options["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    downloads = sorted({path for path in hub.served})
    assert downloads == ["README.md", "vae/config.json", "vae/diffusion_pytorch_model.safetensors"]
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert read_diffusers("someone/pipeline").options == options
    assert read_diffusers("someone/pipeline", COMMIT).options == options
    with pytest.raises(GenaeError, match=r"someone/other cannot be imported: http://127\.0\.0\.1:9 cannot be reached"):
        read_diffusers("someone/other")


def test_half_precision_alone_is_taken(hub):
    network = tiny().half()
    network.save_pretrained(hub.root / "someone" / "half", variant="fp16")
    options, tensors, _ = read_diffusers("someone/half", "main")
    assert options["licence"] == "not stated"
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensors[f"network.{name}"], tensor.float())


def test_what_cannot_be_downloaded_is_said_in_a_sentence(hub):
    (hub.root / "someone" / "empty").mkdir(parents=True)
    tiny().save_pretrained(hub.root / "someone" / "pickled", safe_serialization=False)
    for where, revision, sentence in (
        ("someone/none", None, r"someone/none cannot be imported: http.* has no such repository"),
        ("gated/model", None, "it asks for consent on its page"),
        ("someone/pickled", "beer", "it has no revision 'beer'"),
        ("someone/pickled", None, r"holds no diffusion_pytorch_model\.safetensors; weights in pickles are not read"),
        ("someone/empty", None, r"holds no config\.json"),
        ("no/folder/here", None, "it is neither a folder nor an id such as NAME/REPOSITORY"),
    ):
        with pytest.raises(GenaeError, match=sentence):
            read_diffusers(where, revision)
