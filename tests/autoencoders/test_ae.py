"""The plain autoencoder, and what all baselines share."""

import pytest
import torch
from torch import nn

from genae.autoencoders import AUTOENCODERS
from genae.autoencoders.ae import EncoderDecoder
from genae.protocol import Part


def test_noise_on_codes_is_relative_to_their_spread(tiny_model, random_batches) -> None:
    def error(scale: float, noise: float) -> float:
        torch.manual_seed(0)
        model = tiny_model("adversarial", norm="none", code_noise=noise, critic_weight=0.0)
        with torch.no_grad():
            model.encoder.linear.weight *= scale
            model.encoder.linear.bias *= scale
            model.decoder.linear.weight /= scale
        torch.manual_seed(1)
        return float(next(iter(model.step(random_batches(0, Part()), 0))).loss)

    assert error(1.0, 0.5) != pytest.approx(error(1.0, 0.0), rel=1e-4)
    assert error(1.0, 0.5) == pytest.approx(error(100.0, 0.5), rel=1e-5), "larger codes do not escape it"


@pytest.mark.parametrize(("error", "expected"), [("l1", 0.5), ("l2", 0.25)])
def test_the_error_of_the_plain_autoencoder(error: str, expected: float, tiny_model, random_batches) -> None:
    model = tiny_model("ae", error=error)
    model.decoder = nn.Identity()
    model.encoder = type("Off", (nn.Module,), {"forward": lambda self, x: x + 0.5})()
    (update,) = model.step(random_batches(0, Part()), 0)
    assert float(update.loss) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="error is 'l3'; expected l1 or l2"):
        tiny_model("ae", error="l3")


@pytest.mark.parametrize("name", [name for name, model in AUTOENCODERS.items() if issubclass(model, EncoderDecoder)])
def test_every_baseline_can_be_dense(name: str, tiny_model, random_batches) -> None:
    model = tiny_model(name, networks="dense", norm="none")
    for update in model.step(random_batches(0, Part()), 0):
        update.loss.backward(retain_graph=update.keep_graph)
    assert not any(isinstance(module, nn.Conv2d) for module in model.modules())
    x = next(random_batches(0, Part()))
    assert model.encode(x).shape == (8, 6)
    assert float(model.decode(100 * torch.randn(8, 6)).abs().max()) == 1
    with pytest.raises(ValueError, match="norm is 'group'; dense networks have batch or none"):
        tiny_model(name, networks="dense", norm="group")
    with pytest.raises(ValueError, match="networks is 'resnet'; expected one of dcgan or dense"):
        tiny_model(name, networks="resnet")
