"""A trained model's verbs, its numbers and its report."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import genae
from genae import api
from genae.data.images import as_images
from genae.data.sampler import mix_seed
from genae.data.sources import open_data
from genae.errors import GenaeError
from genae.metrics.cost import costs
from genae.metrics.data_classifier import classifier_of, load_classifier, train_classifier
from genae.metrics.records import short_count
from genae.model import Model, load
from genae.reports import tables
from genae.reports.page import write_report
from genae.storage import read_lines
from genae.training.config import Config
from genae.training.start import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_options: Callable[..., dict[str, Any]]) -> Path:
    path = tmp_path_factory.mktemp("runs") / "tiny"
    options = tiny_options("stacked-wae", priors="normal,uniform,uniform/normal")
    train(Config("stacked-wae", "digits", images=320, device="cpu", precision="float32", options=options), path)
    return path


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    return load(run, "cpu")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    data = open_data("digits")
    return data.images(data.split("test")[:6])


def test_codes_and_images(model: Model, images: torch.Tensor) -> None:
    codes = model.encode(images)
    assert codes.shape == (6, 6)
    assert not codes.requires_grad
    assert torch.equal(model.decode(codes), model.reconstruct(images))
    assert model.encode(images, "uniform").shape == (6, 3)
    assert model.encode(images, "uniform").abs().max() <= 1
    stacked = model.autoencoder.priors["uniform/normal"]
    by_hand = stacked.levels[1].encode(stacked.levels[0].encode(codes))
    assert torch.allclose(model.encode(images, "uniform/normal"), by_hand, atol=1e-6)
    assert model.reconstruct(images, "normal").shape == images.shape


def test_encoding_is_the_same_in_any_batch(model: Model, images: torch.Tensor) -> None:
    assert torch.allclose(model.encode(images)[2:3], model.encode(images[2:3]), atol=1e-6)


def test_codes_of_a_data_set_are_those_of_its_images(model: Model) -> None:
    data = open_data("digits")
    indices = data.split("train")[:600]  # more than two batches
    codes = model.encode_data(data, indices)
    assert torch.allclose(codes, model.encode(data.images(indices)), atol=1e-6)
    assert not torch.allclose(codes, codes.flip(0), atol=1e-4), "the order can be told"


def test_samples_depend_on_seed_and_prior_alone(model: Model) -> None:
    assert model.priors == ["normal", "uniform", "uniform/normal"]
    for prior in model.priors:
        many = model.sample(300, seed=1, prior=prior)
        assert many.shape == (300, 1, 8, 8)
        assert torch.allclose(model.sample(5, seed=1, prior=prior), many[:5], atol=1e-6)
        assert not torch.equal(model.sample(5, seed=2, prior=prior), many[:5])


def test_interpolation_and_manifold_meet_their_ends(model: Model, images: torch.Tensor) -> None:
    for space in ("code", "normal"):
        for kind in ("linear", "spherical"):
            path = model.interpolate(images[:2], images[2:4], steps=5, space=space, kind=kind)
            assert path.shape == (2, 5, 1, 8, 8)
            assert torch.allclose(path[:, 0], model.reconstruct(images[:2], space), atol=1e-5)
            assert torch.allclose(path[:, -1], model.reconstruct(images[2:4], space), atol=1e-5)
    corners = model.manifold(images[:4], 3, 5)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.allclose(corners, model.reconstruct(images[:4]), atol=1e-5)


def test_editing(model: Model, images: torch.Tensor) -> None:
    has = torch.tensor([True, False] * 3)
    along = model.direction(images, has)
    edited = model.edit(model.encode(images), along, (-1, 0, 1))
    assert edited.shape == (6, 3, 1, 8, 8)
    assert torch.allclose(edited[:, 1], model.reconstruct(images), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.encode(torch.zeros(2, 3, 8, 8)), r"shape \[2, 3, 8, 8\]; expected \[N, 1, 8, 8\]"),
        (
            lambda m: m.encode(torch.zeros(2, 1, 8, 8, dtype=torch.int64)),
            r"int64; expected floats in \[-1, 1\] or uint8",
        ),
        (lambda m: m.encode(torch.full((1, 1, 8, 8), 255.0)), r"from 255 to 255; expected finite floats in \[-1, 1\]"),
        (lambda m: m.sample(1, prior="gaussian"), "no prior 'gaussian'; expected one of normal"),
        (lambda m: m.interpolate(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), kind="curved"), "path is 'curved'"),
        (lambda m: m.open_data("shapes", channels=2), "images with 3 channels cannot be converted to 2; expected 1"),
        (lambda m: m.decode(torch.zeros(2, 5)), r"\[2, 5\]; tiny expects \[N, 6\] in space 'code'"),
    ],
)
def test_wrong_use_is_explained(call: Any, message: str, model: Model) -> None:
    with pytest.raises(GenaeError, match=message):
        call(model)


def test_a_model_without_prior_says_so(tiny_options: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    train(Config("adversarial", "digits", images=16, options=tiny_options("adversarial")), tmp_path / "run")
    with pytest.raises(GenaeError, match="has no prior to sample from"):
        load(tmp_path / "run").sample(1)


def test_other_data_is_brought_to_the_model(model: Model) -> None:
    data = model.open_data("shapes")
    assert data.image_shape == model.image_shape
    assert model.reconstruct(data.images(torch.arange(2))).shape == (2, 1, 8, 8)


@pytest.fixture(scope="module")
def records(run: Path) -> list[dict[str, Any]]:
    return api.evaluate(run, samples=1000)


def test_numbers_carry_their_protocol(records: list[dict[str, Any]], run: Path, model: Model) -> None:
    assert read_lines(run / "metrics.jsonl", "fingerprint") == records
    found = {(r["of"], r["metric"]) for r in records}
    assert {(of, m) for of in ("code", *model.priors) for m in ("mse", "psnr", "ssim")} <= found
    assert {(prior, m) for prior in model.priors for m in ("icp1k", "fd1k-classifier")} <= found
    assert ("real data", "icp179-1split") in found
    score = next(r for r in records if r["metric"] == "icp1k")
    wanted = {
        "data",
        "data_digest",
        "split",
        "network",
        "network_digest",
        "accuracy",
        "seed",
        "splits",
        "weights",
        "genae",
    }
    assert wanted <= set(score["fingerprint"])
    assert score["fingerprint"]["weights"] == model.digest


def test_the_mse_is_that_of_its_definition(records: list[dict[str, Any]], model: Model) -> None:
    data = open_data("digits")
    x = data.images(data.split("test"))
    value = next(r["value"] for r in records if (r["of"], r["metric"]) == ("normal", "mse"))
    assert value == pytest.approx(float((model.reconstruct(x, "normal") - x).square().mean()), rel=1e-5)


def test_repeated_evaluation_gives_the_same_numbers(records: list[dict[str, Any]], run: Path) -> None:
    assert api.evaluate(run, samples=1000) == records
    assert len(tables.newest(read_lines(run / "metrics.jsonl", "fingerprint"))) == len(records)


def test_two_ways_between_the_same_samples(tiny_options: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    train(Config("alae", "digits", images=64, options=tiny_options("alae")), tmp_path / "run")
    model = load(tmp_path / "run")
    ways = model.traverse(3, steps=5, seed=2)
    assert ways.shape == (3, 2, 5, 1, 8, 8)
    in_z, in_codes = ways[:, 0], ways[:, 1]
    for end in (0, 4):
        assert torch.allclose(in_z[:, end], in_codes[:, end], atol=1e-6)
    assert not torch.allclose(in_z[:, 2], in_codes[:, 2], atol=1e-4), "F is not linear"
    ends = (
        model.autoencoder.priors["mapping"]
        .decode(model.autoencoder.priors["mapping"].latent(6, torch.Generator().manual_seed(mix_seed("traverse", 2))))
        .detach()
    )
    assert torch.allclose(model.decode((ends[:3] + ends[3:]) / 2), in_codes[:, 2], atol=1e-6)
    assert "Between samples" in write_report(model, model.open_data(), tmp_path / "run").read_text()
    assert (tmp_path / "run" / "figures" / "traversal-mapping.png").exists()
    api.fit_prior(tmp_path / "run", "mixture", components=2)
    with pytest.raises(GenaeError, match="prior 'mixture' has no latent variables to traverse"):
        load(tmp_path / "run").traverse(3, prior="mixture")


def test_what_training_cost_is_measured(records: list[dict[str, Any]], run: Path) -> None:
    last = read_lines(run / "log.jsonl", "seconds")[-1]
    cost = {(r["of"], r["metric"]): r["value"] for r in records if r["metric"].startswith("train_")}
    assert cost == {("code", "train_images"): last["images"], ("code", "train_seconds"): last["seconds"]}
    api.fit_prior(run, "mixture", components=2, name="two")
    spent = costs(run, load(run).digest)
    assert spent["two"]["train_images"] == len(load(run).open_data().split("train"))
    assert 0 < spent["two"]["train_seconds"] < 60
    assert "two" not in costs(run, "other weights")
    found = api.evaluate(run / "best.safetensors", samples=200, out=None)
    assert found
    assert not any(r["metric"].startswith("train_") for r in found)
    with pytest.raises(GenaeError, match="the cost is read from the log of a run folder; .*best.safetensors is a file"):
        api.evaluate(run / "best.safetensors", metrics=["mse", "cost"])
    (run / "priors" / "two.safetensors").unlink()


def test_a_table_shows_one_fit_of_a_prior(records: list[dict[str, Any]]) -> None:
    old = {"of": "mixture", "value": 1.0, "fingerprint": records[-1]["fingerprint"] | {"prior_weights": "old"}}
    new = {"of": "mixture", "value": 2.0, "fingerprint": records[-1]["fingerprint"] | {"prior_weights": "new"}}
    kept = tables.newest([old | {"metric": "fd"}, old | {"metric": "icp"}, new | {"metric": "icp"}, records[-1]])
    assert [(r["metric"], r["value"]) for r in kept if r["of"] == "mixture"] == [("icp", 2.0)]


def test_numbers_that_other_labels_taught_stand_apart(records: list[dict[str, Any]]) -> None:
    base = records[0]["fingerprint"] | {"features": "short", "train": 1457}
    own: dict[str, Any] = {"of": "code", "metric": "1nn", "value": 0.9, "fingerprint": base}
    taught = own | {"value": 0.5, "fingerprint": base | {"train": 40, "train_data": "lab", "train_split": "all"}}
    long = own | {"metric": "1nn-long", "fingerprint": base | {"features": "long"}}
    header, rows = tables.table(tables.newest([own, taught, long]))
    of = f"{base['data']}, {base['split']}"
    assert header == ["", f"code ({of})", f"code ({of}; learnt from lab, all)"]
    assert rows == [["1nn", "0.9", "0.5"], ["1nn-long", "0.9", "-"]]
    alone, other = tables.protocols([own, taught, long]).values()
    assert "train 1457, " in f"{alone}, "
    assert "features short (1nn) / long (1nn-long)" in alone
    assert "train 40" in other
    assert "features short," in f"{other},"


def test_unlike_numbers_are_named(records: list[dict[str, Any]]) -> None:
    other = [r | {"fingerprint": r["fingerprint"] | {"seed": 7, "weights": "other"}} for r in records]
    _, rows, notes = tables.compare({"a": records, "b": other})
    assert len(rows) == 2 * len({r["of"] for r in records})
    assert any(note.startswith("icp1k of a and b are not comparable: seed 0 / 7") for note in notes)
    assert not tables.compare({"a": records, "b": records})[2]
    packed = [r | {"fingerprint": r["fingerprint"] | {"data": "digits.genae"}} for r in records]
    assert not tables.compare({"a": records, "b": packed})[2]
    elsewhere = [r | {"fingerprint": r["fingerprint"] | {"data": "zoo", "data_digest": "other"}} for r in records]
    notes = tables.compare({"a": [*records, *elsewhere], "b": records})[2]
    unlike = f"data digits / zoo, data_digest {records[0]['fingerprint']['data_digest']} / other"
    assert [note for note in notes if note.startswith("mse of")] == [
        f"mse of a (digits, test) and a (zoo, test) are not comparable: {unlike}"
    ]
    fewer = [r | {"of": "normal", "fingerprint": r["fingerprint"] | {"count": 3}} for r in records if r["of"] == "code"]
    notes = tables.compare({"a": [*(r for r in records if r["of"] == "code"), *fewer]})[2]
    assert any(note.startswith("mse of code of a and normal of a are not comparable: count ") for note in notes), notes


def test_comparing_no_list_is_explained() -> None:
    for runs, given in (("path", "'path'"), (Path("path"), "'path'"), ([], "'[]'")):
        with pytest.raises(GenaeError, match=f"runs is {re.escape(given)}; expected a list of runs"):
            genae.compare(runs)


def test_classifier_is_cached_with_its_identity() -> None:
    data = open_data("digits")
    first = classifier_of(data, torch.device("cpu"))
    again = load_classifier(data, torch.device("cpu"))
    assert again.protocol == first.protocol
    assert again.details["accuracy"] > 0.95
    with pytest.raises(GenaeError, match="no labels to train a classifier on"):
        train_classifier(replace(data, labels=None), torch.device("cpu"))


def test_counts_in_names() -> None:
    assert [short_count(n) for n in (10_000, 1000, 179, 2500)] == ["10k", "1k", "179", "2500"]


def test_public_names() -> None:
    for name in genae.__all__:
        assert getattr(genae, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = genae.lod


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: m.sample(0), "count is 0; expected a whole number of at least 1"),
        (lambda m, x: m.sample(-1), "count is -1"),
        (lambda m, x: m.sample("4"), "count is '4'"),
        (lambda m, x: m.interpolate(x[:2], x[:3]), "2 images a and 3 images b"),
        (lambda m, x: m.interpolate(x[:2], x[:2], steps=0), "steps is 0; expected a whole number of at least 2"),
        (lambda m, x: m.edit(m.encode(x), torch.zeros(6), []), r"strengths is \[\]; expected a list of numbers"),
        (lambda m, x: m.edit(m.encode(x), torch.zeros(6), 2.0), "strengths is 2.0; expected a list"),
        (lambda m, x: m.edit(m.encode(x), torch.zeros(6), ["a"]), r"strengths is \['a'\]; expected a list"),
        (lambda m, x: m.edit(m.encode(x) * float("nan"), torch.zeros(6), [1]), "code 0 holds NaN"),
        (lambda m, x: m.direction(x, [0, 1, 2, 3, 4, 5]), "has holds 2; expected booleans"),
        (
            lambda m, x: m.direction(x, [True, False, True]),
            r"has has shape \[3\]; expected a boolean",
        ),
        (lambda m, x: m.direction(x, "smile"), "has is of type str; expected 6 booleans"),
        (lambda m, x: load(3), "the run is 3; expected the path"),
        (lambda m, x: m.encode(x * float("nan")), "values from nan to nan; expected finite floats"),
        (lambda m, x: m.encode(3), "images are 3; expected a tensor"),
        (lambda m, x: m.encode([1, 2]), "images are a list of int; expected"),
        (lambda m, x: m.encode(x[:, 0]), r"images have shape \[6, 8, 8\]; expected \[N, 1, 8, 8\]"),
        (lambda m, x: m.decode([[0.0] * 6]), "codes are of type list; expected a tensor"),
        (lambda m, x: m.decode(torch.full((2, 6), float("inf"))), "code 0 holds NaN or infinity"),
        (lambda m, x: m.manifold(x[:3]), "3 images were given; expected the four corners"),
    ],
)
def test_wrong_arguments_get_one_sentence(
    call: Callable[[Model, torch.Tensor], object], message: str, model: Model, images: torch.Tensor
) -> None:
    with pytest.raises(GenaeError, match=message):
        call(model, images)


def test_images_may_come_in_many_forms(model: Model, images: torch.Tensor, tmp_path: Path) -> None:
    codes = model.encode(images)
    assert torch.equal(model.encode(images.double().numpy()), codes)
    pixels = ((images + 1) * 127.5).round().to(torch.uint8)
    expected = model.encode(pixels.float() / 127.5 - 1)
    for given in (pixels, pixels.numpy(), pixels[:, 0].numpy(), pixels.permute(0, 2, 3, 1).numpy()):
        assert torch.allclose(model.encode(given), expected, atol=1e-5)
    pictures = [Image.fromarray(one[0].numpy()) for one in pixels]
    assert torch.allclose(model.encode(pictures), expected, atol=1e-5)
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    assert torch.allclose(model.encode(tmp_path), expected, atol=1e-5)
    assert torch.allclose(model.encode([tmp_path / "3.png", str(tmp_path / "1.png")]), expected[[3, 1]], atol=1e-5)
    assert torch.allclose(model.encode(pictures[2].resize((16, 16))), expected[2:3], atol=1)
    with pytest.warns(UserWarning, match="none below 0; black is -1 here"):
        model.encode((images + 1) / 2)


def test_uint8_in_either_layout_is_refused() -> None:
    with pytest.raises(GenaeError, match="could be in either layout"):
        as_images(torch.zeros(2, 3, 3, 3, dtype=torch.uint8), (3, 3, 3), open_data)


def test_a_model_says_what_it_is(model: Model) -> None:
    assert repr(model) == (
        "<Model tiny: stacked-wae, images 1 x 8 x 8, codes of 6, priors normal, uniform, uniform/normal>"
    )


def test_other_weights_of_a_run_are_loaded_by_name(trained_twice: Path, tmp_path: Path) -> None:
    best, first, last = (load(trained_twice, checkpoint=name) for name in ("best", 16, "last"))
    assert best.digest == first.digest == load(trained_twice).digest
    assert last.digest == load(trained_twice, checkpoint="32").digest != best.digest
    with pytest.raises(GenaeError, match=r"has no weights '17'; there are: best, last, 16, 32$"):
        load(trained_twice, checkpoint=17)
    with pytest.raises(GenaeError, match=r"is not a run folder; leave the checkpoint out"):
        load(trained_twice / "best.safetensors", checkpoint="last")
    averaged = tmp_path / "run"
    shutil.copytree(trained_twice, averaged)
    (averaged / "best.safetensors").unlink()
    newest = averaged / "checkpoints" / "images-000000032"
    shutil.copy(newest.parent / "images-000000016" / "model.safetensors", newest / "average.safetensors")
    assert load(averaged, checkpoint="last").digest == first.digest, "the average is what a training gives"
    with pytest.raises(GenaeError, match=r"has no weights 'best'; there are: last, 16, 32$"):
        load(averaged, checkpoint="best")
