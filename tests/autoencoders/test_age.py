"""AGE's game against slow references."""

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from genae.protocol import Part


def divergence(codes: Tensor) -> Tensor:
    return kl_divergence(Normal(codes.mean(0), codes.std(0, correction=0)), Normal(0.0, 1.0)).mean()


def on_sphere(rows: Tensor) -> Tensor:
    return torch.stack([row / row.square().sum().sqrt() for row in rows])


def test_the_encoder_tells_images_from_what_the_generator_makes(assert_same, updates) -> None:
    model, x, (first, *_) = updates("age", image_weight=3.0)
    torch.manual_seed(1)
    z = on_sphere(torch.randn(8, 6))
    c, c_new = on_sphere(model.encoder(x)), on_sphere(model.encoder(model.decoder(z)))
    error = (x - model.decoder(c)).abs().sum() / x.numel()
    assert first.trains == [model.encoder]
    assert_same(first.loss, divergence(c) - divergence(c_new) + 3 * error, model.encoder)


def test_the_generator_lowers_its_own_divergence_and_gives_codes_back(assert_same, updates) -> None:
    model, _, found = updates("age", code_weight=7.0, generator_steps=3)
    assert [update.trains for update in found] == [[model.encoder], *[[model.decoder]] * 3]
    torch.manual_seed(1)
    torch.randn(8, 6)  # of e's update
    for update in found[1:]:
        z = on_sphere(torch.randn(8, 6))
        c_new = on_sphere(model.encoder(model.decoder(z)))
        distance = torch.stack([1 - a @ b for a, b in zip(c_new, z, strict=True)]).mean()
        assert_same(update.loss, divergence(c_new) + 7 * distance, model.decoder)


def test_codes_and_samples_lie_on_the_sphere(tiny_model, generator) -> None:
    model = tiny_model("age").eval()
    codes = model.encode(torch.randn(5, 1, 8, 8, generator=generator()))
    drawn = model.priors["sphere"].sample(1000, generator())
    for rows in (codes, drawn):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))
    assert drawn.mean(0).abs().max() < 0.05
    torch.testing.assert_close(drawn.T.cov(), torch.eye(6) / 6, atol=0.02, rtol=0)
    torch.testing.assert_close(model.decode(3 * codes), model.decode(codes))


def test_the_encoders_stored_statistics_are_those_of_images(tiny_model, random_batches) -> None:
    model, expected = tiny_model("age"), tiny_model("age")
    list(model.step(random_batches(0, Part()), 0))
    expected.encoder(next(random_batches(0, Part())))
    for mine, its in zip(model.encoder.buffers(), expected.encoder.buffers(), strict=True):
        assert torch.equal(mine, its)
