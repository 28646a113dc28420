"""The style networks against plain arithmetic, their growth, and what can be done with codes of every layer."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from genae.autoencoders import AUTOENCODERS
from genae.autoencoders.style_alae import StyleAdversarialLatentAutoencoder, StyleGan
from genae.errors import GenaeError
from genae.latent.mixing import truncate
from genae.model import load
from genae.networks.style import StyleEncoder
from genae.networks.style_layers import Blur, Convolution, channels_of, halved, levels_of
from genae.protocol import Autoencoder
from genae.settings.presets import PRESETS
from genae.training.config import option_types, resolve
from genae.training.memory import footprints
from genae.training.start import train

SHAPE = (3, 16, 16)
SMALL = {"code_dim": 6, "width": 4, "most_channels": 8, "mapping_layers": 2, "batch_size": "4"}


def style_model(**options: object) -> StyleAdversarialLatentAutoencoder:
    torch.manual_seed(0)
    return StyleAdversarialLatentAutoencoder(SHAPE, **SMALL | options)  # type: ignore[arg-type]


def smoothed(x: Tensor) -> Tensor:
    """The blur, tap by tap."""
    padded = F.pad(x, (1, 1, 1, 1))
    height, width = x.shape[2:]
    taps = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    return sum(taps[i][j] / 16 * padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3))  # type: ignore[return-value]


def test_blur_is_its_taps_and_its_own_derivative_twice() -> None:
    x, blur = torch.randn(2, 3, 6, 5, dtype=torch.float64, requires_grad=True), Blur()
    assert torch.allclose(blur(x), smoothed(x))
    assert torch.autograd.gradcheck(blur, (x,))
    assert torch.autograd.gradgradcheck(blur, (x,))


@pytest.mark.parametrize("change", ["same", "double", "half"])
def test_convolutions_are_the_two_steps_that_they_replace(change: str) -> None:
    torch.manual_seed(0)
    layer = Convolution(5, 7, change=change).double()
    x = torch.randn(2, 5, 8, 8, dtype=torch.float64)
    weight = layer.weight * math.sqrt(2) / math.sqrt(5 * 9)
    expected = {
        "same": lambda: F.conv2d(x, weight, padding=1),
        "double": lambda: F.conv2d(F.interpolate(x, scale_factor=2), weight.transpose(0, 1).flip(2, 3), padding=1),
        "half": lambda: F.avg_pool2d(F.conv2d(x, weight, padding=1), 2),
    }[change]()
    assert torch.allclose(layer(x), expected)


def plain_encoder(encoder: StyleEncoder, x: Tensor, level: int, blend: float | None) -> Tensor:
    """E written from Section B.2 of the authors' layers: convolution, then pooling; statistics by their definitions."""

    def convolved(layer: Convolution, x: Tensor) -> Tensor:
        return F.conv2d(x, layer.weight * layer.scale, padding=1)

    def read(reading: nn.Module, x: Tensor) -> Tensor:
        statistics = torch.cat([x.mean((2, 3)), x.std((2, 3), correction=0)], 1)
        linear = reading.linear
        return F.linear(statistics, linear.weight * linear.scale, linear.bias)

    def entered(x: Tensor, level: int) -> Tensor:
        colour = encoder.from_colours[level]
        return F.leaky_relu(F.conv2d(x, colour.convolution.weight * colour.convolution.scale, colour.bias), 0.2)

    maps, w = entered(x, level), torch.zeros(())
    for i in reversed(range(level + 1)):
        block = encoder.blocks[i]
        y = F.leaky_relu(convolved(block.first, maps) + block.biases[0][:, None, None], 0.2)
        style = read(block.readings[0], y)
        y = F.avg_pool2d(convolved(block.second, smoothed(F.instance_norm(y))), 2)
        y = F.leaky_relu(y + block.biases[1][:, None, None], 0.2)
        style = style + read(block.readings[1], y)
        maps = F.instance_norm(y)
        if i == level and blend is not None:
            maps = blend * maps + (1 - blend) * entered(F.avg_pool2d(x, 2), level - 1)
            style = style * blend
        w = w + style
    return w


@pytest.mark.parametrize(("level", "blend"), [(2, None), (1, None), (2, 0.3)])
def test_encoder_is_the_authors_arithmetic(level: int, blend: float | None) -> None:
    model = style_model()
    x = torch.randn(3, 3, 4 * 2**level, 4 * 2**level)
    mix = 1.0 if blend is None else torch.tensor(blend)
    assert torch.allclose(model.encoder(x, level, mix), plain_encoder(model.encoder, x, level, blend), atol=1e-4)


def test_decoder_normalises_scales_and_shifts_every_layer() -> None:
    model = style_model().eval()
    seen = []
    hook = model.decoder.blocks[1].styled[0].register_forward_hook(lambda m, i, o: seen.append((i, o)))
    styles = torch.randn(2, 6, 6)
    model.decoder(styles, 2)
    hook.remove()
    (x, style, noise), y = seen[0]
    assert torch.equal(noise, model.decoder.noise2)
    assert torch.equal(style, styles[:, 2])
    layer = model.decoder.blocks[1].styled[0]
    activated = F.leaky_relu(x + layer.bias[:, None, None] + layer.strength[:, None, None] * noise, 0.2)
    scale, shift = F.linear(style, layer.style.weight / math.sqrt(6), layer.style.bias)[..., None, None].chunk(2, 1)
    assert torch.allclose(y, F.instance_norm(activated, eps=1e-8) * (1 + scale) + shift, atol=1e-5)


@pytest.mark.parametrize(
    ("levels", "width", "most", "channels"),
    [
        (6, 64, 256, [256, 256, 256, 256, 128, 64]),
        (7, 64, 512, [512, 512, 512, 512, 256, 128, 64]),
        (7, 32, 512, [512, 512, 512, 256, 128, 64, 32]),
        (9, 16, 512, [512, 512, 512, 512, 256, 128, 64, 32, 16]),
    ],
)
def test_channels_are_the_authors(levels: int, width: int, most: int, channels: list[int]) -> None:
    assert channels_of(levels, width, most) == channels
    assert levels_of(4 * 2 ** (levels - 1)) == levels


@pytest.mark.parametrize("shape", [(3, 12, 12), (3, 8, 16), (3, 4, 4), (3, 2048, 2048)])
def test_other_sizes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="pixels; expected"):
        StyleGan(shape)


def test_growth_is_a_function_of_the_images() -> None:
    model = style_model(growth=100, batch_size="8,4", learning_rate="0.1,0.2,0.3")
    assert model.grown(0) == (0, 1.0)
    assert model.grown(199) == (0, 1.0)
    assert model.grown(200) == (1, 0.0)
    assert model.grown(250) == (1, pytest.approx(0.5))
    assert model.grown(300) == (1, 1.0)
    assert model.grown(425) == (2, pytest.approx((1 - math.cos(math.pi / 4)) / 2))
    assert model.grown(10**9) == (2, 1.0)
    assert [tuple(model.stage(n)) for n in (0, 200, 400)] == [(4, 8, 0.1), (8, 4, 0.2), (16, 4, 0.3)]


def test_a_level_is_blended_in_without_a_jump() -> None:
    model = style_model(growth=100).eval()
    x = torch.rand(2, *SHAPE) * 2 - 1
    w = torch.randn(2, 6)
    results = []
    for images in (399, 400):  # the end of level 1, the first moment of level 2
        seen = model.seen(halved(x, 16 // model.stage(images).resolution - 1), images)
        results.append((model.encode(x), model.decode(w), seen.mean((2, 3))))
    for before, after in zip(*results, strict=True):
        assert torch.allclose(before, after, atol=1e-5)
    assert model.decode(w).shape == (2, *SHAPE)
    coarse = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2)
    assert torch.allclose(model.seen(x, 450), (coarse + x) / 2, atol=1e-6)  # real images are blended as G's are
    assert torch.equal(model.seen(x, 500), x)
    with pytest.raises(ValueError, match="a batch of 16 pixels; expected 8 after 399 images"):
        model.seen(x, 399)


def test_mixing_takes_the_styles_from_one_layer_on_from_another_z() -> None:
    model = style_model(mixing=1.0)
    styles = model.styles(500)
    changes = (styles[:, 1:] != styles[:, :-1]).any(2).sum(1)
    assert set(changes.tolist()) == {0, 1}  # at most one change; none where the cut falls behind the last layer
    assert float((changes == 0).float().mean()) == pytest.approx(1 / model.layers, abs=0.06)
    drawn = []
    for mixing in (1.0, 0.0):
        model.mixing = mixing
        torch.manual_seed(0)
        drawn.append(model.styles(50)[:, 0])
    assert torch.equal(*drawn), "the first layer is always the first z's"
    single = style_model(mixing=0.0).styles(50)
    assert torch.equal(single, single[:, :1].expand_as(single))


def test_decoding_is_a_function_of_the_code_and_noise_is_for_training() -> None:
    model = style_model()
    for block in model.decoder.blocks:
        for layer in block.styled:
            nn.init.ones_(layer.strength)
    w = torch.randn(2, 6)
    assert not torch.equal(model.decode(w), model.decode(w))
    model.eval()
    assert torch.equal(model.decode(w), model.decode(w))
    assert torch.equal(model.decode(w), model.decode(w[:, None].expand(-1, model.layers, -1)))


def test_lazy_slope_is_taken_every_nth_time_and_is_as_much_stronger() -> None:
    x = torch.rand(4, *SHAPE) * 2 - 1
    terms = []
    for every, images in ((1, 0), (3, 0), (3, 4), (3, 12)):
        model = style_model(slope_every=every)
        torch.manual_seed(1)
        update = next(iter(model.step(iter([x.clone()]), images)))
        terms.append((update.terms.get("slope"), update.loss))
    plain, lazy, without, again = terms
    assert torch.equal(plain[0], lazy[0])
    assert without[0] is None
    assert torch.allclose(lazy[1] - plain[1], 2 * 10 / 2 * plain[0], rtol=1e-4)
    assert torch.equal(lazy[1], again[1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a growing model on digits: 8 x 8 pixels, two levels."""
    run = tmp_path_factory.mktemp("style") / "run"
    config = resolve("style-alae", GROWING | {"images": 300}, PRESETS, AUTOENCODERS)
    train(config, run)
    return run


GROWING = {
    "data": "digits", "growth": 60, "code_dim": 6, "width": 4, "most_channels": 8, "mapping_layers": 2,
    "batch_size": "20,10", "average": 50, "precision": "float32", "device": "cpu", "checkpoint_every": 1000,
}  # fmt: skip


@pytest.mark.parametrize("at", [100, 150, 200])  # at level 0, in the middle of the transition, after it
def test_resume_in_the_middle_of_a_transition_is_bit_exact(at: int, tmp_path: Path, trained: Path) -> None:
    for images in (at, 300):
        train(resolve("style-alae", GROWING | {"images": images}, PRESETS, AUTOENCODERS), tmp_path / "parts")
    for file in ("model.safetensors", "average.safetensors", "optimisers.safetensors"):
        whole, parts = (
            load_file(run / "checkpoints" / "images-000000300" / file) for run in (trained, tmp_path / "parts")
        )
        assert whole.keys() == parts.keys()
        assert all(torch.equal(whole[key], parts[key]) for key in whole), file


@pytest.mark.cpu
def test_the_trained_model_is_the_average(trained: Path) -> None:
    checkpoint = trained / "checkpoints" / "images-000000300"
    averaged, last = (load_file(checkpoint / f"{name}.safetensors") for name in ("average", "model"))
    loaded = load(trained).autoencoder.state_dict()
    assert all(torch.equal(loaded[key], averaged[key]) for key in averaged)
    assert any(not torch.equal(last[key], averaged[key]) for key in averaged)
    assert int(averaged["images_seen"]) == 290  # the level of the average is that of the model


@pytest.mark.parametrize(
    ("preset", "side", "parameters"),
    [  # millions of the authors' E, G and F: Section B.2.6 of their code's description
        ("celeba128", 128, (6.63, 5.94, 0.53)),
        ("celeba-hq256", 256, (26.79, 23.98, 2.10)),
        ("bedroom256", 256, (21.15, 18.31, 2.10)),
        ("ffhq1024", 1024, (26.97, 24.12, 2.10)),
    ],
)
def test_presets_have_as_many_parameters_as_the_authors_networks(
    preset: str, side: int, parameters: tuple[float, ...]
) -> None:
    known = option_types(StyleAdversarialLatentAutoencoder)
    options = resolve(f"style-alae/{preset}", {"data": "x"}, PRESETS, AUTOENCODERS).options
    assert PRESETS[f"style-alae/{preset}"]["size"] == str(side)
    model = StyleAdversarialLatentAutoencoder((3, side, side), **{k: v for k, v in options.items() if k in known})
    counts = [sum(p.numel() for p in net.parameters()) / 1e6 for net in (model.encoder, model.decoder, model.mapping)]
    assert counts == pytest.approx(parameters, abs=0.006)
    # D: the authors' last layer has 2 n outputs of which one is used.
    n = model.mapping.latent_dim
    assert sum(p.numel() for p in model.critic.parameters()) == 2 * (n * n + n) + n + 1


@pytest.mark.parametrize(("processes", "expected"), [(1, "16"), (2, "32"), (3, "32"), (4, "32"), (8, "32")])
def test_batches_of_a_preset_depend_on_the_number_of_processes(
    processes: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    config = resolve("style-alae/celeba128", {"data": "x"}, PRESETS, AUTOENCODERS)
    assert config.options["batch_size"].split(",")[-1] == expected


def test_every_batch_of_the_schedule_is_checked_before_training(tmp_path: Path) -> None:
    settings = GROWING | {"images": 20, "batch_size": "20,1", "accumulate": 2}
    with pytest.raises(GenaeError, match="a batch of 1 cannot be divided into 2 parts"):
        train(resolve("style-alae", settings, PRESETS, AUTOENCODERS), tmp_path / "run")
    for wrong in ("20,x", "0", ""):
        config = resolve("style-alae", GROWING | {"batch_size": wrong}, PRESETS, AUTOENCODERS)
        with pytest.raises(GenaeError, match="batch-size is"):
            train(config, tmp_path / "run")


def test_mixing_changes_the_layers_of_a_band_and_no_others(trained: Path) -> None:
    model = load(trained)
    data = model.open_data()
    a, b = data.images(torch.arange(3)), data.images(torch.arange(3, 5))
    mixed = model.mix(a, b, "4")
    assert mixed.shape == (2, 3, 1, 8, 8)
    codes = model.encode(torch.cat([a[:1], b[:1]]))
    by_hand = codes[:1, None].expand(-1, 4, -1).clone()
    by_hand[:, :2] = codes[1:, None]
    assert torch.allclose(mixed[0, 0], model.decode(by_hand)[0], atol=1e-5)
    assert torch.allclose(model.mix(a, b, "4-8")[1], model.reconstruct(b)[1].expand(3, -1, -1, -1), atol=1e-5)
    assert torch.allclose(model.mix(a, a[:1], "coarse")[0, 0], model.reconstruct(a)[0], atol=1e-5)
    with pytest.raises(GenaeError, match="no layer works at 64 to 1024 pixels; this model's work at 4 to 8"):
        model.mix(a, b, "fine")
    with pytest.raises(GenaeError, match="band is 'corse'; did you mean 'coarse'"):
        model.mix(a, b, "corse")


def test_edits_can_be_kept_to_a_band(trained: Path) -> None:
    model = load(trained)
    codes, along = model.sample_codes(2), torch.ones(6)
    everywhere, none = (model.edit(codes, along, [0.0, 3.0], band) for band in ("4-8", "8"))
    assert torch.allclose(everywhere, model.edit(codes, along, [0.0, 3.0]), atol=1e-6)
    assert torch.equal(none[:, 0], everywhere[:, 0])
    assert not torch.allclose(none[:, 1], everywhere[:, 1])


def test_truncation_brings_coarse_layers_nearer_to_the_mean() -> None:
    codes, centre = torch.randn(3, 10, 4), torch.randn(4)
    near = truncate(codes, centre, 0.7)
    assert torch.allclose(near[:, :8] - centre, 0.7 * (codes[:, :8] - centre), atol=1e-6)
    assert torch.equal(near[:, 8:], codes[:, 8:])
    assert torch.allclose(truncate(codes[:, 0], centre, 0.0), centre.expand(3, -1))


def test_samples_of_no_variety_are_the_mean_code(trained: Path) -> None:
    model = load(trained)
    same = model.sample(3, truncation=0.0)
    centre = model.sample_codes(10_000).mean(0, keepdim=True)
    assert torch.allclose(same, model.decode(centre).expand(3, -1, -1, -1), atol=1e-5)
    assert torch.equal(model.sample(3, truncation=1.0), model.sample(3))
    with pytest.raises(GenaeError, match="truncation is 1.5"):
        model.sample(3, truncation=1.5)


def test_models_without_styles_say_so(tmp_path: Path) -> None:
    config = resolve("ae", {"data": "digits", "images": 50, "width": 4, "batch_size": 50}, {}, AUTOENCODERS)
    train(config, tmp_path / "ae")
    with pytest.raises(GenaeError, match="one code for the whole image; expected a model with styles"):
        load(tmp_path / "ae").mix(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), "coarse")


def test_memory_follows_the_batch() -> None:
    model = style_model(growth=100, batch_size="8,4,2")
    small = list(footprints(model))
    assert [(f.begins, f.stage.resolution, f.stage.batch_size) for f in small] == [(0, 4, 8), (200, 8, 4), (400, 16, 2)]
    parameters = sum(p.numel() for p in style_model().parameters())
    assert {f.weights for f in small} == {12 * parameters}
    averaged = next(footprints(style_model(batch_size="16"), processes=2, averaged=True))
    assert averaged.weights == 16 * parameters
    one, two = (next(footprints(style_model(batch_size=str(b)))) for b in (8, 16))
    assert one.iteration == pytest.approx(averaged.iteration, rel=0.02), "noise is drawn for the whole batch"
    assert one.validation == pytest.approx(averaged.validation, rel=0.001), "indices of the images"
    assert 1.8 < two.iteration / one.iteration < 2.0  # gradients and scaled weights do not follow the batch


@pytest.mark.parametrize("kind", [StyleAdversarialLatentAutoencoder, StyleGan])
def test_on_shapes_the_level_still_follows_the_images(kind: type[Autoencoder]) -> None:
    model = kind(SHAPE, **SMALL | {"growth": 100})  # type: ignore[arg-type]
    model.images_seen = 450
    ghost = model.on_shapes()
    assert all(p.is_meta for p in ghost.parameters())
    assert ghost.images_seen == 450
    assert ghost.resolution == 16
    for images, resolution in ((0, 4), (250, 8), (350, 8), (450, 16), (500, 16)):
        batches = (torch.empty(4, 3, resolution, resolution, device="meta") for _ in range(2))
        assert all(update.loss.is_meta for update in ghost.step(batches, images))
        assert ghost.resolution == resolution


def test_memory_grows_with_the_resolution() -> None:
    needed = [f.iteration for f in footprints(style_model(growth=100))]
    assert needed == sorted(set(needed))
    assert 1.5 < needed[-1] / needed[-2] < 4, "at most four times the positions, with half the channels"
