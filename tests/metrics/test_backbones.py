"""Feature networks by name."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from genae.errors import GenaeError
from genae.metrics import weights
from genae.metrics.backbones import open_network
from genae.networks.inception import FidInception

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


def test_timms_networks(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    full = timm.create_model("resnet10t", pretrained=False).eval()
    save_file(full.state_dict(), tmp_path / "weights.safetensors")
    network = open_network("timm:resnet10t", CPU, {"timm:resnet10t": tmp_path / "weights.safetensors"})
    observed = network(images(2, 3, 50, 60))
    assert observed.features.shape == (2, 512)
    assert network.resize == "bicubic-antialias 176"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("incepton", "no feature network 'incepton'; did you mean 'inception'"),
        ("torchvision:resnet19", "torchvision has no classification network 'resnet19'; did you mean 'resnet18'"),
        ("timm:no_such_network", "timm:no_such_network could not be loaded from timm"),
    ],
)
def test_unknown_networks_are_explained(name: str, message: str) -> None:
    with pytest.raises(GenaeError, match=message):
        open_network(name, CPU)
