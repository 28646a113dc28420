"""What each autoencoder's updates are, against the equations of its paper written out by hand."""

import pytest
import torch
from torch import nn

from genae.autoencoders import AUTOENCODERS
from genae.autoencoders.ae import EncoderDecoder
from genae.losses import gaussian_kl, mse
from genae.networks.variational import posterior
from genae.protocol import Part, Update


def updates(tiny_model, random_batches, name: str, **options: object) -> tuple[nn.Module, torch.Tensor, list[Update]]:
    """A model, the first batch of an iteration, and its updates; no optimiser steps between them."""
    torch.manual_seed(0)
    model = tiny_model(name, norm="none", **options)
    x = next(random_batches(0, Part()))
    torch.manual_seed(1)
    return model, x, list(model.step(random_batches(0, Part()), 0))


def test_the_vae_minimises_its_bound(tiny_model, random_batches) -> None:
    model, x, (update,) = updates(tiny_model, random_batches, "vae", beta=3.0, variance=0.2, learn_variance=False)
    mean, log_variance = posterior(model.encoder(x))
    torch.manual_seed(1)
    z = mean + (log_variance / 2).exp() * torch.randn(8, 6)
    x_hat = model.decoder(z)
    likelihood = torch.distributions.Normal(x_hat, 0.2**0.5).log_prob(x) + 0.5 * torch.log(torch.tensor(2 * torch.pi))
    bound = -likelihood.flatten(1).sum(1).mean() + 3.0 * gaussian_kl(mean, log_variance)
    assert float(update.loss) == pytest.approx(float(bound) / 64, rel=1e-5)


def test_the_learned_variance_becomes_the_error(tiny_model, random_batches) -> None:
    model, _, _ = updates(tiny_model, random_batches, "vae")
    error = torch.tensor(0.037)
    optimiser = torch.optim.Adam(model.likelihood.parameters(), 1e-3)
    for _ in range(1000):
        optimiser.zero_grad()
        model.likelihood(error).backward()
        optimiser.step()
    assert float(model.likelihood.log_variance.exp()) == pytest.approx(0.037, rel=1e-3)


def test_the_decoder_of_vae_gan_deceives_the_critic(tiny_model, random_batches) -> None:
    # Its gradient from the adversarial term raises the critic's logits on its images: a library has the sign wrong.
    model, _, found = updates(tiny_model, random_batches, "vae-gan", style_weight=0.0)
    decoder = found[1]
    assert decoder.trains == [model.decoder]
    z = torch.randn(64, 6)
    with torch.no_grad():
        before = model.critic(model.decoder(z)).mean()
    torch.manual_seed(1)
    for update in model.step(random_batches(0, Part()), 0):
        gradients = torch.autograd.grad(
            update.loss, list(update.trains[0].parameters()), retain_graph=True, allow_unused=True
        )
        if update.trains == [model.decoder]:
            with torch.no_grad():
                for p, gradient in zip(model.decoder.parameters(), gradients, strict=True):
                    p -= 1.0 * gradient
    with torch.no_grad():
        assert model.critic(model.decoder(z)).mean() > before


def test_the_encoder_of_vae_gan_gets_no_adversarial_gradient(tiny_model, random_batches) -> None:
    model, x, found = updates(tiny_model, random_batches, "vae-gan")
    encoder = found[0]
    assert encoder.trains == [model.encoder]
    mean, log_variance = posterior(model.encoder(x))
    torch.manual_seed(1)
    x_hat = model.decoder(mean + (log_variance / 2).exp() * torch.randn(8, 6))
    likeness = mse(model.critic.features(x_hat), model.critic.features(x))
    expected = likeness + gaussian_kl(mean, log_variance) / 64
    assert float(encoder.loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["bigan", "ali"])
def test_the_joint_game_is_symmetric(name: str, tiny_model, random_batches) -> None:
    # At a blind critic both sides pay: D 2 log 2, E and G 2 log 2.
    model = tiny_model(name)
    for p in model.critic.parameters():
        nn.init.zeros_(p)
    critic, both = model.step(random_batches(0, Part()), 0)
    assert critic.trains == [model.critic]
    assert both.trains == [model.encoder, model.decoder]
    assert float(critic.loss) == pytest.approx(2 * 0.6931472, rel=1e-5)
    assert float(both.loss) == pytest.approx(2 * 0.6931472, rel=1e-5)


def test_alice_adds_its_cycle(tiny_model, random_batches) -> None:
    _, _, found = updates(tiny_model, random_batches, "alice", cycle_weight=2.0)
    assert float(found[1].loss) == pytest.approx(
        float(found[1].terms["adversarial"] + 2 * found[1].terms["mse"]), rel=1e-5
    )
    adversarial, _, found = updates(tiny_model, random_batches, "alice", cycle="adversarial")
    assert [len(update.trains) for update in found] == [1, 1, 2]
    assert found[1].trains == [adversarial.pair_critic]
    with pytest.raises(ValueError, match="cycle is 'both'; expected 'explicit' or 'adversarial'"):
        updates(tiny_model, random_batches, "alice", cycle="both")


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


@pytest.mark.parametrize("joint", [False, True])
def test_the_latent_regressor_learns_from_generated_images_alone(joint: bool, tiny_model, random_batches) -> None:
    model, x, (critic, both) = updates(tiny_model, random_batches, "latent-regressor", joint=joint, networks="dense")
    torch.manual_seed(1)
    z = torch.randn(8, 6)
    softplus = torch.nn.functional.softplus
    fake = model.decoder(z)
    assert float(critic.loss) == pytest.approx(
        float(softplus(-model.critic(x)).mean() + softplus(model.critic(fake)).mean()), rel=1e-5
    )
    deceit = softplus(-model.critic(fake)).mean()
    regression = (model.encoder(fake) - z).square().mean()
    assert float(both.loss) == pytest.approx(float(deceit + regression), rel=1e-5)
    found = torch.autograd.grad(both.loss, list(model.decoder.parameters()))
    expected = torch.autograd.grad(deceit + joint * regression, list(model.decoder.parameters()))
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", [name for name, model in AUTOENCODERS.items() if issubclass(model, EncoderDecoder)])
def test_every_baseline_can_be_dense(name: str, tiny_model, random_batches) -> None:
    model = tiny_model(name, networks="dense", norm="none")
    for update in model.step(random_batches(0, Part()), 0):
        update.loss.backward(retain_graph=update.keep_graph)
    assert not any(isinstance(module, nn.Conv2d) for module in model.modules())
    x = next(random_batches(0, Part()))
    assert model.encode(x).shape == (8, 6)
    assert float(model.decode(100 * torch.randn(8, 6)).abs().max()) == 1
    with pytest.raises(ValueError, match="norm is 'batch', and dense networks have no normalisation; expected none"):
        tiny_model(name, networks="dense")
    with pytest.raises(ValueError, match="networks is 'resnet'; expected one of dcgan or dense"):
        tiny_model(name, networks="resnet")


def test_wgan_gp_takes_a_fresh_batch_for_every_critic_step(tiny_model, random_batches) -> None:
    taken = 0

    def counted() -> object:
        nonlocal taken
        for batch in random_batches(0, Part()):
            taken += 1
            yield batch

    model = tiny_model("wgan-gp", critic_steps=3)
    found = list(model.step(counted(), 0))
    assert taken == 3
    assert [update.trains[0] is model.critic for update in found] == [True, True, True, False]


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_every_option_is_documented(name: str, tiny_options) -> None:
    texts = " ".join(cls.__doc__ or "" for cls in AUTOENCODERS[name].__mro__)
    common = {"batch_size", "learning_rate", "code_dim", "image_shape"}
    missing = [option for option in tiny_options(name) if f"``{option}``" not in texts and option not in common]
    assert not missing


def test_the_networks_of_alae_are_the_papers(tiny_model) -> None:
    model = tiny_model("alae")
    assert model.betas == (0.0, 0.99)
    assert (model.encoder.leak, model.encoder.last_leak, model.decoder.last_leak) == (0.2, 0.2, None)
    assert {layer.multiplier for layer in model.critic.layers} == {0.1}
    assert len(model.critic.layers) == 3
    w = torch.randn(3, 6)

    def bend(critic: nn.Module) -> float:
        between = critic((w[:1] + w[1:2]) / 2) - (critic(w[:1]) + critic(w[1:2])) / 2
        return float(between.detach().abs())

    assert bend(tiny_model("alae", affine_critic=True).critic) < 1e-6
    assert bend(model.critic) > 1e-6


def test_alae_is_its_algorithm_box(tiny_model, random_batches) -> None:
    model, x, (first, second, third) = updates(tiny_model, random_batches, "alae", slope_weight=7.0)
    mapping = model.priors["mapping"].mapping
    softplus = torch.nn.functional.softplus
    torch.manual_seed(1)
    z, z_again = torch.randn(8, 6), torch.randn(8, 6)

    fakes = model.critic(model.encoder(model.decoder(mapping(z))))
    rows = [x[i : i + 1].clone().requires_grad_() for i in range(8)]
    slopes = [torch.autograd.grad(model.critic(model.encoder(row)).sum(), row)[0].square().sum() for row in rows]
    reals = model.critic(model.encoder(x))
    expected = softplus(fakes).mean() + softplus(-reals).mean() + 7.0 / 2 * torch.stack(slopes).mean()
    assert first.trains == [model.encoder, model.critic]
    assert float(first.loss) == pytest.approx(float(expected), rel=1e-5)

    assert second.trains == [mapping, model.decoder]
    assert float(second.loss) == pytest.approx(float(softplus(-fakes).mean()), rel=1e-5)

    w = mapping(z_again)
    assert third.trains == [model.encoder, model.decoder]
    expected = (model.encoder(model.decoder(w)) - w).square().mean()
    assert float(third.loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("reciprocity", "moves"), [("encoder,decoder", False), ("encoder,decoder,mapping", True)])
def test_the_target_of_alaes_reciprocity_never_moves(reciprocity: str, moves: bool, tiny_model, random_batches) -> None:
    model, _, (_, _, third) = updates(tiny_model, random_batches, "alae", reciprocity=reciprocity)
    mapping = model.priors["mapping"].mapping
    assert (mapping in third.trains) == moves
    parameter = next(mapping.parameters())
    (gradient,) = torch.autograd.grad(third.loss, parameter, allow_unused=True, retain_graph=True)
    assert (gradient is not None) == moves
    if moves:  # through G(F(z)) alone: the same with a fixed target
        torch.manual_seed(1)
        torch.randn(8, 6)
        w = mapping(torch.randn(8, 6))
        loss = (model.encoder(model.decoder(w)) - w.detach()).square().mean()
        assert torch.allclose(gradient, torch.autograd.grad(loss, parameter)[0], atol=1e-6)
