"""Feature networks: the published ones against independent implementations with the same (random) weights."""

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
from safetensors.torch import save_file
from torch import nn

from genae.errors import GenaeError
from genae.metrics import weights
from genae.metrics.backbones import open_network
from genae.metrics.lpips import CHANNELS, Lpips, open_lpips
from genae.networks.inception import FidInception, tf1_resize

CPU = torch.device("cpu")


def images(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, channels, height, width), generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the names of the published file."""
    torch.manual_seed(0)
    network = FidInception()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    state = {key.replace("head.", "fc."): value for key, value in network.state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(state, path)
    return path


def test_inception_is_torch_fidelitys(inception_file: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("reference", ["2048", "logits_unbiased"], str(inception_file))
    ours = open_network("inception", CPU, {"inception": inception_file})
    for side in (32, 300):
        x = images(2, 3, side, side + 7)
        with torch.no_grad():
            features, logits = theirs(x)
        observed = ours(x)
        assert observed.probabilities is not None
        assert float((observed.features - features).abs().max() / features.abs().max()) < 2e-6
        assert float((observed.probabilities - logits.double().softmax(1)).abs().max()) < 1e-5


def test_inception_takes_grey_images_and_refuses_others(inception_file: Path) -> None:
    network = open_network("inception", CPU, {"inception": inception_file})
    grey = images(2, 1, 20, 20)
    assert torch.equal(network(grey).features, network(grey.repeat(1, 3, 1, 1)).features)
    with pytest.raises(GenaeError, match="Inception-v3 takes grey or RGB images; these have 4 channels"):
        network(images(1, 4, 20, 20))


def test_other_inception_weights_have_another_name(inception_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = open_network("inception", CPU, {"inception": inception_file})
    assert (other.name, other.suffix) == ("inception-v3 (other weights)", "inception-other-weights")
    digest = hashlib.sha256(inception_file.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr("genae.metrics.backbones.INCEPTION", weights.Published("http://nowhere/x.pth", digest))
    published = open_network("inception", CPU, {"inception": inception_file})
    assert (published.name, published.suffix) == ("inception-v3", "")
    assert published.digest == other.digest


@pytest.mark.parametrize("side", [7, 32, 299, 400])
def test_tf1_resize(side: int) -> None:
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    x = images(2, 3, side, side + 5).float()
    theirs = interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    assert torch.allclose(tf1_resize(x, 299), theirs, atol=2e-3)
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
    assert tf1_resize(ramp, 8)[0, 0, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3], "no half-pixel centres"


@pytest.mark.slow
def test_lpips_is_torchmetrics(tmp_path: Path) -> None:
    import torchmetrics.functional.image as theirs_at
    from torchmetrics.functional.image.lpips import _LPIPS
    from torchvision.models import vgg16

    linear = Path(theirs_at.__file__).parent / "lpips_models" / "vgg.pth"
    assert weights.is_published(linear, weights.LPIPS_VGG)
    torch.manual_seed(0)
    backbone = vgg16(weights=None, init_weights=False)
    torch.save(backbone.state_dict(), tmp_path / "vgg16.pth")
    theirs = _LPIPS(pretrained=True, net="vgg", pnet_rand=True).eval()
    for number in range(5):
        for layer in getattr(theirs.net, f"slice{number + 1}"):
            if isinstance(layer, nn.Conv2d):
                layer.load_state_dict(backbone.features[_index(theirs.net, layer)].state_dict())
    ours = open_lpips(CPU, {"vgg16": tmp_path / "vgg16.pth", "lpips": linear})
    x, y = (images(3, 3, 40, 33).float() / 127.5 - 1).split([1, 2])
    x = x.expand(2, -1, -1, -1)
    with torch.no_grad():
        assert torch.allclose(ours(x, y), theirs(x, y).flatten(), rtol=1e-5)
        assert ours(x, x).tolist() == [0, 0]
    with pytest.raises(GenaeError, match="at least 16 pixels"):
        ours(x[..., :8], y[..., :8])


def _index(network: nn.Module, layer: nn.Module) -> int:
    """Position in VGG's features of a layer of torchmetrics' slices, which keep VGG's numbers as names."""
    names = [name for name, module in network.named_modules() if module is layer]
    return int(names[0].split(".")[1])


def test_lpips_of_unit_weights_by_its_definition() -> None:
    torch.manual_seed(0)
    network = Lpips().eval()
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    for weight in network.weights:
        nn.init.ones_(weight)
    x, y = (images(2, 3, 16, 16).double() / 127.5 - 1).split(1)
    network = network.double()
    expected = 0.0
    with torch.no_grad():
        a, b = (
            (i - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
            / torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
            for i in (x, y)
        )
        for number, layer in enumerate(network.features):
            a, b = layer(a), layer(b)
            if number in (3, 8, 15, 22, 29):
                cosine = nn.functional.cosine_similarity(a, b)
                expected += float((2 - 2 * cosine).mean())  # ||u - v||^2 of unit vectors
        assert float(network(x, y)) == pytest.approx(expected, rel=1e-5)


def test_pixels() -> None:
    x = images(3, 2, 4, 5)
    observed = open_network("pixels", CPU)(x)
    assert torch.allclose(observed.features, x.flatten(1) / 127.5 - 1, atol=1e-6)
    assert observed.probabilities is None


@pytest.mark.parametrize(("member", "width"), [("resnet18", 512), ("mobilenet_v3_small", 1024), ("vit_b_16", 768)])
def test_torchvisions_networks_give_the_input_of_their_last_layer(tmp_path: Path, member: str, width: int) -> None:
    from torchvision import models

    torch.manual_seed(0)
    full = models.get_model(member, weights=None).eval()
    last = [module for module in full.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.normal_(last.weight)
    path = tmp_path / "weights.safetensors"
    save_file(full.state_dict(), path)
    network = open_network(f"torchvision:{member}", CPU, {f"torchvision:{member}": path})
    x = images(2, 3, 224, 224)
    observed = network(x)
    assert observed.features.shape == (2, width)
    with torch.no_grad():
        preset = models.get_model_weights(member).DEFAULT.transforms()
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (preset.mean, preset.std))
        assert torch.allclose(last(observed.features), full((x / 255 - mean) / std), rtol=1e-4, atol=1e-3)
    assert network.suffix == f"torchvision-{member}"


@pytest.mark.parametrize("member", ["googlenet", "inception_v3"])
def test_networks_with_a_range_of_their_own(tmp_path: Path, member: str) -> None:
    from torchvision import models

    torch.manual_seed(0)
    pretrained = models.get_model(member, weights=None, transform_input=True, init_weights=False).eval()
    for module in pretrained.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)  # signals that do not fade on their way to the end
    torch.save(pretrained.state_dict(), tmp_path / "w.pth")
    network = open_network(f"torchvision:{member}", CPU, {f"torchvision:{member}": tmp_path / "w.pth"})
    preset = models.get_model_weights(member).DEFAULT.transforms()
    x = images(2, 3, preset.crop_size[0], preset.crop_size[0])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (preset.mean, preset.std))
    with torch.no_grad():
        logits = pretrained((x / 255 - mean) / std)
        assert torch.allclose(pretrained.fc(network(x).features), logits, rtol=1e-4, atol=1e-4)
        pretrained.transform_input = False
        other = pretrained((x / 255 - mean) / std)
        assert (other - logits).abs().max() > 0.1 * logits.abs().max(), "the range matters here"


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


def test_timms_networks(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    full = timm.create_model("resnet10t", pretrained=False).eval()
    save_file(full.state_dict(), tmp_path / "weights.safetensors")
    network = open_network("timm:resnet10t", CPU, {"timm:resnet10t": tmp_path / "weights.safetensors"})
    observed = network(images(2, 3, 50, 60))
    assert observed.features.shape == (2, 512)
    assert network.resize == "bicubic-antialias 176"


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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("incepton", "no feature network 'incepton'; did you mean 'inception'"),
        ("torchvision:resnet19", "torchvision has no classification network 'resnet19'; did you mean 'resnet18'"),
        ("timm:no_such_network", "timm:no_such_network could not be had from timm"),
    ],
)
def test_unknown_networks_are_explained(name: str, message: str) -> None:
    with pytest.raises(GenaeError, match=message):
        open_network(name, CPU)


def test_channels_of_lpips_are_vggs() -> None:
    convolutions = [layer.out_channels for layer in Lpips().features if isinstance(layer, nn.Conv2d)]
    assert tuple(dict.fromkeys(convolutions)) == tuple(dict.fromkeys(CHANNELS))
