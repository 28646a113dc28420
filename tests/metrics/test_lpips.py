"""LPIPS."""

from pathlib import Path

import pytest
import torch
from torch import nn

from genae.errors import GenaeError
from genae.metrics import weights
from genae.metrics.lpips import CHANNELS, Lpips, open_lpips

CPU = torch.device("cpu")


def images(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, channels, height, width), generator=generator, dtype=torch.uint8)


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


def test_channels_of_lpips_are_vggs() -> None:
    convolutions = [layer.out_channels for layer in Lpips().features if isinstance(layer, nn.Conv2d)]
    assert tuple(dict.fromkeys(convolutions)) == tuple(dict.fromkeys(CHANNELS))
