"""Path lengths: closed forms."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from genae.autoencoders import AUTOENCODERS
from genae.data.sampler import mix_seed
from genae.data.sources import open_data
from genae.latent.paths import lerp, slerp
from genae.metrics.path_length import path_lengths, trimmed_mean
from genae.priors.gaussian import GaussianPrior
from tests.metrics.vectors import VECTORS, t


def test_path_lengths_of_a_prior_have_closed_forms() -> None:
    """w = 3 z and pixels 0.01 w: straight lines in w have the length of their ends' difference, circles that of the
    arc."""
    from genae.metrics.features import FeatureNetwork
    from genae.metrics.path_length import by_features, prior_path_lengths

    class Tripled(GaussianPrior):
        def latent(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
            z = torch.randn(count, 4, generator=generator)
            return z / z.norm(dim=1, keepdim=True)

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return 3 * z

    network = FeatureNetwork("pixels", "pixels", "", "none", lambda images: (images.flatten(1) / 127.5 - 1, None))
    perceiver = by_features(network)
    prior = Tripled(4)
    decode = lambda w: 0.01 * w.view(-1, 4, 1, 1)  # noqa: E731
    found: dict[str, list[torch.Tensor]] = {}
    for kind, values in prior_path_lengths(prior, decode, perceiver.distance, 40, 0):
        found.setdefault(kind, []).append(values)
    assert {kind: sum(map(len, parts)) for kind, parts in found.items()} == dict.fromkeys(
        ("z_full", "z_end", "w_full", "w_end"), 40
    )
    generator = torch.Generator().manual_seed(mix_seed("paths", 0))
    a, b = (prior.latent(16, generator).double() for _ in range(2))
    chord = (0.03 * (a - b)).square().mean(1)
    arc = (0.03 * torch.acos((a * b).sum(1))).square() / 4
    for end in ("full", "end"):  # steps of 1e-4 keep few digits of float32 pixels
        for space, expected in (("w", chord), ("z", arc)):
            assert torch.allclose(found[f"{space}_{end}"][0], expected, rtol=0.1)
            assert float(found[f"{space}_{end}"][0].mean()) == pytest.approx(float(expected.mean()), rel=0.02)


def test_perceptual_path_lengths_use_lpips_on_images_of_at_most_256_pixels() -> None:
    from genae.metrics.lpips import Lpips
    from genae.metrics.path_length import by_lpips

    torch.manual_seed(0)
    lpips = Lpips()
    for p in lpips.parameters():
        torch.nn.init.normal_(p, std=0.05)
    perceiver = by_lpips(lpips)
    assert perceiver.suffix == "other-weights"
    assert by_lpips(Lpips(published=True)).suffix == ""
    x, y = torch.rand(2, 1, 3, 512, 512).unbind(0)
    small = [torch.nn.functional.avg_pool2d(image, 2) for image in (x, y)]
    assert torch.allclose(perceiver.distance(x, y), lpips(*small))
    assert torch.allclose(perceiver.distance(*small), lpips(*small))


def test_path_lengths_of_a_linear_generator() -> None:
    v = VECTORS["ppl"]
    w, a, b, at = t(*v["W"]), t(*v["z0"]), t(*v["z1"]), t(*v["t"])

    def lengths(path: Any) -> torch.Tensor:
        return path_lengths(lambda z: z @ w.T, lambda x, y: (x - y).square().sum(1), path, a, b, at)

    assert lengths(lerp).tolist() == pytest.approx(v["lerp"]["per_sample"], rel=1e-6)
    assert lengths(slerp).tolist() == pytest.approx(v["slerp"]["finite_difference_per_sample"], rel=1e-6)
    assert trimmed_mean(t(*v["discard"]["distances"])) == v["discard"]["mean_lower_higher"]


def test_images_are_not_clipped_on_paths(tiny_model: Callable[..., Any]) -> None:
    """Where clipped images would not change at all, the generator's own do."""
    from genae.metrics.backbones import Networks
    from genae.metrics.evaluation import Request, opened
    from genae.metrics.of_model import ModelEvaluation, Subject

    model = tiny_model("alae").eval()
    with torch.no_grad():
        (*_, last) = (p for p in model.decoder.parameters() if p.ndim == 1)
        last += 50
    data = open_data("digits")
    request = Request(networks=["pixels"], samples=16)
    evaluation = ModelEvaluation(
        Subject(model, "", data.digest, "model"), data, opened(["fpl"]), request, Networks(torch.device("cpu"))
    )
    records = evaluation.run()
    assert (model.decode(torch.zeros(1, 6)) == 1).all()
    assert len(records) == 4
    for record in records:
        assert record["value"] > 0
        assert record["fingerprint"]["values"] == "not clipped"


@pytest.mark.parametrize("name", list(AUTOENCODERS))
def test_decoding_is_decoding_without_clipping_clipped(
    name: str, tiny_model: Callable[..., Any], tiny_shape: tuple[int, int, int]
) -> None:
    model = tiny_model(name).eval()
    with torch.no_grad():
        like = model.encode(torch.zeros(3, *tiny_shape)) if model.has_encoder else torch.zeros(3, 6)
        codes = 9 * torch.randn(like.shape, generator=torch.Generator().manual_seed(0))
        clipped = model.decode_unclipped(codes).clamp(-1, 1)  # of such codes a flow that has learned nothing makes NaN
        torch.testing.assert_close(model.decode(codes), clipped, rtol=0, atol=0, equal_nan=True)
