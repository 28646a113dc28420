"""Training images/s of genae against pythae (0.1.2), with the same networks, weights, data and batch.

    pip install pythae
    python benchmarks/pythae_throughput.py --data-root FOLDER [--device cuda] [--models ae,vae] [--rounds 5]

Both train pythae's own MNIST networks (17 million parameters; `mlp-ae` its default dense ones) on MNIST at 28 x 28, in
float32 and batches of 64, each with its own loop and its own data path, in turn in one process. The rows below
genae's take its means away one by one: what each of them gives is the ratio between rows. ``aae`` is pythae's algorithm
on both sides (one step of the encoder, by the sum of both losses: genae's ``wae-gan``); ``aae-two-phases`` sets
genae's ``aae``, which passes through the encoder twice as Makhzani et al. do, beside it.

    plain Adam        PyTorch's default Adam instead of the fused one
    library convs     PyTorch's convolutions, in their own memory format, instead of matrix products on small maps
    library products  PyTorch's default library for float32 products, where another is faster
    bf16              with bfloat16 autocast
    captured          with captured iterations, on a CUDA GPU

The libraries of the CPU are not measured on a GPU, where genae has none of its own.

``--quality IMAGES`` trains the autoencoder that long in float32 and in bf16 and prints both errors on test images.
"""

import argparse
import logging
import statistics
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from turns import Run, add_device, machine, of_genae, seconds_of, with_pytorchs_products

from genae.autoencoders.aae import CodeAdversarialAutoencoder
from genae.autoencoders.ae import PlainAutoencoder
from genae.autoencoders.vae import VariationalAutoencoder
from genae.autoencoders.vae_gan import VaeGan
from genae.autoencoders.wae import WaeGan, WaeMmd
from genae.data.sources import ImageData, open_data
from genae.errors import GenaeError
from genae.losses import mse
from genae.networks.convolution import Conv2d, ConvTranspose2d
from genae.protocol import Autoencoder, evaluating
from genae.training.config import Config
from genae.training.loop import Loop
from genae.training.trainer import Trainer

BATCH, SHAPE, CODE = 64, (1, 28, 28), 16
FEATURES = 4  # the discriminator's hidden layer in which VAE-GAN compares images
MODELS: dict[str, tuple[type[Autoencoder], dict[str, Any]]] = {
    "ae": (PlainAutoencoder, {}),
    "vae": (VariationalAutoencoder, {"learn_variance": False}),
    "wae-mmd": (WaeMmd, {}),
    "aae": (WaeGan, {}),
    "aae-two-phases": (CodeAdversarialAutoencoder, {}),
    "vae-gan": (VaeGan, {}),
    "mlp-ae": (PlainAutoencoder, {}),
}


class Peer(nn.Module):
    """A network of pythae as genae calls it: tensors in, tensors out, images in [-1, 1]."""

    def __init__(self, network: nn.Module, *outputs: str) -> None:
        super().__init__()
        self.network = network
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """The named outputs, side by side."""
        found = self.network(x)
        y = torch.cat([found[name] for name in self.outputs], 1)
        return 2 * y.view(-1, *SHAPE) - 1 if self.outputs == ("reconstruction",) else y


class PeerCritic(nn.Module):
    """A discriminator of pythae without its sigmoid, as a genae critic with a hidden layer for features."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        *hidden, last = network.layers  # type: ignore[union-attr]
        self.hidden, self.last = nn.Sequential(*hidden), last[0] if isinstance(last, nn.Sequential) else last

    def features(self, x: Tensor) -> Tensor:
        """The hidden layers."""
        return self.hidden(x)

    def judge(self, features: Tensor) -> Tensor:
        """Logits of hidden features."""
        return self.last(features.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.judge(self.features(x))


def with_our_convolutions(network: nn.Module) -> nn.Module:
    """The same layers and weights, run by genae's convolutions."""
    ours = {nn.Conv2d: Conv2d, nn.ConvTranspose2d: ConvTranspose2d}
    for module in network.modules():
        if type(module) in ours:
            module.__class__ = ours[type(module)]
    return network


def peer(name: str) -> Any:
    """pythae's model."""
    import pythae.models as models
    from pythae.models.nn.benchmarks import mnist as nets

    torch.manual_seed(0)
    shared: dict[str, Any] = {"input_dim": SHAPE, "latent_dim": CODE, "reconstruction_loss": "mse"}
    if name == "mlp-ae":
        return models.AE(models.AEConfig(input_dim=SHAPE, latent_dim=CODE))
    if name in ("ae", "wae-mmd"):
        config = models.AEConfig if name == "ae" else models.WAE_MMD_Config
        made = config(input_dim=SHAPE, latent_dim=CODE, **({"kernel_choice": "imq"} if name == "wae-mmd" else {}))
        kind = models.AE if name == "ae" else models.WAE_MMD
        return kind(made, encoder=nets.Encoder_Conv_AE_MNIST(made), decoder=nets.Decoder_Conv_AE_MNIST(made))
    kinds = {
        "vae": (models.VAE, models.VAEConfig),
        "aae": (models.Adversarial_AE, models.Adversarial_AE_Config),
        "vae-gan": (models.VAEGAN, models.VAEGANConfig),
    }
    kind, config = kinds[name.removesuffix("-two-phases")]
    made = config(**shared, **({"reconstruction_layer": FEATURES} if name == "vae-gan" else {}))
    parts = {"encoder": nets.Encoder_Conv_VAE_MNIST(made), "decoder": nets.Decoder_Conv_AE_MNIST(made)}
    if name == "vae-gan":
        parts["discriminator"] = nets.Discriminator_Conv_MNIST(made)
    return kind(made, **parts)


def peer_round(name: str, images: Tensor, folder: str, device: str) -> Callable[[], None]:
    """One pass of pythae's own trainer over the images."""
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import (
        AdversarialTrainer,
        AdversarialTrainerConfig,
        BaseTrainer,
        BaseTrainerConfig,
        CoupledOptimizerAdversarialTrainer,
        CoupledOptimizerAdversarialTrainerConfig,
    )

    trainers = {
        "aae": (AdversarialTrainer, AdversarialTrainerConfig),
        "vae-gan": (CoupledOptimizerAdversarialTrainer, CoupledOptimizerAdversarialTrainerConfig),
    }
    trainer_class, config_class = trainers.get(name.removesuffix("-two-phases"), (BaseTrainer, BaseTrainerConfig))
    config = config_class(
        output_dir=folder, per_device_train_batch_size=BATCH, num_epochs=1, no_cuda=not device.startswith("cuda")
    )
    trainer = trainer_class(peer(name), BaseDataset(images, torch.zeros(len(images))), training_config=config)
    trainer.prepare_training()
    trainer.callback_handler.callbacks = []  # no progress bar
    return lambda: trainer.train_step(1)


def ours(name: str, *, convolutions: bool = True) -> Autoencoder:
    """genae's model with pythae's networks and weights."""
    other = peer(name)
    kind, options = MODELS[name]
    model = kind(SHAPE, code_dim=CODE, width=4, batch_size=BATCH, **options)  # type: ignore[call-arg]
    outputs = ["embedding", "log_covariance"] if name in ("vae", "vae-gan") else ["embedding"]
    model.encoder, model.decoder = Peer(other.encoder, *outputs), Peer(other.decoder, "reconstruction")
    if hasattr(other, "discriminator"):
        model.critic = PeerCritic(other.discriminator)
    model = with_our_convolutions(model) if convolutions else model
    return model.to(memory_format=torch.channels_last) if convolutions else model  # type: ignore[return-value]


def our_loop(
    model: Autoencoder, data: ImageData, kind: type[Loop] = Loop, seed: int = 0, **options: Any
) -> Callable[[], None]:
    """One iteration as `genae train` runs it; ``seed`` is that of the batches."""
    run = Trainer(Config("ae", "mnist", seed=seed), None, data, model, lambda event: None)  # type: ignore[arg-type]
    loop = kind(model, run.batches, betas=(0.9, 0.999), **options)
    seen = [0]

    def iteration() -> None:
        loop.iteration(seen[0], 1e-4)
        seen[0] += BATCH

    return iteration


def measure(name: str, data: ImageData, rounds: int, iterations: int, folder: str, device: str) -> None:
    """Print a table: medians, and the ratio of each side to pythae, round by round."""
    images = data.stored(data.split("train")[: BATCH * iterations]).float().cpu() / 255

    def fresh(kind: type[Loop] = Loop, *, convolutions: bool = True, **options: Any) -> Run:
        return our_loop(ours(name, convolutions=convolutions).to(device), data, kind, **options)

    repeated = of_genae(fresh, device)
    repeated["genae, plain Adam"] = fresh(fused=False)
    if device == "cpu":
        repeated["genae, library products"] = with_pytorchs_products(fresh())
        if name != "mlp-ae":
            repeated["genae, library convs"] = fresh(convolutions=False)

    def times(iteration: Run) -> Run:
        return lambda: [iteration() for _ in range(iterations)] and None

    sides = {"pythae": peer_round(name, images, folder, device)} | {key: times(run) for key, run in repeated.items()}
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for run in sides.values():
        run()
    for _ in range(rounds):
        for side, run in sides.items():
            rates[side].append(iterations * BATCH / seconds_of(run, device))
    for side, values in rates.items():
        ratios = [a / b for a, b in zip(values, rates["pythae"], strict=True)]
        print(
            f"{name:14} {side:24} {statistics.median(values):8.1f} images/s   {statistics.median(ratios):.2f}x "
            f"({min(ratios):.2f}-{max(ratios):.2f})",
            flush=True,
        )


def quality(data: ImageData, images: int, device: str) -> None:
    """The error on test images after the same images in float32 and in bf16, for two seeds each."""
    test = data.images(data.split("test")[:2000])
    for precision in ("float32", "bfloat16"):
        for seed in (0, 1):
            model = ours("ae").to(device)
            iteration = our_loop(model, data, precision=precision, seed=seed)
            for _ in range(images // BATCH):
                iteration()
            with torch.no_grad(), evaluating(model):
                error = torch.stack([mse(model.decode(model.encode(x)), x) for x in test.split(250)]).mean()
            print(f"ae       {precision:8} seed {seed}: MSE {error:.5f} after {images} images", flush=True)


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--quality", type=int, metavar="IMAGES")
    add_device(parser)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        import pythae  # noqa: F401

        data = open_data("mnist", data_root=arguments.data_root).to(torch.device(arguments.device))
    except (ImportError, GenaeError) as error:
        print(f"skipped: {error}")
        return
    print(f"{machine(arguments.device)}, batch {BATCH}")
    if arguments.quality:
        quality(data, arguments.quality, arguments.device)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models.split(","):
            iterations = arguments.iterations * (40 if name == "mlp-ae" else 1)
            measure(name, data, arguments.rounds, iterations, folder, arguments.device)


if __name__ == "__main__":
    main()
