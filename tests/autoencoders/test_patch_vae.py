"""PatchVAE: its bottleneck and losses against loops and closed forms, its prior, its schedules."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.distributions import Bernoulli, kl_divergence

from genae import api
from genae.autoencoders import AUTOENCODERS
from genae.autoencoders.patch_vae import PatchVae, TrunkVae
from genae.data.builtin import shape_places, shapes
from genae.errors import GenaeError
from genae.latent.places import best_places, crops
from genae.losses import bernoulli_kl, edge_weights, gaussian_kl
from genae.metrics import frozen_features, recognition
from genae.metrics.metric import BATCH
from genae.metrics.part_localisation import average_precision, localisation
from genae.metrics.recognition import freeze, read_off, recognise, sections
from genae.model import load
from genae.networks.patch import placed, pooled
from genae.networks.residual import Pyramid, ResidualTrunk
from genae.reports import figures, tables
from genae.training.config import resolve
from genae.training.memory import footprints
from genae.training.start import build_model, train
from tests.reading import pixels_of

SHAPE = (3, 32, 32)
SMALL = {"parts": 3, "part_dim": 2, "width": 4}


def patch_model(**options: object) -> PatchVae:
    torch.manual_seed(0)
    return PatchVae(SHAPE, **SMALL | options)  # type: ignore[arg-type]


def test_parameters_are_the_papers() -> None:
    """The authors' model at 32 pixels, scale 8, N = 16, d = 6, and their trunk (B.1.3 of its description)."""
    model = PatchVae(SHAPE)
    counts = {
        name: sum(p.numel() for p in net.parameters()) for name, net in model.named_children() if name != "priors"
    }
    assert counts == {"encoder": 683_072, "heads": 2 * 110_688 + 18_448, "decoder": 683_904}
    assert sum(counts.values()) == 1_606_800
    assert sum(p.numel() for p in ResidualTrunk((3, 224, 224), scale=32).parameters()) == 11_176_512
    assert sum(p.numel() for p in Pyramid((3, 224, 224), 1024, scale=32).parameters()) == 12_196_736


def test_appearances_are_averages_weighted_by_occurrence_and_placed_where_parts_occur() -> None:
    torch.manual_seed(0)
    maps, weights = torch.randn(2, 3, 4, 5, 5), torch.rand(2, 3, 5, 5)
    appearance = pooled(maps, weights, 0.0)
    code = placed(appearance, weights)
    for b in range(2):
        for part in range(3):
            total = weights[b, part].sum()
            expected = sum(maps[b, part, :, i, j] * weights[b, part, i, j] for i in range(5) for j in range(5)) / total
            assert torch.allclose(appearance[b, part], expected, atol=1e-5)
            for d in range(4):
                assert torch.allclose(code[b, 4 * part + d], appearance[b, part, d] * weights[b, part])


def test_the_appearance_of_a_part_that_is_nowhere_is_the_prior() -> None:
    """The authors' numbers: 1e-7 beside the weights, and in the numerator of the variance alone."""
    model = patch_model()
    torch.manual_seed(0)
    mean, log_variance = torch.randn(2, 1, 3, 2, 4, 4).double()
    for logit in (-10.0, -14.0, -18.0, -30.0):
        weights = torch.full((1, 3, 4, 4), logit).double().sigmoid()
        total = weights.sum((2, 3))[:, :, None]
        found = model._appearance(mean, log_variance, weights)
        expected = mean.mean((3, 4)) * total / (total + 1e-7)
        assert torch.allclose(found[0], expected, rtol=1e-6, atol=1e-12)
        expected = (log_variance.exp().mean((3, 4)) * total + 1e-7) / (total + 1e-7)
        assert torch.allclose(found[1], expected, rtol=1e-6)
    assert float(gaussian_kl(found[0].flatten(1), found[1].log().flatten(1))) < 1e-6


def test_log_variances_reach_as_far_as_the_authors() -> None:
    """They clip variances to 1e-7 and 1e7."""
    model = patch_model()
    ones = torch.ones(1, 3, 4, 4)
    for raw, clipped in ((-20.0, 1e-7), (20.0, 1e7), (-16.05, math.exp(-16.05))):
        _, variance = model._appearance(torch.zeros(1, 3, 2, 4, 4), torch.full((1, 3, 2, 4, 4), raw), ones)
        expected = (16 * clipped + 1e-7) / (16 + 1e-7)
        assert torch.allclose(variance, torch.full((1, 3, 2), expected), rtol=1e-4, atol=0)


def test_occurrence_divergence_is_that_of_the_distributions_also_far_out() -> None:
    logits = torch.tensor([[-60.0, -3.0, 0.0], [0.5, 4.0, 60.0]], dtype=torch.float64, requires_grad=True)
    expected = kl_divergence(Bernoulli(logits=logits), Bernoulli(0.0625)).sum(1).mean()
    found = bernoulli_kl(logits, 0.0625)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient.isfinite().all()
    assert float(bernoulli_kl(torch.full((1, 5), math.log(0.25 / 0.75)), 0.25)) == pytest.approx(0, abs=1e-6)


def test_edge_weights_follow_the_laplacian_and_average_to_one() -> None:
    x = torch.rand(2, 3, 16, 24)
    weights = edge_weights(x, 8)
    assert torch.allclose(weights.mean((2, 3)), torch.ones(2, 3), atol=1e-5)
    kernel = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]).expand(3, 1, 3, 3)
    laplacian = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=3).abs()
    block = laplacian[0, 1, 8:16, 16:24].mean() / laplacian[0, 1].mean()
    assert torch.allclose(weights[0, 1, 8:16, 16:24], block.expand(8, 8), atol=1e-4)
    assert torch.equal(edge_weights(torch.full((1, 1, 8, 8), 0.3), 8), torch.ones(1, 1, 8, 8))


def test_the_loss_is_the_sum_of_its_terms() -> None:
    model = patch_model(edges=True, critic_weight=3.0, beta_appearance=0.5, beta_occurrence=2.0)
    x = torch.rand(4, *SHAPE) * 2 - 1
    torch.manual_seed(1)
    steps = list(model.step(iter([x]), 0))
    assert [len(update.trains) for update in steps] == [1, 3]
    torch.manual_seed(1)
    x_hat, divergence, terms = model.through(x, 0)
    assert torch.allclose(divergence, 0.5 * terms["kl_appearance"] + 2 * terms["kl_occurrence"])
    error = ((x_hat - x).square() * edge_weights(x, 8)).sum((1, 2, 3)).mean()
    assert model.critic is not None
    expected = error + divergence + 3 * F.softplus(-model.critic(x_hat)).mean()
    assert float(steps[1].loss) == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize(("scale", "block"), [(4, 4), (8, 8), (32, 8)])
def test_edges_are_weighed_in_the_papers_blocks_also_on_a_coarser_grid(scale: int, block: int) -> None:
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    model = PatchVae((3, 64, 64), **SMALL, edges=True, scale=scale, norm="none")  # type: ignore[arg-type]
    torch.manual_seed(1)
    (update,) = model.step(iter([x]), 0)
    torch.manual_seed(1)
    x_hat, divergence, _ = model.through(x, 0)
    expected = ((x_hat - x).square() * edge_weights(x, block)).sum((1, 2, 3)).mean() + divergence
    assert float(update.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)


@pytest.mark.parametrize("trained", [False, True])
def test_pooling_weights_carry_gradients_only_if_asked(trained: bool) -> None:
    model = patch_model(trained_pooling=trained)
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    maps = torch.randn(1, 3, 2, 4, 4, requires_grad=True)
    appearance, _ = model._appearance(maps, torch.zeros(1, 3, 2, 4, 4), logits.sigmoid())
    appearance.square().sum().backward()
    assert maps.grad is not None
    assert (logits.grad is not None) == trained


def test_temperatures_are_functions_of_the_images() -> None:
    plain, reference = patch_model(), patch_model(annealing="reference")
    batch = plain.batch_size
    assert plain.temperature(0) == reference.temperature(0) == 1
    assert plain.temperature(10_000 * batch) == pytest.approx(math.exp(-0.3))
    assert plain.temperature(10**9) == 0.1
    for step, expected in ((1_000, 0.970), (2_000, 0.914), (5_000, 0.638), (8_000, 0.340), (10_000, 0.192)):
        # The authors' table is of what holds after k thousand iterations.
        assert reference.temperature((step + 1) * batch) == pytest.approx(expected, abs=0.0015)
    assert reference.temperature(13_000 * batch) == 0.1


def test_occurrences_are_hard_when_the_temperature_is_low() -> None:
    seen: list[Tensor] = []
    for images, hard in ((0, False), (10**9, True)):
        model = patch_model()
        hook = model.decoder.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
        model.through(torch.rand(8, *SHAPE) * 2 - 1, images)
        hook.remove()
        ratio = seen[-1].unflatten(1, (3, 2))[:, :, 0]
        occurrence = ratio / ratio.flatten(2).abs().amax(2)[:, :, None, None]
        middling = ((occurrence > 0.05) & (occurrence < 0.95)).float().mean()
        assert (float(middling) < 0.25) == hard


def test_codes_come_apart_and_the_prior_s_occurrences_are_zero_or_one() -> None:
    model = patch_model(occurrence_rate=0.2).eval()
    x = torch.rand(4, *SHAPE) * 2 - 1
    code = model.encode(x)
    appearance, occurrence = model.split(code)
    assert appearance.shape == (4, 3, 2)
    assert occurrence.shape == (4, 3, 4, 4)
    assert torch.equal(model.join(appearance, occurrence), code)
    assert float(occurrence.min()) > 0
    prior = model.priors["parts"]
    hard = prior.encode(code)
    assert torch.equal(model.split(hard)[0], appearance)
    assert torch.equal(model.split(hard)[1], (occurrence > 0.5).float())
    drawn = prior.sample(4000, torch.Generator().manual_seed(0))
    there = model.split(drawn)[1]
    assert set(there.unique().tolist()) == {0.0, 1.0}
    assert float(there.mean()) == pytest.approx(0.2, abs=0.01)
    assert float(model.split(drawn)[0].std()) == pytest.approx(1, abs=0.02)
    assert model.decode(drawn[:4]).shape == x.shape


def test_a_part_that_is_nowhere_leaves_no_trace() -> None:
    model = patch_model().eval()
    code = model.encode(torch.rand(2, *SHAPE) * 2 - 1)
    appearance, occurrence = model.split(code)
    occurrence = occurrence.clone()
    occurrence[:, 1] = 0
    other = appearance.clone()
    other[:, 1] += 5
    assert torch.equal(model.decode(model.join(appearance, occurrence)), model.decode(model.join(other, occurrence)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 6}, "scale is 6; expected 4, 8, 16 or 32"),
        ({"occurrence_rate": 1.0}, "occurrence-rate is 1.0"),
        ({"coldest": 0.0}, "coldest is 0.0"),
        ({"annealing": "slow"}, "annealing is 'slow'; expected plain or reference"),
        ({"parts": 0}, "parts is 0"),
        ({"image_shape": (3, 20, 32)}, "images of 20 x 32 pixels; expected multiples of the scale 8"),
    ],
)
def test_wrong_settings_are_explained(options: dict[str, object], message: str) -> None:
    settings = {"image_shape": SHAPE, **SMALL, **options}
    with pytest.raises(ValueError, match=message):
        PatchVae(settings.pop("image_shape"), **settings)  # type: ignore[arg-type]


def test_the_baseline_has_the_papers_size() -> None:
    """The authors' code has 1,662,336 parameters; biases before normalisation, which do nothing, differ."""
    model = TrunkVae(SHAPE)
    encoder = {name: sum(p.numel() for p in net.parameters()) for name, net in model.encoder.named_children()}
    assert encoder["trunk"] == 683_072
    assert encoder["linear"] == 2 * (64 * 16 * 96 + 96)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(1_662_336, rel=0.01)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("patch") / "run"
    settings = {"data": "digits", "size": "32", "images": 320, "batch_size": 32, "width": 4, "parts": 3, "part_dim": 2}
    train(resolve("patch-vae", settings, {}, AUTOENCODERS), run)
    return run


def test_best_places_are_the_likeliest_cells_of_the_likeliest_images() -> None:
    occurrence = torch.rand(7, 2, 3, 5)
    places = best_places(occurrence.split(2), 4)
    for part in range(2):
        peaks = occurrence[:, part].flatten(1).amax(1)
        assert torch.equal(places.scores[part], peaks.sort(descending=True).values[:4])
        for image, (row, column), score in zip(
            places.images[part], places.cells[part], places.scores[part], strict=True
        ):
            assert occurrence[image, part, row, column] == score


def test_crops_are_centred_on_their_cells() -> None:
    rows = torch.arange(32.0).view(1, 1, 32, 1).expand(2, 1, 32, 32)
    found = crops(rows, torch.tensor([[1, 1], [3, 0]]), 8)
    assert found.shape == (2, 1, 22, 22)
    assert found[0, 0, :, 0].tolist() == [float(n) for n in range(1, 23)]  # the cell's centre is at 12
    assert found[1, 0, :15, 0].tolist() == [float(n) for n in range(17, 32)]
    assert found[1, 0, 15:, 0].tolist() == [30.0, 29, 28, 27, 26, 25, 24]  # mirrored


def test_swapping_changes_one_part_alone(trained: Path) -> None:
    model = load(trained)
    data = model.open_data()
    a, b = data.images(torch.arange(4)), data.images(torch.arange(4, 8))
    (looks, places), (others, _) = model.parts(a), model.parts(b)
    assert torch.allclose(model.swap_part(a, a, 1), model.reconstruct(a), atol=1e-5)
    by_hand = looks.clone()
    by_hand[:, 2] = others[:, 0]
    expected = model.decode(torch.cat([by_hand.flatten(1), places.flatten(1)], 1))
    assert torch.allclose(model.swap_part(a, b, 2, from_part=0), expected, atol=1e-5)
    for wrong in ({"part": 3}, {"part": -1}, {"part": 0, "from_part": 3}):
        with pytest.raises(GenaeError, match="there is no part"):
            model.swap_part(a, b, **wrong)
    with pytest.raises(GenaeError, match="4 images and 3 sources"):
        model.swap_part(a, b[:3], 0)


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        (["--show", "maps"], (10, 4)),
        (["--show", "crops", "--parts", "0,2"], (10, 2)),
        (["--show", "crops", "--parts", "0,2", "--seed", "3"], (10, 2)),
        (["--show", "swaps"], (10, 6)),
        (["--show", "swaps", "--parts", "1", "--from-part", "0"], (10, 4)),
    ],
)
def test_parts_are_drawn(flags: list[str], size: tuple[int, int], trained: Path, tmp_path: Path, genae) -> None:
    assert genae("parts", trained, *flags, "--out", tmp_path / "p.png") == 0
    width, height = Image.open(tmp_path / "p.png").size
    assert width > size[0] * 60
    assert size[1] * 60 < height < size[1] * 70 + 40


def test_parts_are_written_as_numbers_and_files(trained: Path, tmp_path: Path, genae) -> None:
    assert genae("parts", trained, "--out", tmp_path / "p.npz") == 0
    arrays = np.load(tmp_path / "p.npz")
    assert arrays["occurrence"].shape == (10, 3, 4, 4)
    assert arrays["appearance"].shape == (10, 3, 2)
    flags = ["--show", "crops", "--count", "5", "--out", tmp_path / "crops"]
    assert genae("parts", trained, *flags) == 0
    assert len(list((tmp_path / "crops" / "part-01").glob("*.png"))) == 5
    with open(tmp_path / "crops" / "crops.csv") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 15
    model = load(trained)
    data = model.open_data()
    assert data.labels is not None
    test = set(data.split("test").tolist())
    for line in lines:
        image = data.images(torch.tensor([int(line["image"])]))
        seen = model.parts(image)[1][0, int(line["part"])]
        assert float(seen[int(line["row"]), int(line["column"])]) == pytest.approx(float(line["probability"]), abs=1e-4)
        assert float(seen.max()) == pytest.approx(float(line["probability"]), abs=1e-4)
        assert data.classes[int(data.labels[int(line["image"])])] == line["class"]
        assert int(line["image"]) in test
        written = Image.open(tmp_path / "crops" / line["file"])
        cell = torch.tensor([[int(line["row"]), int(line["column"])]])
        expected = crops(image, cell, int(model.autoencoder.scale))[0]  # type: ignore[arg-type]
        assert np.array_equal(np.array(written), np.array(figures.to_picture(expected)))


def test_wrong_requests_for_parts(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], genae) -> None:
    for flags, message in (
        (["--show", "map"], "--show is 'map'; did you mean 'maps'"),
        (["--parts", "3"], "--parts holds 3; there are 3 parts, numbered from 0"),
        (["--show", "swaps", "--out", "x.npz"], "expected .png"),
        (["--parts", ""], "--parts is ''; expected numbers of parts"),
        (["--show", "swaps", "--from-part", "3"], "--from-part holds 3; there are 3 parts, numbered from 0"),
        (["--show", "crops", "--from-part", "1"], "--from-part is for --show swaps, not crops"),
        (["--seed", "1"], "--seed is for --show crops, not maps"),
    ):
        assert genae("parts", trained, *flags) == 2
        assert message in capsys.readouterr().err
    train(
        resolve("ae", {"data": "digits", "images": 50, "width": 4, "batch_size": 50}, {}, AUTOENCODERS), tmp_path / "ae"
    )
    assert genae("parts", tmp_path / "ae") == 2
    assert "has no parts; expected a patch-vae" in capsys.readouterr().err


def test_reconstructions_with_hard_occurrences_are_logged(trained: Path) -> None:
    last = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines() if "validation" in line][-1]
    assert last["validation"].keys() == {"mse", "mse_parts"}
    assert last["validation"]["mse"] != last["validation"]["mse_parts"]


def test_what_soft_maps_let_through_is_measured(trained: Path, tmp_path: Path) -> None:
    records = api.evaluate(trained, metrics=["mse", "occurrence"], out=tmp_path / "m.jsonl")
    values = {(r["of"], r["metric"]): r["value"] for r in records}
    assert values["code", "occurrence-probability"] == pytest.approx(values["code", "mse"], rel=1e-5)
    assert values["code", "occurrence-threshold"] == pytest.approx(values["parts", "mse"], rel=1e-5)
    model = load(trained)
    data = model.open_data()
    x = data.images(data.split("test"))
    appearance, probability = model.parts(x)
    generator, total = torch.Generator().manual_seed(0), 0.0
    for part in zip(x.split(BATCH), appearance.split(BATCH), probability.split(BATCH), strict=True):
        there = (torch.rand(part[2].shape, generator=generator) < part[2]).float()
        x_hat = model.decode(torch.cat([part[1].flatten(1), there.flatten(1)], 1))
        total += float((x_hat - part[0]).square().flatten(1).mean(1).sum())
    assert values["code", "occurrence-drawn"] == pytest.approx(total / len(x), rel=1e-6)


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_batch_normalisation_of_a_single_value_is_explained(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("flags : avx512_bf16")  # where `auto` runs an iteration on shapes
    monkeypatch.setattr("genae.training.precision.CPU_INFO", tmp_path / "cpuinfo")
    settings = {"data": "digits", "images": 2, "batch_size": 1, "width": 4, "precision": precision, "device": "cpu"}
    config = resolve("patch-vae", settings, {}, AUTOENCODERS)
    with pytest.raises(GenaeError, match="raise --batch-size"):
        train(config, tmp_path / "run")
    with pytest.raises(GenaeError, match="raise --batch-size"):
        list(footprints(build_model(config, (1, 8, 8))))


def test_a_huge_variance_leaves_finite_gradients() -> None:
    model = patch_model()
    raw = torch.full((1, 6, 2, 2), 200.0, requires_grad=True)
    _, variance = model._appearance(
        torch.zeros(1, 6, 2, 2).unflatten(1, (3, 2)), raw.unflatten(1, (3, 2)), torch.ones(1, 3, 2, 2)
    )
    variance.sum().backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
    assert variance.isfinite().all()


def test_sections_of_a_trunk_are_its_first_convolution_and_its_stages() -> None:
    trunk = sections(patch_model())
    assert len(trunk) == 3
    x = torch.rand(2, *SHAPE)
    model = patch_model().eval()
    assert torch.equal(nn.Sequential(*sections(model))(x), model.encoder(x))
    assert len(sections(TrunkVae(SHAPE, width=4))) == 3
    convolutional = AUTOENCODERS["ae"](SHAPE, width=4).eval()
    cut = sections(convolutional)
    assert len(cut) == 5
    assert torch.equal(nn.Sequential(*cut)(x), convolutional.encoder.convolutions(x))
    with pytest.raises(GenaeError, match="AdversarialLatentAutoencoder has no convolutional trunk"):
        sections(AUTOENCODERS["alae"](SHAPE, width=4))


@pytest.mark.parametrize(("frozen", "fixed"), [("conv1", 1), ("conv1-3", 2), ("conv1-5", 3)])
def test_frozen_layers_stay_and_the_rest_learns(
    frozen: str, fixed: int, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked, plain = [], torch.random.fork_rng
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices=None: forked.append(devices) or plain(devices))
    model = load(trained)
    data = model.open_data()
    trunk = sections(model.autoencoder)
    before = [p.clone() for p in trunk.parameters()]
    layers = freeze(trunk, data, frozen)
    state = torch.get_rng_state()
    found = recognise(layers, epochs=2)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random numbers"
    assert forked == [[model.device] if model.device.type == "cuda" else []], "beside the CPU's, of the device at hand"
    assert all(torch.equal(p, q) for p, q in zip(trunk.parameters(), before, strict=True)), "a copy is trained"
    assert 0.2 < found.top1 < found.top5 <= 1
    assert found.epoch in (1, 2)
    assert recognise(layers, epochs=2) == found


def test_a_probe_of_a_run_with_flips_says_that_it_flips(trained: Path) -> None:
    model = load(trained)
    model.folder = None  # the run of the other tests keeps its own records
    assert "flip" not in api.probe(model, epochs=1)[0]["fingerprint"]
    model.config = replace(model.config, flip=True)
    records = api.probe(model, epochs=1, heads=["mlp", "logistic"])
    flips = {r["metric"]: r["fingerprint"].get("flip") for r in records}
    assert flips == {"top1-conv1-5": True, "top5-conv1-5": True, "logistic-conv1-5": None}


@pytest.mark.cpu
def test_probes_of_frozen_features(trained: Path) -> None:
    model = load(trained)
    data = model.open_data()
    layers = freeze(sections(model.autoencoder), data, "conv1-3")
    rows = {
        name: nn.Sequential(*sections(model.autoencoder)[:2])(data.images(data.split(name))).detach().flatten(1)
        for name in ("train", "test")
    }
    distances = torch.cdist(rows["test"].double(), rows["train"].double())
    assert data.labels is not None
    train, test = data.labels[data.split("train")], data.labels[data.split("test")]
    assert read_off(layers, "1nn") == pytest.approx(float((train[distances.argmin(1)] == test).double().mean()))
    votes = nn.functional.one_hot(train[distances.topk(20, largest=False).indices]).sum(1)
    assert read_off(layers, "knn") == pytest.approx(float((votes.argmax(1) == test).double().mean()), abs=0.01)
    assert read_off(layers, "logistic") > 0.4


def test_probes_of_features_that_no_memory_holds_are_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(trained)
    model.folder = None
    monkeypatch.setattr(recognition, "physical_memory", lambda: 10_000)
    monkeypatch.setattr(recognition, "recognise", None)  # the refusal comes first
    with pytest.raises(GenaeError, match="images take .* GB, and this machine has 0.0 GB of memory; a probe needs all"):
        api.probe(model, heads=["mlp", "knn"])


def test_the_learning_rate_drops_and_the_best_epoch_is_tested(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(trained)
    rates: list[float] = []
    step = torch.optim.SGD.step

    def watched(self: torch.optim.SGD, *arguments: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    accuracies = iter([(0.2, 0.3), (0.9, 1.0), (0.4, 0.5), (0.77, 0.88)])
    monkeypatch.setattr(recognition, "_accuracies", lambda *_: next(accuracies))
    layers = freeze(sections(model.autoencoder), model.open_data(), "conv1-5")
    messages: set[str] = set()
    found = recognise(layers, epochs=3, drop_every=2, progress=lambda message, done, total: messages.add(message))
    assert found == (0.77, 0.88, 2)
    assert messages == {"training a head, seed 0"}, "a message that changes would be a line each time, when piped"
    assert sorted(set(rates)) == pytest.approx([0.001, 0.01])


def test_a_run_is_probed(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, genae
) -> None:
    flags = ["--epochs", "1", "--seeds", "0,1", "--frozen", "conv1-3"]
    assert genae("probe", trained, *flags, "--trunk", "random") == 0
    capsys.readouterr()
    assert genae("probe", trained, *flags, "--heads", "mlp, knn") == 0
    shown = capsys.readouterr().out
    records = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    probed = [(r["of"], r["metric"], r["fingerprint"]["seed"]) for r in records if r["metric"].startswith("top")]
    assert len(set(probed)) == 8
    pair = [r["value"] for r in records if r["of"] == "code" and r["metric"] == "top1-conv1-3"]
    mean, deviation = sum(pair) / 2, abs(pair[0] - pair[1]) / 2
    assert f"{mean:.4g} ± {deviation:.2g} (2 seeds)" in " ".join(shown.split())
    rows = tables.compare({"run": records})[1]
    assert {row[1] for row in rows} == {"code", "random trunk"}, "side by side, whatever was measured last"
    assert [r["metric"] for r in records].count("knn-conv1-3") == 1
    monkeypatch.setattr(frozen_features, "physical_memory", lambda: 10_000)
    for more, place in (
        (["--keep-features", "1"], "kept on disk meanwhile, in"),
        ([], "computed again for every batch"),
    ):
        assert genae("probe", trained, *flags, *more) == 0
        assert place in " ".join(capsys.readouterr().err.split())
    again = [json.loads(line)["value"] for line in (trained / "metrics.jsonl").read_text().splitlines()]
    trained_before = [r["value"] for r in records if r["of"] == "code" and r["metric"].startswith("top")]
    assert again[len(records) :] == 2 * trained_before, "wherever features are, the numbers are the same"
    for wrong, message in (
        (["--frozen", "conv2"], "frozen is 'conv2'; "),
        (["--heads", "mpl"], "head is 'mpl'; did you mean 'mlp'"),
        (["--trunk", "x"], "--trunk is 'x'"),
        (["--seeds", "a"], "--seeds is 'a'"),
        (["--seeds", "1,1"], "seeds are [1, 1]; expected different"),
        (["--heads", "knn", "--frozen", "none"], "knn reads frozen layers, but frozen is 'none'; freeze some layers"),
    ):
        assert genae("probe", trained, *wrong) == 2
        assert message in capsys.readouterr().err


def test_a_table_has_the_newest_protocol_of_a_recognition() -> None:
    def record(value: float, seed: int, epochs: int, weights: str) -> dict[str, Any]:
        fingerprint = {"data": "d", "split": "test", "frozen": "conv1", "weights": weights}
        return {
            "of": "code",
            "metric": "top1-conv1",
            "value": value,
            "fingerprint": fingerprint | {"seed": seed, "epochs": epochs},
        }

    records = [record(0.1, 0, 9, "old"), record(0.2, 0, 1, "new"), record(0.4, 0, 9, "new"), record(0.6, 1, 9, "new")]
    (kept,) = tables.together(tables.newest(records))
    assert (kept["value"], kept["seeds"]) == (pytest.approx(0.5), 2)
    assert not tables.compare({"many": records, "one": [record(0.3, 5, 9, "other")]})[2], "a seed is no protocol"
    (kept,) = tables.together(tables.newest([*records, record(0.3, 0, 1, "new")]))
    assert kept["value"] == 0.3
    assert "seeds" not in kept


def test_probes_refuse_what_means_nothing(trained: Path) -> None:
    for wrong, message in (
        ({"heads": "knn"}, "heads are 'knn'; expected a list"),
        ({"epochs": 0}, "epochs is 0; expected at least 1"),
        ({"seeds": []}, r"seeds are \[\]; expected"),
    ):
        with pytest.raises(GenaeError, match=message):
            api.probe(trained, **wrong)


def test_true_places_of_shapes_are_where_the_images_differ_from_their_ground() -> None:
    raw = shapes(count=40)
    places = shape_places(8, count=40)
    assert places.shape == (40, 3, 8, 8)
    for i in range(40):
        pixels = pixels_of(raw)[i].float()
        drawn = (pixels - pixels[:, :1, :1]).abs().amax(0) > 8
        share = F.avg_pool2d(drawn[None].float(), 8)[0]
        kind = int(raw.labels[i])
        assert (places[i, kind] - share).abs().max() < 0.2
        assert float(places[i].sum()) == pytest.approx(float(places[i, kind].sum()))


def test_localisation_scores_the_part_that_fits_on_images_that_did_not_choose_it() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = (torch.rand(60, 2, 4, 4, generator=generator) < 0.2).float()
    noise = torch.rand(60, 5, 4, 4, generator=generator)
    occurrence = noise.clone()
    occurrence[:, 3] = truth[:, 0]  # a part of the model that is the first true one
    located = localisation((occurrence[:30], truth[:30]), (occurrence[30:], truth[30:]))
    assert int(located.parts[0]) == 3
    assert float(located.best[0]) == 1
    assert float(located.chance[1]) == pytest.approx(float(truth[30:, 1].mean()))
    assert float(located.best[1]) == pytest.approx(float(located.chance[1]), abs=0.06)


def test_average_precision_of_a_ranking() -> None:
    scores, truth = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([True, False, True, False])
    assert average_precision(scores, truth) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_parts_of_shapes_are_scored_and_others_refused(trained: Path, tmp_path: Path) -> None:
    settings = {"data": "shapes", "size": "32", "images": 64, "batch_size": 32, "width": 4, "parts": 3, "part_dim": 2}
    train(resolve("patch-vae", settings, {}, AUTOENCODERS), tmp_path / "run")
    records = api.evaluate(tmp_path / "run", metrics=["localisation"])
    values = {(r["of"], r["metric"]): r["value"] for r in records}
    chances = [values["a map without knowledge", f"localisation-{kind}"] for kind in ("circle", "square", "triangle")]
    assert values["a map without knowledge", "localisation-any"] == pytest.approx(sum(chances))
    for kind, chance in zip(("circle", "square", "triangle"), chances, strict=True):
        assert 0.02 < chance < 0.2
        assert values["code", f"localisation-{kind}"] > 0.5 * chance
    with pytest.raises(GenaeError, match="localisation needs data whose parts are known: shapes, not digits"):
        api.evaluate(trained, metrics=["localisation"])
    train(resolve("patch-vae", settings | {"size": "32x64"}, {}, AUTOENCODERS), tmp_path / "wide")
    with pytest.raises(GenaeError, match="square images of shapes; this model has a grid of 4 x 8 cells"):
        api.evaluate(tmp_path / "wide", metrics=["localisation"])
