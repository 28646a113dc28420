"""Runs survive: kill, Ctrl-C, full disk, NaN, second writers, damaged files."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genae import api
from genae.errors import GenaeError
from genae.model import load
from genae.protocol import Part
from genae.settings.presets import PRESETS
from genae.storage import load_tensors, save_tensors
from genae.training.checkpoint import RunFolder
from genae.training.config import Config, resolve
from genae.training.loop import Loop
from genae.training.precision import fast_float32
from genae.training.start import train

SETTINGS = ["--data=digits", "--checkpoint-every=320", "--validate-every=320"]


def config(tiny_options, **changes: Any) -> Config:
    options = tiny_options("stacked-wae") | changes.pop("options", {})
    return Config("stacked-wae", **{"data": "digits", "images": 64, "precision": "float32", "device": "cpu"} | changes,
                  options=options)  # fmt: skip


def start(tiny_flags, run: Path, images: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "genae", "train", "stacked-wae", "--run", str(run), "--images", str(images)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([*command, *tiny_flags, *SETTINGS], env=environment, text=True, **pipes)


def wait_for_checkpoint(run: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if RunFolder(run).checkpoints() or process.poll() is not None:
            return
        time.sleep(0.05)


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(RunFolder(run).checkpoints()[-1] / "model.safetensors")


@pytest.mark.slow
def test_kill_and_interrupt_lose_nothing(tmp_path: Path, tiny_flags) -> None:
    whole = start(tiny_flags, tmp_path / "whole", 8000)
    assert whole.wait() == 0
    killed = start(tiny_flags, tmp_path / "parts", 8000)
    wait_for_checkpoint(tmp_path / "parts", killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    stopped = start(tiny_flags, tmp_path / "parts", 8000)
    time.sleep(4)
    stopped.send_signal(signal.SIGTERM)
    status = stopped.wait()
    assert status in (130, 0, -signal.SIGTERM), stopped.stdout.read()  # 0: it was faster; -15: still importing
    assert start(tiny_flags, tmp_path / "parts", 8000).wait() == 0
    ours, theirs = final_weights(tmp_path / "parts"), final_weights(tmp_path / "whole")
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    images = [line["images"] for line in RunFolder(tmp_path / "parts").history() if "losses" in line]
    assert images == sorted(set(images)), "what was logged after the last checkpoint is logged once"


def test_interrupt_saves_and_says_so(tmp_path: Path, tiny_options) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    outcome = train(config(tiny_options, images=100_000, validate_every=80), tmp_path / "run", progress=interrupt)
    assert outcome.stopped == "interrupted"
    assert RunFolder(tmp_path / "run").checkpoints()[-1].name == f"images-{outcome.images:09d}"


def test_run_folder_contents(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options, images=640, checkpoint_every=128, validate_every=128), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert [c.name for c in folder.checkpoints()] == ["images-000000512", "images-000000640"]
    assert folder.config == Config.from_json((tmp_path / "run" / "config.json").read_text(), "config.json")
    validations = [line["validation"] for line in folder.history() if "validation" in line]
    assert len(validations) == 5
    assert set(validations[0]) == {"mse", "mse_normal", "mse_uniform"}
    best, metadata = load_tensors(tmp_path / "run" / "best.safetensors")
    assert json.loads(metadata["image_shape"]) == [1, 8, 8]
    number = min(range(5), key=lambda i: validations[i]["mse"])
    assert metadata["images"] == str(128 * (number + 1)), "the best weights are those of the lowest validation MSE"
    assert not list((tmp_path / "run").rglob("*.tmp"))
    assert not list((tmp_path / "run").rglob("*.p[kt]*"))
    assert best.keys() == load(tmp_path / "run").autoencoder.state_dict().keys()


def test_early_stopping(tmp_path: Path, tiny_options) -> None:
    still = {"learning_rate": 0.0, "norm": "none"}
    outcome = train(config(tiny_options, images=10_000, validate_every=8, patience=2, options=still), tmp_path / "r")
    assert outcome.stopped == "early"
    assert outcome.images == 24
    again = train(config(tiny_options, images=10_000, validate_every=8, patience=2, options=still), tmp_path / "r")
    assert again.images == 24, "a run that stopped early stays stopped"


def test_nan_names_update_iteration_and_checkpoint(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options, images=64), tmp_path / "run")
    checkpoint = RunFolder(tmp_path / "run").checkpoints()[-1] / "model.safetensors"
    tensors, metadata = load_tensors(checkpoint)
    tensors["decoder.linear.weight"][0, 0] = float("nan")
    del metadata["format"]
    save_tensors(checkpoint, tensors, metadata)
    with pytest.raises(GenaeError, match=r"the loss of update 'critic' became nan at image 64; .*images-000000064"):
        train(config(tiny_options, images=128), tmp_path / "run")


def test_two_writers_are_refused(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    with RunFolder(tmp_path / "run").locked():
        code = "import sys; from genae.training.checkpoint import RunFolder\nwith RunFolder(sys.argv[1]).locked(): pass"
        result = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True)
    assert f"is being written by process {os.getpid()}" in result.stderr


def test_another_configuration_is_refused(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    with pytest.raises(GenaeError, match="started with learning-rate 0.001, not 0.1: repeat its command"):
        train(config(tiny_options, options={"learning_rate": 0.1}), tmp_path / "run")
    with pytest.raises(GenaeError, match="started with seed 0, not 1"):
        train(config(tiny_options, seed=1), tmp_path / "run")


def test_a_full_disk_later_keeps_the_last_state(tmp_path: Path, tiny_options) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    train(config(tiny_options), tmp_path / "run")
    (tmp_path / "run" / "log.jsonl").unlink()
    (tmp_path / "run" / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(GenaeError, match="the disk is full; the last saved state is images-000000064"):
        RunFolder(tmp_path / "run").log({"images": 1})


def test_too_little_room_is_said_before_training(tmp_path: Path) -> None:
    with pytest.raises(GenaeError, match=r"MB free; this run needs 1000000\d* MB"):
        RunFolder(tmp_path / "run").prepare(needed_bytes=10**18)


def test_an_unwritable_place_is_one_sentence(tmp_path: Path, tiny_options) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GenaeError, match="cannot write the run folder"):
        train(config(tiny_options), tmp_path / "file" / "run")


def test_a_batch_must_fit_the_data(tmp_path: Path, tiny_options) -> None:
    np.save(tmp_path / "few.npy", np.zeros((5, 8, 8), np.uint8))
    with pytest.raises(GenaeError, match="a batch of 8 is larger than the 3 training images .* --batch-size"):
        train(config(tiny_options, data=str(tmp_path / "few.npy")), tmp_path / "run")
    assert not (tmp_path / "run").exists(), "nothing is left behind"
    train(config(tiny_options, data=str(tmp_path / "few.npy"), options={"batch_size": 2}), tmp_path / "run")
    with pytest.raises(GenaeError, match="batch of 8 cannot be divided into 3 parts"):
        train(config(tiny_options, accumulate=3), tmp_path / "other")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "not a readable safetensors file"),
        (lambda p: p.write_bytes(b"\x80\x04\x95pickle"), "not a readable safetensors file"),
        (lambda p: save_tensors(p, {"x": torch.zeros(1)}, {}), "does not hold a genae model"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(damage: Any, message: str, tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    damage(tmp_path / "run" / "best.safetensors")
    with pytest.raises(GenaeError, match=message):
        load(tmp_path / "run")


def test_a_damaged_checkpoint_is_named(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    newest = RunFolder(tmp_path / "run").checkpoints()[-1]
    (newest / "optimisers.safetensors").write_bytes(b"")
    with pytest.raises(GenaeError, match="images-000000064 is damaged .* delete it to resume from the one before"):
        train(config(tiny_options, images=128), tmp_path / "run")


def test_weights_of_another_architecture_are_refused(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    path = tmp_path / "run" / "best.safetensors"
    tensors, metadata = load_tensors(path)
    tensors["encoder.linear.weight"] = torch.zeros(2, 2)
    del metadata["format"]
    save_tensors(path, tensors, metadata)
    with pytest.raises(GenaeError, match=r"does not fit the model .* 'encoder.linear.weight' differs"):
        load(path)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_resolve(name: str) -> None:
    from genae.autoencoders import AUTOENCODERS

    chosen = resolve(name, {"data": "digits"}, PRESETS, AUTOENCODERS)
    assert chosen == Config.from_json(chosen.to_json(), "text")


def test_a_bare_name_takes_the_preset_of_its_data() -> None:
    from genae.autoencoders import AUTOENCODERS

    bare = resolve("stacked-wae", {"data": "digits", "width": "8"}, PRESETS, AUTOENCODERS)
    assert bare == resolve("stacked-wae/digits", {"width": 8}, PRESETS, AUTOENCODERS)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("stacked-wea", {"data": "digits"}, "did you mean 'stacked-wae'"),
        ("stacked-wae/mist", {}, "did you mean 'stacked-wae/mnist'"),
        ("stacked-wae", {}, "name a source with --data"),
        ("stacked-wae", {"data": "digits", "witdh": "3"}, "no setting 'witdh'; did you mean 'width'"),
        ("stacked-wae", {"data": "digits", "width": "wide"}, "width is 'wide'; expected a whole number"),
        ("stacked-wae", {"data": "digits", "flip": "maybe"}, "flip is 'maybe'; expected true or false"),
        ("stacked-wae", {"data": "digits", "images": "0"}, "images is 0; expected at least 1"),
        ("stacked-wae", {"data": "digits", "precision": "half"}, "expected auto, float32 or bfloat16"),
        ("stacked-wae", {"data": "digits", "patience": "-1"}, "patience is -1"),
    ],
)
def test_settings_that_cannot_be_used(model: str, settings: dict[str, str], message: str) -> None:
    from genae.autoencoders import AUTOENCODERS

    with pytest.raises(GenaeError, match=message):
        resolve(model, settings, PRESETS, AUTOENCODERS)


def test_a_run_of_a_version_with_fewer_options_goes_on(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    assert "networks" not in json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    assert train(config(tiny_options, images=128, options={"networks": "dcgan"}), tmp_path / "run").images == 128
    with pytest.raises(GenaeError, match="was started with networks 'dcgan', not 'dense'"):
        train(config(tiny_options, images=192, options={"networks": "dense", "norm": "none"}), tmp_path / "run")


def test_a_run_of_a_version_whose_default_was_another_keeps_it(tmp_path: Path, tiny_options) -> None:
    settings = Config("alae", "digits", images=64, precision="float32", options=tiny_options("alae"))
    train(settings, tmp_path / "run")
    assert "output_slope" not in json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    assert load(tmp_path / "run").autoencoder.encoder.last_leak == 0.01
    named = replace(settings, images=128, options=tiny_options("alae") | {"output_slope": 0.2})
    with pytest.raises(GenaeError, match=r"was started with output-slope 0\.01, not 0\.2"):
        train(named, tmp_path / "run")
    train(named, tmp_path / "new")
    assert load(tmp_path / "new").autoencoder.encoder.last_leak == 0.2


def test_a_run_of_an_unknown_model_is_refused(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    known = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(known | {"model": "of-tomorrow"}))
    with pytest.raises(GenaeError, match="was started with model 'of-tomorrow', not 'stacked-wae'"):
        train(config(tiny_options, images=128), tmp_path / "run")


@pytest.mark.parametrize(("name", "keeps"), [("ae", True), ("alice", True), ("bigan", False), ("alae", False)])
def test_the_best_weights_are_kept_where_training_lowers_the_error(
    name: str, keeps: bool, tmp_path: Path, tiny_options
) -> None:
    settings = Config(name, "digits", images=64, precision="float32", options=tiny_options(name))
    train(settings, tmp_path / "run")
    assert (tmp_path / "run" / "best.safetensors").exists() == keeps
    kept = final_weights(tmp_path / "run")
    loaded = load(tmp_path / "run").autoencoder.state_dict()
    assert keeps or all(torch.equal(loaded[key], value) for key, value in kept.items())


def test_changed_data_is_noticed(tmp_path: Path, tiny_options) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "a.npy", images[:30])
    settings = {"data": str(tmp_path / "a.npy")}
    train(config(tiny_options, **settings), tmp_path / "run")
    np.save(tmp_path / "a.npy", images)
    with pytest.raises(GenaeError, match="not those that .* started with"):
        train(config(tiny_options, **settings, images=128), tmp_path / "run")
    with pytest.raises(GenaeError, match="not those that run was trained on"):
        load(tmp_path / "run").open_data()


def test_without_config_json_the_weights_know(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(GenaeError, match="started with seed 0, not 3"):
        train(config(tiny_options, seed=3, images=128), tmp_path / "run")
    train(config(tiny_options, images=128), tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("text", ["\xff", "[]", "{}", '{"options": null}', '{"model": "stacked-wae", "options": {}}'])
def test_a_damaged_config_is_named(text: str, tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    (tmp_path / "run" / "config.json").write_bytes(text.encode("latin1"))
    with pytest.raises(GenaeError, match=r"config.json"):
        train(config(tiny_options), tmp_path / "run")


@pytest.mark.parametrize("state", ["{}", '{"images": 64}', '{"images": 8, "best": {}, "seconds": 0, "data": ""}'])
def test_a_damaged_state_never_restarts_silently(state: str, tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    (RunFolder(tmp_path / "run").checkpoints()[-1] / "state.json").write_text(state)
    with pytest.raises(GenaeError, match="is damaged"):
        train(config(tiny_options, images=128), tmp_path / "run")


def test_foreign_optimisers_are_refused(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    save_tensors(RunFolder(tmp_path / "run").checkpoints()[-1] / "optimisers.safetensors", {"x": torch.zeros(3)}, {})
    with pytest.raises(GenaeError, match="optimisers are not those of this model"):
        train(config(tiny_options, images=128), tmp_path / "run")


def test_a_wrong_first_try_can_be_mended(tmp_path: Path, tiny_options) -> None:
    with pytest.raises(GenaeError, match="training diverged"):
        train(
            config(tiny_options, options={"learning_rate": 1e30}, images=4000, checkpoint_every=4000), tmp_path / "run"
        )
    train(config(tiny_options), tmp_path / "run")
    assert [line["images"] for line in RunFolder(tmp_path / "run").history()] == [64, 64], (
        "one log line, one validation"
    )


def test_checkpoints_are_ordered_by_number(tmp_path: Path) -> None:
    for images in (999_999_000, 1_000_050_000, 1_000_000_000):
        (tmp_path / "checkpoints" / f"images-{images}").mkdir(parents=True)
    assert [c.name for c in RunFolder(tmp_path).checkpoints()][-1] == "images-1000050000"


def test_a_finished_run_is_left_alone(tmp_path: Path, tiny_options) -> None:
    train(config(tiny_options), tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "checkpoints").rglob("*.safetensors")}
    assert train(config(tiny_options), tmp_path / "run").images == 64
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "checkpoints").rglob("*.safetensors")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch-size is 0; expected at least 1"),
        ({"learning_rate": -1.0}, "learning-rate is -1.0; expected at least 0"),
        ({"learning_rate": float("nan")}, "learning-rate is nan"),
        ({"inner_steps": -3}, "inner-steps is -3"),
        ({"width": 0}, "width is 0"),
        ({"code_dim": -3}, "code-dim is -3"),
        ({"prior_dim": 0}, "prior-dim is 0"),
        ({"anneal": -5}, "anneal is -5"),
        ({"critic_weight": float("nan")}, "critic-weight is nan"),
        ({"priors": "normal,normal"}, "expected each name once"),
        ({"priors": ""}, "a WAE-GAN prior is ''"),
        ({"adversarial": "hinge"}, "adversarial is 'hinge'"),
        ({"norm": "layer"}, "normalisation is 'layer'"),
        ({"prior_initial": "zeros"}, "initial weights are 'zeros'"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], message: str, tmp_path: Path, tiny_options) -> None:
    with pytest.raises(GenaeError, match=message):
        train(config(tiny_options, options=options), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99"])
def test_devices_that_are_not_there(device: str, tmp_path: Path, tiny_options) -> None:
    with pytest.raises(GenaeError, match=f"device is '{device}'"):
        train(config(tiny_options, device=device), tmp_path / "run")


def test_the_learning_rate_is_annealed_by_images(tiny_model) -> None:

    model = tiny_model("stacked-wae", anneal=100)
    rates = [model.stage(images).learning_rate for images in (0, 50, 100, 500)]
    assert rates == pytest.approx([1e-3, 5e-4, 0, 0])


@pytest.mark.slow
def test_two_processes_under_torchrun_train_what_one_does(tmp_path: Path, tiny_flags) -> None:
    run = ["-m", "--", "genae", "train", "stacked-wae", *tiny_flags, *SETTINGS, "--images", "640", "--run"]
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29511"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*two, *run, tmp_path / "two"], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert start(tiny_flags, tmp_path / "one", 640).wait() == 0
    one, both = (RunFolder(tmp_path / name).history()[-1]["validation"]["mse"] for name in ("one", "two"))
    assert both == pytest.approx(one, rel=0.05)
    with RunFolder(tmp_path / "two").locked():
        refused = subprocess.run([*two, *run, tmp_path / "two"], env=environment, stderr=subprocess.PIPE, text=True)
    assert refused.returncode != 0
    assert f"is being written by process {os.getpid()}" in refused.stderr
    assert "Gloo" not in refused.stderr


def test_a_healthy_training_is_measured_and_not_warned_about(tmp_path: Path, tiny_options) -> None:
    options = tiny_options("stacked-wae", code_dim=8)
    train(Config("stacked-wae", "digits", images=8000, validate_every=4000, options=options), tmp_path / "run")
    last = [line for line in RunFolder(tmp_path / "run").history() if "validation" in line][-1]
    assert {"code_std", "code_rank", "hole_normal", "diversity_uniform"} <= set(last["diagnostics"])
    assert last["diagnostics"]["code_std"] > 0.01


@pytest.mark.parametrize(
    ("break_it", "warning"),
    [
        (lambda m: [p.data.zero_() for p in m.encoder.linear.parameters()], "the codes have collapsed"),
        (lambda m: m.encoder.linear.weight.data[1:].zero_(), "the codes fill about one dimension"),
        (
            lambda m: [p.data.zero_() for p in m.priors["normal"].decoder.layers[-1].parameters()],
            "samples of the normal prior are nearly all alike",
        ),
        (
            lambda m: m.priors["normal"].decoder.layers[-1].bias.data.fill_(50.0),
            "the normal prior does not reach the codes",
        ),
    ],
)
def test_silent_failures_are_said_in_plain_words(break_it: Any, warning: str, tiny_model, random_batches) -> None:
    from genae.training.diagnostics import diagnose, warnings

    model = tiny_model("stacked-wae").eval()
    x = next(random_batches(0, Part(), whole=64))
    with torch.no_grad():
        break_it(model)
        said = warnings(diagnose(model, x), {})
    assert any(sentence.startswith(warning) for sentence in said), said


def test_a_critic_that_wins_is_named() -> None:
    from genae.training.diagnostics import warnings

    losses = {"critic": {"loss": 0.004}, "encoder+decoder": {"loss": 0.001}, "priors.normal.critic": {"loss": 1.38}}
    assert [sentence.split(" ")[0] for sentence in warnings({}, losses)] == ["critic"]
    assert not warnings({}, {"critic": {"loss": -3.0, "penalty": 0.1}}), "a Wasserstein critic's loss has no floor"


def test_a_preset_may_fit_a_prior_after_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_options) -> None:
    from genae.settings.presets import FITTED

    monkeypatch.setitem(FITTED, "ae", {"name": "after", "kind": "mixture", "components": 3})
    model = api.train("ae", tmp_path / "run", data="digits", images=64, **tiny_options("ae"))
    assert model.priors == ["after"]
    assert (tmp_path / "run" / "priors" / "after.safetensors").exists()
    monkeypatch.setitem(FITTED, "ae", {"name": "after", "kind": "mixture", "components": 1000})
    with pytest.raises(GenaeError, match="run is trained, but the prior of ae could not be fitted: .*too few"):
        api.train("ae", tmp_path / "run", data="digits", images=64, **tiny_options("ae"))


def test_fast_products_are_exact_and_only_while_training(tiny_model, random_batches) -> None:
    def products() -> str:
        return str(torch.backends.mkldnn.matmul.fp32_precision)

    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(128, 784, generator=generator), torch.randn(784, 256, generator=generator)
    exact = a.double() @ b.double()
    usual = (a @ b - exact).norm()
    with fast_float32(torch.device("cpu")):
        chosen = products()
        assert (a @ b - exact).norm() < 4 * usual < 1e-5 * exact.norm()
    seen = []

    def batches(images: int, part: Part) -> Iterator[torch.Tensor]:
        for x in random_batches(images, part):
            seen.append(products())
            yield x

    Loop(tiny_model("ae"), batches).iteration(0, 1e-3)
    assert set(seen) == {chosen}
    assert products() == "none"


@pytest.mark.parametrize(
    "choose",
    [
        lambda products: torch.set_float32_matmul_precision("high"),
        lambda products: setattr(products, "fp32_precision", "ieee"),
    ],
)
def test_a_precision_that_the_caller_chose_stays(choose: Callable[[Any], None]) -> None:
    products = torch.backends.mkldnn.matmul
    try:
        choose(products)
        chosen = products.fp32_precision
        assert chosen != "none"
        with fast_float32(torch.device("cpu")):
            assert products.fp32_precision == chosen
        assert products.fp32_precision == chosen
    finally:
        torch.set_float32_matmul_precision("highest")
        products.fp32_precision = "none"
