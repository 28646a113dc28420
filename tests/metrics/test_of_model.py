"""Runs measured by every metric; NaN, codes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from genae import api
from genae.data.stream import ImageStream
from genae.errors import GenaeError
from genae.metrics import METRICS, explain, kind_of
from genae.metrics.frechet import moments
from genae.model import load
from genae.reports import tables
from genae.storage import read_lines


def test_every_metric_of_a_run(small_run: Path) -> None:
    chosen = [
        name
        for name in METRICS
        if name not in ("ms_ssim", "lpips", "ppl", "fid", "is", "localisation", "occurrence", "conditional", "bpd")
    ]
    records = api.evaluate(small_run, samples=1000, metrics=chosen, networks=["classifier", "pixels"])
    found = {(r["of"], r["metric"]) for r in records}
    for prior in ("normal", "uniform"):
        for metric in ("icp1k", "fd1k-classifier", "fd1k-pixels", "kid1k-pixels", "precision1k-classifier",
                       "coverage1k-pixels", "nearest1k", "copies1k", "code_fd1k", "mse", "fpl_z_full1k-classifier",
                       "fpl_w_end1k-pixels"):  # fmt: skip
            assert (prior, metric) in found
    for metric in ("rfd179-classifier", "rkid179-pixels", "code_std", "code_rank", "1nn", "svm"):
        assert ("code", metric) in found
    assert ("real data", "nearest179") in found
    assert all(explain(kind_of(metric)) for _, metric in found)
    assert {kind_of("rfd10k-classifier"), kind_of("recall10k"), kind_of("rrecall10k")} == {"fd", "recall"}
    assert all(np.isfinite(r["value"]) for r in records)


def test_the_codes_of_a_run_are_measured(small_run: Path) -> None:
    model = load(small_run)
    data = model.open_data()
    codes = model.encode_data(data, data.split("test"))
    records = {(r["of"], r["metric"]): r["value"] for r in api.evaluate(small_run, samples=300, metrics=["codes"])}
    spread = codes.double().var(0).mean().sqrt()
    assert records["code", "code_std"] == pytest.approx(float(spread), rel=1e-5)
    drawn = model.sample_codes(300, 0, "normal")
    expected = moments(drawn).distance(moments(codes))
    assert records["normal", "code_fd300"] == pytest.approx(expected, rel=1e-5)


def test_no_more_images_at_once_than_training_takes_and_the_numbers_do_not_depend_on_it(small_run: Path) -> None:
    model = load(small_run)
    data = model.open_data()
    sizes: list[int] = []
    for network in (model.autoencoder.encoder, model.autoencoder.decoder):
        network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    values, codes = [], []
    for batch in (100, 8):
        model.autoencoder.batch_size = batch
        sizes.clear()
        records = api.evaluate(
            model, metrics=["mse", "codes", "fd", "nearest", "1nn"], samples=150, networks=["pixels"]
        )
        assert max(sizes) == min(batch, 64)
        values.append({(r["of"], r["metric"]): r["value"] for r in records})
        sizes.clear()
        codes.append(model.encode_data(data, data.split("test")))
        model.training_codes(data, None)
        model.decode(codes[-1])
        assert max(sizes) == batch
    assert values[1] == pytest.approx(values[0], rel=1e-3)
    assert torch.allclose(*codes, rtol=1e-4, atol=1e-7)


def test_a_model_that_makes_nan_is_refused(small_run: Path) -> None:
    model = load(small_run)
    with torch.no_grad():
        for parameter in model.autoencoder.decoder.parameters():  # type: ignore[union-attr]
            parameter.fill_(torch.nan)
    with pytest.raises(GenaeError, match=r"8 of 8 reconstructions through code hold NaN .*training went wrong"):
        api.evaluate(model, metrics=["mse"], samples=10)


def test_kernel_distance_and_memorisation_of_a_run_are_those_of_their_functions(small_run: Path) -> None:
    from genae.metrics.copies import training_distances
    from genae.metrics.kernel import kernel_distance

    model = load(small_run)
    data = model.open_data()
    records = api.evaluate(small_run, samples=300, metrics=["kid", "nearest"], networks=["pixels"], seed=5)
    value = {(r["of"], r["metric"]): r["value"] for r in records}
    images = (model.sample(300, 5, "normal").clamp(-1, 1) + 1).mul(127.5).round() / 127.5 - 1
    rows = data.images(data.split("test")).flatten(1)
    expected = kernel_distance(images.flatten(1), rows, 100, 179, 5)[0]
    fingerprint = next(r["fingerprint"] for r in records if r["metric"] == "kid300-pixels")
    assert (fingerprint["subsets"], fingerprint["subset_size"]) == (100, 179)
    assert value["normal", "kid300-pixels"] == pytest.approx(expected, rel=1e-4)
    train = data.images(data.split("train")).flatten(1)
    ours, honest = training_distances(images.flatten(1), train), training_distances(rows, train)
    assert value["normal", "nearest300"] == pytest.approx(float(ours.median()), rel=1e-4)
    assert value["normal", "copies300"] == pytest.approx(
        float((ours < honest.quantile(0.01)).double().mean()), abs=0.01
    )
    assert value["real data", "nearest179"] == pytest.approx(float(honest.median()), rel=1e-4)


def test_settings_that_do_not_exist_are_refused(small_run: Path) -> None:
    with pytest.raises(GenaeError, match="there is no setting 'sampels'; did you mean 'samples'"):
        api.evaluate(small_run, sampels=10)  # type: ignore[call-arg]
    with pytest.raises(GenaeError, match="there is no setting 'head'; did you mean 'heads'"):
        api.probe(small_run, head="mlp")  # type: ignore[call-arg]
    with pytest.raises(GenaeError, match="model is 3; expected the name of an autoencoder or a preset"):
        api.train(3, "nowhere")  # type: ignore[arg-type]
    with pytest.raises(GenaeError, match="seed is -1; expected a whole number of 0 or more"):
        api.fit_prior(small_run, "mixture", seed=-1)


def test_real_data_are_compared_with_those_of_another_split(small_run: Path, tmp_path: Path) -> None:
    """The "true data" of the papers' tables: training images against test images, as many as samples."""
    data = load(small_run).open_data()
    drawn = ImageStream(data, data.split("train")).take(300, 3)
    for split, other, others in (("test", "train", drawn.indices), ("train", "test", data.split("test"))):
        records = api.evaluate(
            small_run, metrics=["fd", "prdc", "swd", "vendi"], networks=["pixels"], split=split, samples=300,
            seed=3, out=tmp_path / "metrics.jsonl",
        )  # fmt: skip
        real = {r["metric"]: r for r in records if r["of"] == "real data"}
        count = len(others)
        names = {f"{name}{count}-pixels" for name in ("fd", "precision", "recall", "density", "coverage", "swd")}
        assert set(real) == names | {f"vendi{len(data.split(split))}-pixels"}
        rows = [moments(data.images(indices).flatten(1)) for indices in (others, data.split(split))]
        fd = real[f"fd{count}-pixels"]
        assert fd["value"] == pytest.approx(rows[0].distance(rows[1]), rel=1e-4)
        said = {key: fd["fingerprint"].get(key) for key in ("split", "images_split", "images")}
        assert said == {"split": split, "images_split": other, "images": count}
    everything = api.evaluate(
        small_run, metrics=["fd"], networks=["pixels"], split="all", samples=20, out=tmp_path / "m"
    )
    assert "real data" not in {r["of"] for r in everything}, "no other images are left"


def test_as_many_training_images_as_samples_are_compared(small_run: Path, tmp_path: Path) -> None:
    """The protocol of ALAE's authors: samples, and reconstructions of training images, against training images."""
    data = load(small_run).open_data()
    records = api.evaluate(
        small_run, metrics=["fd", "mse"], networks=["pixels"], split="train", samples=60, real=60, seed=1,
        out=tmp_path / "metrics.jsonl",
    )  # fmt: skip
    assert {r["metric"] for r in records if r["of"] == "code"} == {"rfd60-pixels", "mse"}
    for record in records:
        fingerprint = record["fingerprint"]
        assert (fingerprint["split"], fingerprint["count"], fingerprint["real"]) == ("train", 60, 60)
    some = ImageStream(data, data.split("train")).take(60, 1)
    real = moments(data.images(some.indices).flatten(1))
    samples = load(small_run).sample(60, 1, "normal").clamp(-1, 1)
    rounded = moments((samples.add(1).mul(127.5).round() / 127.5 - 1).flatten(1))
    (value,) = [r["value"] for r in records if (r["of"], r["metric"]) == ("normal", "fd60-pixels")]
    assert value == pytest.approx(rounded.distance(real), rel=1e-4)
    for r in api.evaluate(small_run, metrics=["mse"], out=tmp_path / "metrics.jsonl"):
        assert "real" not in r["fingerprint"], "all of a split are taken without a word"


def test_the_weights_of_a_checkpoint_are_measured_and_named(trained_twice: Path, tmp_path: Path) -> None:
    values = {}
    for checkpoint, words in (("best", "best after 16 images"), ("last", "checkpoint after 32 images")):
        model = load(trained_twice, checkpoint=checkpoint)
        (record, *_) = api.evaluate(model, metrics=["mse"], out=tmp_path / "metrics.jsonl")
        assert record["fingerprint"]["checkpoint"] == words
        assert record["fingerprint"]["weights"] == model.digest
        values[checkpoint] = record["value"]
    assert values["best"] != values["last"]
    (probed, *_) = api.probe(load(trained_twice, checkpoint=16), frozen="all", heads=["knn"])
    assert probed["fingerprint"]["checkpoint"] == "checkpoint after 16 images"
    best, last = ([line] for line in read_lines(tmp_path / "metrics.jsonl", "of") if line["of"] == "code")
    assert tables.compare({"best": best, "last": last})[2] == []
