"""Priors that are fitted after training."""

import hashlib
import json
import math
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genae import api
from genae.data.sources import open_data
from genae.data.store import MemoryStore
from genae.errors import GenaeError
from genae.model import Model, load
from genae.priors import PRIORS
from genae.protocol import Part, Prior
from genae.settings.presets import FITTED
from genae.storage import FileRows, load_tensors, save_tensors
from genae.training import prior_fit
from genae.training.config import Config
from genae.training.prior_fit import Fit, fit_to_codes
from genae.training.start import train
from tests.reading import pixels_of


def test_a_preset_may_fit_a_prior_after_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_options) -> None:
    monkeypatch.setitem(FITTED, "ae", {"name": "after", "kind": "mixture", "components": 3})
    model = api.train("ae", tmp_path / "run", data="digits", images=64, **tiny_options("ae"))
    assert model.priors == ["after"]
    assert (tmp_path / "run" / "priors" / "after.safetensors").exists()
    monkeypatch.setitem(FITTED, "ae", {"name": "later", "kind": "mixture", "components": 1000})
    with pytest.raises(GenaeError, match="run is trained, but the prior of ae could not be fitted: .*too few"):
        api.train("ae", tmp_path / "run", data="digits", images=64, **tiny_options("ae"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_options) -> Path:
    path = tmp_path_factory.mktemp("runs") / "plain"
    train(Config("ae", "digits", images=64, options=tiny_options("ae")), path)
    return path


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    monkeypatch.setattr("os.access", lambda path, _: "priors" not in Path(path).parts)
    monkeypatch.setattr(Model, "training_codes", lambda *_: pytest.fail("computed"))
    with pytest.raises(GenaeError, match=r"cannot write .*gaussian\.safetensors: its folder is missing or read-only"):
        api.fit_prior(copy, "gaussian")


@pytest.mark.parametrize("kind", [kind for kind, prior in PRIORS.items() if not prior.spatial])
def test_any_prior_on_the_codes_of_a_run(kind: str, run: Path) -> None:
    learned = Fit(kind).learned
    api.fit_prior(run, kind, **({"images": "1024", "batch-size".replace("-", "_"): 64} if learned else {}))
    model = load(run)
    assert kind in model.priors
    assert model.sample(3, prior=kind).shape == (3, 1, 8, 8)
    assert (kind in model.spaces) == model.autoencoder.priors[kind].has_encoder
    assert api.evaluate(run, metrics=["fd"], networks=["pixels"], priors=[kind], samples=100)
    assert len(list((run / "codes").iterdir())) == 1, "codes are encoded once"


def test_a_prior_is_trained_on_the_device_of_the_run(run: Path, monkeypatch: pytest.MonkeyPatch, two_clusters) -> None:
    class SeenError(Exception):
        pass

    def look(prior: Prior, batches: Any, **_: object) -> None:
        raise SeenError(next(prior.parameters()).device.type, next(batches(0, Part())).device.type)

    monkeypatch.setattr(prior_fit, "Loop", look)  # no GPU is needed: the device meta has shapes alone
    with pytest.raises(SeenError) as seen:
        fit_to_codes(two_clusters(400), Fit("vae", batch_size=100), Path("unused"), device="meta")
    assert seen.value.args == ("meta", "meta")

    def fit(
        codes: torch.Tensor, settings: Fit, partial: Path, progress: object, device: torch.device, *_: object
    ) -> None:
        raise SeenError(device.type)

    monkeypatch.setattr(api, "fit_to_codes", fit)
    monkeypatch.setattr(Model, "training_codes", lambda *_: torch.zeros(64, 6))
    opened = load(run, with_fitted_priors=False)
    opened.device = torch.device("meta")
    monkeypatch.setattr(api, "load", lambda *_, **__: opened)
    with pytest.raises(SeenError, match="meta"):
        api.fit_prior(run, "vae", data=open_data("digits"), name="there")


def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path: Path, generator, two_clusters) -> None:
    codes = two_clusters(400)
    settings = Fit("flow-matching", images=20_000, batch_size=100, options={"width": 16, "blocks": 1})
    whole, _ = fit_to_codes(codes, settings, tmp_path / "a")

    def interrupt(message: str, done: int, total: int) -> None:
        if 0 < done < total and not (tmp_path / "b").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_to_codes(codes, settings, tmp_path / "b", interrupt)
    parts, _ = fit_to_codes(codes, settings, tmp_path / "b")
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True))
    other, _ = fit_to_codes(codes + 1, settings, tmp_path / "b")  # of other codes: begun anew
    anew, _ = fit_to_codes(codes + 1, settings, tmp_path / "c")
    assert torch.equal(other.sample(2, generator()), anew.sample(2, generator()))
    assert not torch.equal(other.sample(2, generator()), whole.sample(2, generator()))


def test_an_interrupted_fit_is_kept_beside_one_of_other_settings(run: Path) -> None:
    def interrupt(message: str, done: int, total: int) -> None:
        if message == "training vae" and done >= 12_800:
            raise KeyboardInterrupt

    for rate in (1e-3, 1e-4):
        with pytest.raises(KeyboardInterrupt):
            api.fit_prior(run, "vae", name="halves", images=25_600, learning_rate=rate, progress=interrupt)
    seen: list[int] = []

    def look(message: str, done: int, total: int) -> None:
        if message == "training vae":
            seen.append(done)

    api.fit_prior(run, "vae", name="halves", images=25_600, learning_rate=1e-3, progress=look)
    assert min(seen) >= 12_800, "it went on"
    assert not list((run / "priors").glob(".halves*")), "nothing is left of the other one"


def test_priors_of_other_weights_are_left_out(run: Path, tmp_path: Path, tiny_options) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    api.fit_prior(copy, "gaussian", name="kept")
    assert "kept" in load(copy).priors
    train(Config("ae", "digits", images=128, options=tiny_options("ae")), copy)
    assert not load(copy).priors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: api.fit_prior(run, "gausian"), "no prior 'gausian'; did you mean 'gaussian'"),
        (lambda run: api.fit_prior(run, "mixture", componets="3"), "no setting 'componets'; did you mean 'components'"),
        (lambda run: api.fit_prior(run, "flow", layers="many"), "layers is 'many'; expected a whole number"),
        (
            lambda run: api.fit_prior(run, "mixture", batch_size=9),
            "a mixture prior has a closed form and no batch-size",
        ),
        (lambda run: api.fit_prior(run, "flow", images=0), "images is 0; expected at least 1"),
        (
            lambda run: api.fit_prior(run, "flow", batch_size=5000, name="new"),
            "a batch of 5000 is larger than the 1457 codes",
        ),
        (lambda run: api.fit_prior(run, "wgan-gp", penalty=-1.0, name="new"), "penalty is -1.0; expected at least 0"),
        (
            lambda run: api.fit_prior(run, "mixture", components=1000, name="new"),
            "1457 codes are too few for 1000 components",
        ),
        (lambda run: api.fit_prior(run, "gaussian", name="../out"), "--name is '../out'; expected letters, digits"),
        (lambda run: api.fit_prior(run, "gaussian", name="v1.0"), "--name is 'v1.0'; expected letters, digits"),
        (lambda run: api.fit_prior(run, "gaussian", name="aux"), "'aux', which no file can be called on Windows"),
        (lambda run: api.fit_prior(run, "gaussian", name="code"), "--name is 'code'; expected .* not 'code'"),
        (lambda run: api.evaluate(run, priors=["nothing"]), "no prior 'nothing'"),
    ],
)
def test_wrong_requests_are_explained(call: Any, message: str, run: Path) -> None:
    with pytest.raises(GenaeError, match=message):
        call(run)


def test_a_prior_cannot_replace_one_that_was_trained_with_the_model(tmp_path: Path, tiny_options) -> None:
    train(Config("aaae", "digits", images=16, options=tiny_options("aaae")), tmp_path / "run")
    with pytest.raises(GenaeError, match="was trained with a prior 'wgan-gp'; choose another --name"):
        api.fit_prior(tmp_path / "run", "wgan-gp")
    api.fit_prior(tmp_path / "run", "gaussian", name="plain")
    assert load(tmp_path / "run").priors == ["wgan-gp", "plain"]


@pytest.mark.slow
def test_a_generator_without_encoder_says_so(tmp_path: Path, tiny_options) -> None:
    run = tmp_path / "run"
    train(Config("wgan-gp", "digits", images=16, options=tiny_options("wgan-gp")), run)
    model = load(run)
    for call in (lambda: model.encode(torch.zeros(1, 1, 8, 8)), lambda: api.fit_prior(run, "gaussian")):
        with pytest.raises(GenaeError, match="has no encoder"):
            call()
    with pytest.raises(GenaeError, match="this model has no encoder; mse need one"):
        api.evaluate(run, metrics=["mse"])
    found = {r["metric"] for r in api.evaluate(run, samples=100)}
    assert {"icp100-1split", "fd100-classifier"} <= found
    assert api.report(run).exists()
    assert model.sample(2).shape == (2, 1, 8, 8)
    assert math.isfinite(float(model.decode(model.sample_codes(2)).sum()))


def test_what_is_fitted_is_not_fitted_again(run: Path) -> None:
    def stamp(**settings: Any) -> tuple[int, int]:
        file = api.fit_prior(run, "mixture", name="again", **settings).stat()
        return file.st_mtime_ns, file.st_ino

    first = stamp(components=2, temperature=0.9)
    assert stamp(temperature=0.9, components=2) == first
    data = load(run).open_data()
    others = replace(data, store=MemoryStore(pixels_of(data).max() - pixels_of(data)))
    with pytest.raises(GenaeError, match="was fitted with other settings or data"):
        stamp(components=2, temperature=0.9, data=others)
    (run / "priors" / "again.safetensors").unlink()
    assert stamp(components=2, temperature=0.8) != first


def test_a_prior_that_cannot_be_read_says_how_to_mend_it(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    path = api.fit_prior(copy, "gaussian", name="old")
    tensors, metadata = load_tensors(path)
    tensors["another"] = tensors.pop("mean")
    save_tensors(path, tensors, {k: v for k, v in metadata.items() if k != "format"} | {"genae": "0.0.9"})
    with pytest.raises(GenaeError, match=r"fit it again with genae prior .*copy gaussian --name old, or delete it"):
        load(copy)
    api.fit_prior(copy, "gaussian", name="old")
    assert "old" in load(copy).priors


@pytest.mark.parametrize(
    ("kind", "options"),
    [("gaussian", {}), ("mixture", {"components": 3}), ("flow-matching", {"components": 2, "width": 16, "blocks": 1})],
)
def test_a_fit_to_a_file_is_that_to_a_tensor(
    kind: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_clusters
) -> None:
    codes = two_clusters(3000)
    learned = {"images": 2000, "batch_size": 100} if kind == "flow-matching" else {}
    settings = Fit(kind, options=options, **learned)
    whole, _ = fit_to_codes(codes, settings, tmp_path / "a")
    np.save(tmp_path / "codes.npy", codes.numpy())
    monkeypatch.setattr("genae.rows.CHUNK", 8 * 700)  # 700 codes at a time
    monkeypatch.setattr("genae.priors.k_means.AT_ONCE", 1)  # 256
    monkeypatch.setattr(prior_fit, "HELD", 0)
    parts, _ = fit_to_codes(FileRows(tmp_path / "codes.npy"), settings, tmp_path / "b")
    for name, value in whole.state_dict().items():
        assert torch.allclose(parts.state_dict()[name], value, rtol=1e-4, atol=1e-5), name


def test_an_interrupted_fit_of_genae_0_1_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_clusters) -> None:
    """What identifies a fit: the settings and the bytes of all whitened codes, also where they are hashed in parts."""
    codes, settings = two_clusters(400), Fit("vae", images=100, batch_size=100, options={"width": 4})
    there = "kind", "images", "batch_size", "learning_rate", "seed", "options"
    fields = sorted((name, value) for name, value in asdict(settings).items() if name in there)
    of_0_1 = hashlib.sha256(repr(fields).encode() + codes.numpy().tobytes()).hexdigest()
    monkeypatch.setattr("genae.rows.CHUNK", 8 * 70)
    assert prior_fit._hash_of(settings, codes, None) == of_0_1


def test_a_file_says_the_precision_that_auto_was(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    settings = {"images": 64, "batch_size": 64, "width": 4, "layers": 1, "precision": "auto"}
    for able, named in ((True, "bfloat16"), (False, None)):
        monkeypatch.setattr(prior_fit, "multiplies_bfloat16", lambda _, able=able: (able, ""))
        path = api.fit_prior(copy, "flow", name=f"is-{able}", **settings)
        assert json.loads(load_tensors(path)[1]["fit"]).get("precision") == named
    assert load_tensors(path)[0]["levels.1.couplings.0.network.layers.0.weight"].dtype == torch.float32


def test_codes_of_genae_0_1_are_read(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(copy / "codes", ignore_errors=True)
    model, data = load(copy), open_data("digits")
    codes = model.training_codes(data, copy)[:]
    (file,) = (copy / "codes").iterdir()
    assert file.name == f"train-{model.digest}-{data.digest}.npy"
    assert torch.equal(codes, torch.from_numpy(np.load(file)))
    file.unlink()
    save_tensors(file.with_suffix(".safetensors"), {"codes": codes}, {})
    monkeypatch.setattr(Model, "encode", lambda *_, **__: pytest.fail("encoded"))
    assert torch.equal(model.training_codes(data, copy)[:], codes)
    assert [each.suffix for each in (copy / "codes").iterdir()] == [".safetensors"]


def test_codes_without_a_run_are_in_a_file_that_goes_with_them(run: Path) -> None:
    model, data = load(run), open_data("digits")
    codes = model.training_codes(data, None)
    folder = codes.path.parent
    assert torch.equal(codes[:], model.encode_data(data, data.split("train")))
    assert folder.is_dir()
    del codes
    assert not folder.exists()


PEAK = """
import resource, sys, torch
from pathlib import Path
from genae.storage import FileRows
from genae.training import prior_fit
from genae.training.prior_fit import Fit, fit_to_codes
from genae.priors import k_means, mixture
import genae.priors.vae, genae.training.loop
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
codes, partial = FileRows(Path(sys.argv[1])), Path(sys.argv[1]).with_suffix(".partial")
prior_fit.HELD, k_means.ITERATIONS, mixture.EM_ITERATIONS = 0, 1, 1
small = codes[:20_000]
for kind, options in (("gaussian", {}), ("mixture", {"components": 2}), ("vae", {"images": 512})):
    fit = Fit(kind, **options) if kind == "vae" else Fit(kind, options=options)
    fit_to_codes(small, fit, partial)
    before = peak()
    fit_to_codes(codes, fit, partial)
    print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_memory_does_not_grow_with_the_number_of_codes(tmp_path: Path) -> None:
    """400,000 codes of 64 numbers take 102 MB as float32; the former ways held several copies, in float64 too."""
    path = tmp_path / "codes.npy"
    half = np.random.default_rng(0).standard_normal((200_000, 64), np.float32)
    np.save(path, np.concatenate([half, half + 5]))
    told = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True).stdout.split()
    assert len(told) == 3
    assert max(map(int, told)) < 260, told


def test_a_prior_that_is_told_labels_samples_the_class_that_is_given(run: Path) -> None:
    api.fit_prior(run, "mixture", given="label", components=1, name="told")
    model = load(run)
    assert model.classes("told") == tuple("0123456789")
    assert load_tensors(run / "priors" / "told.safetensors")[1]["classes"].startswith('["0", "1"')
    data = model.open_data()
    train_split = data.split("train")
    means = model.encode_data(data, train_split)[data.labels[train_split] == 7].mean(0)
    assert torch.allclose(model.sample_codes(2000, prior="told", given="7").mean(0), means, atol=0.2 * means.std())
    each = model.sample_codes(3, given=["7", "1", "7"])  # the first prior that knows classes
    assert torch.equal(each[[0, 2]], model.sample_codes(3, prior="told", given="7")[[0, 2]])
    assert torch.equal(model.sample_codes(400, prior="told", given="7")[:3], model.sample_codes(3, given="7"))


def test_a_prior_is_told_an_attribute(run: Path) -> None:
    data = load(run).open_data()
    odd = data.labels % 2 == 1
    api.fit_prior(run, "gaussian", replace(data, attributes={"odd": odd}), given="odd", name="odd")
    prior = load(run).autoencoder.priors["odd"]
    assert prior.classes == ("not odd", "odd")
    share = float(odd[data.split("train")].float().mean())
    assert prior.shares.tolist() == pytest.approx([1 - share, share])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "flow", "precision": "half"}, "precision is 'half'; expected one of .*float32"),
        ({"kind": "wae-gan", "given": "label"}, "a wae-gan prior cannot be told a class; expected one of .*gaussian"),
        (
            {"kind": "gaussian", "given": "labels"},
            "has no attribute 'labels' that a prior could be given; did you mean",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(run: Path, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GenaeError, match=sentence):
        api.fit_prior(run, **settings)


def test_classes_without_codes_are_refused() -> None:
    labels = prior_fit.Labels(torch.tensor([0] * 9 + [1]), ("a", "b"))
    with pytest.raises(GenaeError, match="class 'b' has 1 training image; .* at least 2 of each"):
        fit_to_codes(torch.randn(10, 2), Fit("gaussian", given="label"), Path("unused"), labels=labels)


def test_data_that_cannot_say_what_is_given_are_refused(run: Path) -> None:
    data = load(run).open_data()
    unlabelled = replace(data, labels=None)
    with pytest.raises(GenaeError, match="digits has no labels; name an attribute, or put each class into a folder"):
        api.fit_prior(run, "gaussian", unlabelled, given="label")
    with pytest.raises(GenaeError, match="has no attribute 'odd' .*; it has neither labels nor attributes"):
        api.fit_prior(run, "gaussian", unlabelled, given="odd")
    everything = replace(data, attributes={"drawn": data.labels >= 0})
    with pytest.raises(GenaeError, match="class 'not drawn' has 0 training images; .* at least 2 of each"):
        api.fit_prior(run, "gaussian", everything, given="drawn", name="drawn")
    with pytest.raises(GenaeError, match="codes of class '.' are too few for 100 components; lower --components"):
        api.fit_prior(run, "mixture", given="label", components=100, name="many")


def test_classes_are_named_to_a_prior_that_knows_them(run: Path) -> None:
    api.fit_prior(run, "gaussian", given="label", name="knows")
    model = load(run)
    with pytest.raises(GenaeError, match="the knows prior of plain knows no class 'seven'"):
        model.sample(2, prior="knows", given="seven")
    with pytest.raises(GenaeError, match="given is 7; expected the name of a class, such as '0', or a list"):
        model.sample(2, prior="knows", given=7)
    api.fit_prior(run, "gaussian", name="alike")
    with pytest.raises(GenaeError, match="the alike prior of plain knows no classes; priors that do: "):
        load(run).sample(2, prior="alike", given="7")
    images = model.open_data().images(torch.arange(3))
    back = model.reconstruct(images, "knows", given=["0", "1", "2"])
    assert torch.allclose(back, model.reconstruct(images), atol=1e-3)
    with pytest.raises(GenaeError, match="2 classes are given for 3 codes"):
        model.encode(images, "knows", given=["0", "1"])


def test_a_fitted_prior_is_not_replaced_by_one_of_other_settings(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    path = api.fit_prior(copy, "mixture", components=2, name="mine")
    content = path.read_bytes()
    with pytest.raises(GenaeError, match="was fitted with other settings or data; choose another --name, or replace"):
        api.fit_prior(copy, "mixture", components=3, name="mine")
    with pytest.raises(GenaeError, match="was fitted with other settings or data"):
        api.fit_prior(copy, "mixture", components=2, given="label", name="mine")
    assert path.read_bytes() == content
    assert api.fit_prior(copy, "mixture", components=3, name="mine", force=True).read_bytes() != content
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors, metadata | {"weights": "others"})
    model = load(copy)
    assert model.outdated_priors() == ["mine"]
    with pytest.raises(GenaeError, match="the prior 'mine' of copy was fitted to other weights of this run: fit it"):
        model.sample(1, prior="mine")
    api.fit_prior(copy, "mixture", components=2, name="mine")  # one of other weights is replaced
    assert load(copy).outdated_priors() == []
