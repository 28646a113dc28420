"""The authors' checkpoint layout, written here from its description, against what genae makes of it."""

import importlib
import math
import os
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genae.errors import GenaeError
from genae.importing.alae_weights import import_alae
from genae.model import load

LEVELS, TOP, MOST, LATENT = 6, 2, 8, 5  # 128 pixels: both kinds of the authors' enlarging and reducing convolutions


def channels(level: int) -> int:
    return min(MOST, TOP * 2 ** (LEVELS - 1 - level))


def authors_checkpoint(mapping: str = "block_{n}.fc", critic: str = "block_{n}") -> dict[str, Any]:
    """Random weights at the scales at which the authors' layers use them."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int, fan: int = 1, gain: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=generator) * gain / math.sqrt(fan)

    e: dict[str, Tensor] = {}
    g: dict[str, Tensor] = {"const": random(1, channels(0), 4, 4)}
    for i in range(LEVELS):
        level = LEVELS - 1 - i
        a, b = channels(level), min(MOST, TOP * 2 ** (i + 1))
        e |= {
            f"from_rgb.{i}.from_rgb.weight": random(a, 3, 1, 1, fan=3), f"from_rgb.{i}.from_rgb.bias": random(a),
            f"encode_block.{i}.conv_1.weight": random(a, a, 3, 3, fan=9 * a),
            f"encode_block.{i}.conv_2.weight": random(b, a, 3, 3, fan=9 * a),
            f"encode_block.{i}.bias_1": random(1, a, 1, 1), f"encode_block.{i}.bias_2": random(1, b, 1, 1),
            f"encode_block.{i}.style_1.weight": random(LATENT, 2 * a, fan=2 * a),
            f"encode_block.{i}.style_1.bias": random(LATENT),
            f"encode_block.{i}.style_2.weight": random(LATENT, 2 * b, fan=2 * b),
            f"encode_block.{i}.style_2.bias": random(LATENT),
            f"encode_block.{i}.blur.weight": torch.zeros(a, 1, 3, 3),
        }  # fmt: skip
        c, below = channels(i), channels(max(i - 1, 0))
        if i:
            transposed = 4 * 2**i >= 128
            shape = (below, c) if transposed else (c, below)
            g[f"decode_block.{i}.conv_1.weight"] = random(*shape, 3, 3, fan=9 * below)
        for k in (1, 2):
            g |= {
                f"decode_block.{i}.noise_weight_{k}": torch.zeros(1, c, 1, 1),
                f"decode_block.{i}.bias_{k}": random(1, c, 1, 1),
                f"decode_block.{i}.style_{k}.weight": random(2 * c, LATENT, fan=LATENT),
                f"decode_block.{i}.style_{k}.bias": random(2 * c),
            }
        g[f"decode_block.{i}.conv_2.weight"] = random(c, c, 3, 3, fan=9 * c)
        g |= {f"to_rgb.{i}.to_rgb.weight": random(3, c, 1, 1, fan=9 * c), f"to_rgb.{i}.to_rgb.bias": random(3)}
    f: dict[str, Tensor] = {}
    d: dict[str, Tensor] = {}
    for n in range(8):
        f |= {f"{mapping.format(n=n + 1, i=n)}.weight": random(LATENT, LATENT, fan=LATENT)}
        f |= {f"{mapping.format(n=n + 1, i=n)}.bias": random(LATENT)}
    for n in range(3):
        outputs = 2 * LATENT if n == 2 else LATENT
        d |= {f"{critic.format(n=n + 1, i=n)}.weight": random(outputs, LATENT, fan=LATENT)}
        d |= {f"{critic.format(n=n + 1, i=n)}.bias": random(outputs)}
    models = {"discriminator_s": e, "generator_s": g, "mapping_fl_s": f, "mapping_tl_s": d}
    return {"models": models, "auxiliary": {}, "epoch": 3}


def blurred(x: Tensor) -> Tensor:
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    return F.conv2d(x, kernel.expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])


def four_shifts(weight: Tensor) -> Tensor:
    padded = F.pad(weight, (1, 1, 1, 1))
    return padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]


def authors_encode(e: dict[str, Tensor], x: Tensor, top: int = 0) -> Tensor:
    """E as the description of the authors' code has it, from the file's own tensors, without ``top`` levels."""
    x = F.conv2d(x, e[f"from_rgb.{top}.from_rgb.weight"], e[f"from_rgb.{top}.from_rgb.bias"])
    x = F.leaky_relu(F.leaky_relu(x, 0.2), 0.2)
    w = torch.zeros(len(x), LATENT)

    def read(x: Tensor, name: str) -> Tensor:
        mean = x.mean((2, 3))
        deviation = (x - mean[..., None, None]).square().mean((2, 3)).sqrt()
        return F.linear(torch.cat([mean, deviation], 1), e[f"{name}.weight"], e[f"{name}.bias"])

    for i in range(top, LEVELS):
        block = f"encode_block.{i}"
        fused = x.shape[2] >= 128
        x = F.leaky_relu(F.conv2d(x, e[f"{block}.conv_1.weight"], padding=1) + e[f"{block}.bias_1"], 0.2)
        w = w + read(x, f"{block}.style_1")
        x, weight = blurred(F.instance_norm(x)), e[f"{block}.conv_2.weight"]
        if fused:
            x = F.conv2d(x, four_shifts(weight) / 4, stride=2, padding=1)
        else:
            x = F.avg_pool2d(F.conv2d(x, weight, padding=1), 2)
        x = F.leaky_relu(x + e[f"{block}.bias_2"], 0.2)
        w = w + read(x, f"{block}.style_2")
        x = F.instance_norm(x)
    return w


def authors_decode(g: dict[str, Tensor], w: Tensor, levels: int = LEVELS) -> Tensor:
    x = g["const"].expand(len(w), -1, -1, -1)
    for i in range(levels):
        block = f"decode_block.{i}"
        if i:
            weight = g[f"{block}.conv_1.weight"]
            if 4 * 2**i >= 128:
                x = F.conv_transpose2d(x, four_shifts(weight), stride=2, padding=1)
            else:
                x = F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1)
            x = blurred(x)
        for k in (1, 2):
            if k == 2:
                x = F.conv2d(x, g[f"{block}.conv_2.weight"], padding=1)
            x = F.instance_norm(F.leaky_relu(x + g[f"{block}.bias_{k}"], 0.2), eps=1e-8)
            style = F.linear(w, g[f"{block}.style_{k}.weight"], g[f"{block}.style_{k}.bias"])
            scale, shift = style.view(len(w), 2, -1, 1, 1).unbind(1)
            x = x * (scale + 1) + shift
    top = levels - 1
    return F.conv2d(x, g[f"to_rgb.{top}.to_rgb.weight"], g[f"to_rgb.{top}.to_rgb.bias"])


@pytest.mark.parametrize(
    ("mapping", "critic"), [("block_{n}.fc", "block_{n}"), ("map_blocks.{i}.fc", "map_blocks.{i}")]
)
def test_imported_weights_compute_what_the_authors_code_computes(mapping: str, critic: str, tmp_path: Path) -> None:
    checkpoint = authors_checkpoint(mapping, critic)
    torch.save(checkpoint, tmp_path / "theirs.pth")
    model = load(import_alae(tmp_path / "theirs.pth", tmp_path / "ours.safetensors"))
    e, g, f, d = checkpoint["models"].values()
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    assert torch.allclose(model.encode(x), authors_encode(e, x), rtol=1e-3, atol=1e-3)
    w = torch.randn(2, LATENT)
    assert torch.allclose(model.decode(w), authors_decode(g, w).clamp(-1, 1), atol=2e-3)

    z = torch.randn(4, LATENT)
    expected = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for n in range(8):
        name = mapping.format(n=n + 1, i=n)
        expected = F.leaky_relu(F.linear(expected, f[f"{name}.weight"], f[f"{name}.bias"]), 0.2)
    assert torch.allclose(model.autoencoder.priors["mapping"].decode(z.to(model.device)).cpu(), expected, atol=1e-4)

    logit = w
    for n in range(3):
        name = critic.format(n=n + 1, i=n)
        logit = F.linear(logit, d[f"{name}.weight"], d[f"{name}.bias"])
    assert torch.allclose(model.autoencoder.critic(w.to(model.device))[:, 0].cpu(), logit[:, LATENT], atol=1e-4)
    assert model.image_shape == (3, 128, 128)
    assert model.layers == 12
    assert model.sample(2).shape == (2, 3, 128, 128)


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The classes of the authors' module ``tracker`` that torch.save finds by name; gone when the file is written."""

    class RunningMeanTorch:
        def __init__(self, *losses: float) -> None:
            self.values = [torch.tensor([loss]) for loss in losses]

    class RunningMean:
        def __init__(self) -> None:
            self._mean, self.n = 0.5, 3

    module = ModuleType("tracker")
    for kind in (RunningMeanTorch, RunningMean):
        kind.__module__, kind.__qualname__ = "tracker", kind.__name__
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "tracker", module)
    return module


def after_training(tracker: Any, **tracks: Any) -> dict[str, Any]:
    """A file as their Checkpointer writes it during a training: networks as trained, averages, optimisers, tracker."""
    checkpoint = authors_checkpoint()
    averaged = checkpoint["models"]
    trained = {name.removesuffix("_s"): {k: t.clone() for k, t in w.items()} for name, w in averaged.items()}
    weights = OrderedDict(averaged["generator_s"])
    weights._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]  # as state_dict() has
    tracks = tracks or {"loss_d": tracker.RunningMeanTorch(1.3, 1.2), "lae": tracker.RunningMean()}
    optimiser = {
        "state": {0: {"step": 7, "exp_avg_sq": torch.ones(3)}},
        "param_groups": [{"lr": 0.0015, "params": [0]}],
    }
    return {
        "models": {**trained, "dlatent_avg": {"buff": torch.zeros(12, LATENT)}, **averaged, "generator_s": weights},
        "auxiliary": {
            "encoder_optimizer": optimiser, "decoder_optimizer": optimiser,
            "scheduler": {"encoder_optimizer": {"last_epoch": 3}, "decoder_optimizer": {"last_epoch": 3}},
            "tracker": {
                "tracks": OrderedDict(tracks), "epochs": [0.5, 1.0],
                "means_over_epochs": OrderedDict((name, [1.4, 1.3]) for name in tracks),
            },
        },
        "iteration": 0,
    }  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_the_authors_training_writes_are_read(
    zipped: bool, tracker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "training_artifacts"
    folder.mkdir()
    for name, shift in (("model_tmp_lod5.pth", 1.0), ("model_final.pth", 0.0)):
        content = after_training(tracker)
        content["models"]["generator_s"]["to_rgb.5.to_rgb.bias"] += shift
        torch.save(content, folder / name, _use_new_zipfile_serialization=zipped)
    (folder / "last_checkpoint").write_text("training_artifacts/ffhq/model_final.pth\n")
    monkeypatch.delitem(sys.modules, "tracker")  # who imports has not their code

    torch.save(authors_checkpoint(), tmp_path / "released.pth")
    out = tmp_path / "out.safetensors"
    expected = load(import_alae(tmp_path / "released.pth", out)).autoencoder.state_dict()
    for file in (folder / "model_final.pth", folder):
        weights = load(import_alae(file, out)).autoencoder.state_dict()
        assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())

    (folder / "last_checkpoint").write_text("training_artifacts\\ffhq\\gone.pth")
    with pytest.raises(GenaeError, match=r"there is no file .*training_artifacts.gone\.pth"):
        import_alae(folder, out)
    (folder / "last_checkpoint").write_text("\x1b[31mfile")
    with pytest.raises(GenaeError, match=r"last_checkpoint does not name a \.pth file"):
        import_alae(folder, out)
    with pytest.raises(GenaeError, match="has no file last_checkpoint"):
        import_alae(tmp_path, out)


def test_a_file_of_an_earlier_level_becomes_a_model_of_its_resolution(tracker: Any, tmp_path: Path) -> None:
    content = after_training(tracker)
    torch.save(content, tmp_path / "model_tmp_lod3.pth")
    model = load(import_alae(tmp_path / "model_tmp_lod3.pth", tmp_path / "out.safetensors"))
    assert model.image_shape == (3, 32, 32)
    w = torch.randn(2, LATENT)
    assert torch.allclose(
        model.decode(w), authors_decode(content["models"]["generator_s"], w, 4).clamp(-1, 1), atol=2e-3
    )
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    expected = authors_encode(content["models"]["discriminator_s"], x, LEVELS - 4)
    assert torch.allclose(model.encode(x), expected, rtol=1e-3, atol=1e-3)


class _Call:
    """Pickled as a call of ``function``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call

    def __call__(self) -> None:
        """So that pickle takes a call's result for a function to call."""


def hostile(name: str, mark: Path, tracker: Any) -> Any:
    """Contents of files that would write the file ``mark`` if anything in them ran."""
    code = f"open({str(mark)!r}, 'w').close()"
    touch = _Call(os.system, f"touch {mark}")
    inside = after_training(tracker, loss_d=tracker.RunningMeanTorch(1.0), lae=touch)
    state = tracker.RunningMeanTorch()
    state.values = [_Call(exec, code)]
    contents = {
        "command": {"models": touch},
        "evaluated": {"models": _Call(eval, code)},
        "chain": {"models": _Call(_Call(getattr, _Call(importlib.import_module, "builtins"), "exec"), code)},
        "beside": after_training(tracker) | {"more": [{"deep": (touch,)}]},
        "track": inside,
        "state": after_training(tracker, loss_d=state),
        "as argument": {"models": _Call(tracker.RunningMeanTorch, touch)},
        "terminal": {"models": _Call(_Call, "\x1b[31mred")},
    }
    return contents[name]


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize(
    "name",
    ["command", "evaluated", "chain", "beside", "track", "state", "as argument", "terminal"],
)
def test_hostile_pickles_run_nothing(
    name: str, kind: str, tracker: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    mark, file = tmp_path / "mark", tmp_path / "hostile.pth"
    if kind == "pickle":
        file.write_bytes(pickle.dumps(hostile(name, mark, tracker), protocol=4))
    else:
        torch.save(hostile(name, mark, tracker), file, _use_new_zipfile_serialization=kind == "zip")
    assert not mark.exists()
    with pytest.raises(
        GenaeError, match="hostile.pth is damaged, or not a PyTorch .* without running its code"
    ) as stop:
        import_alae(file, tmp_path / "out.safetensors")
    assert str(stop.value).isprintable()
    assert not mark.exists()
    assert not (tmp_path / "out.safetensors").exists()
    assert not recwarn.list


def test_stand_ins_do_nothing(tracker: Any, tmp_path: Path) -> None:
    """Where a network or a tensor should be, an object of theirs is no network and no tensor."""
    content = after_training(tracker)
    content["models"]["generator_s"]["const"] = tracker.RunningMeanTorch(1.0)
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(GenaeError, match=r"generator_s\.const is missing"):
        import_alae(tmp_path / "file.pth", tmp_path / "out.safetensors")
    for models in (tracker.RunningMeanTorch(1.0), [1, 2], {"discriminator_s": tracker.RunningMean()}):
        torch.save({"models": models}, tmp_path / "file.pth")
        with pytest.raises(GenaeError, match="no models/discriminator_s"):
            import_alae(tmp_path / "file.pth", tmp_path / "out.safetensors")


def test_tensors_that_claim_more_than_the_file_holds_are_refused(tmp_path: Path) -> None:
    content = authors_checkpoint()
    content["models"]["generator_s"]["decode_block.0.style_1.weight"] = torch.zeros(1).expand(2**20, 2**20)
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(GenaeError, match="style_1.weight' is missing or impossible"):
        import_alae(tmp_path / "file.pth", tmp_path / "out.safetensors")


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    def refused(content: Any, message: str) -> None:
        torch.save(content, tmp_path / "file.pth")
        with pytest.raises(GenaeError, match=message):
            import_alae(tmp_path / "file.pth", tmp_path / "out.safetensors")

    refused({"models": {"generator_s": {}}}, "no models/discriminator_s")
    refused([1, 2], "no models/discriminator_s")
    damaged = authors_checkpoint()
    del damaged["models"]["generator_s"]["decode_block.2.bias_1"]
    refused(damaged, r"generator_s\.decode_block\.2\.bias_1 is missing")
    damaged = authors_checkpoint()
    damaged["models"]["discriminator_s"]["encode_block.1.bias_1"] = torch.zeros(3)
    refused(damaged, "encode_block.* has shape")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(GenaeError, match="not a PyTorch checkpoint"):
        import_alae(tmp_path / "text.pth", tmp_path / "out.safetensors")
    with pytest.raises(GenaeError, match="there is no file"):
        import_alae(tmp_path / "none.pth", tmp_path / "out.safetensors")


@pytest.mark.parametrize("content", [b"", b"name,value\na,1\n", b"PK\x03\x04 no archive", b"\x80\x02.", b"\x00" * 40])
def test_files_of_other_kinds_are_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(
        GenaeError, match="table.csv is damaged, or not a PyTorch checkpoint .* expected a .pth file"
    ) as stop:
        import_alae(tmp_path / "table.csv", tmp_path / "out.safetensors")
    assert "\n" not in str(stop.value)
    assert not (tmp_path / "out.safetensors").exists()
