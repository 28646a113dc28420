"""The tiny autoencoders' files, against a forward pass that is written here from their description."""

import hashlib
import shutil

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from genae.errors import GenaeError
from genae.importing.imported_run import import_autoencoder
from genae.importing.taesd_weights import read_taesd


def block(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    w = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
    if "pool.0.weight" in w:
        hidden = F.conv2d(x, w["pool.0.weight"])
        groups = hidden.unflatten(1, (4, -1))  # normalised over channels and places of each of 4 groups
        mean, variance = groups.mean((2, 3, 4), True), groups.var((2, 3, 4), unbiased=False, keepdim=True)
        hidden = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
        hidden = hidden * w["pool.1.weight"][:, None, None] + w["pool.1.bias"][:, None, None]
        x = x + F.conv2d(hidden.relu(), w["pool.3.weight"])
    y = F.conv2d(x, w["conv.0.weight"], w["conv.0.bias"], padding=1).relu()
    y = F.conv2d(y, w["conv.2.weight"], w["conv.2.bias"], padding=1).relu()
    return (F.conv2d(y, w["conv.4.weight"], w["conv.4.bias"], padding=1) + x).relu()


def encoded(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    """[0, 1] -> codes."""
    x = block(F.conv2d(x, w["0.weight"], w["0.bias"], padding=1), w, "1")
    for place in (2, 6, 10):
        x = F.conv2d(x, w[f"{place}.weight"], stride=2, padding=1)
        for next_place in range(place + 1, place + 4):
            x = block(x, w, str(next_place))
    return F.conv2d(x, w["14.weight"], w["14.bias"], padding=1)


def decoded(c: Tensor, w: dict[str, Tensor]) -> Tensor:
    """Codes -> [0, 1]."""
    x = F.conv2d(3 * torch.tanh(c / 3), w["1.weight"], w["1.bias"], padding=1).relu()
    for place in (3, 8, 13):
        for next_place in range(place, place + 3):
            x = block(x, w, str(next_place))
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = F.conv2d(x, w[f"{place + 4}.weight"], padding=1)
    return F.conv2d(block(x, w, "18"), w["19.weight"], w["19.bias"], padding=1)


@pytest.mark.parametrize(("channels", "pooled"), [(4, False), (16, False), (32, True)])
def test_codes_and_images_are_those_of_the_description(channels, pooled, taesd_sides, tmp_path, folder_of_images):
    sides = taesd_sides(channels, pooled)
    for side, tensors in zip(("encoder", "decoder"), sides, strict=True):
        save_file(tensors, tmp_path / f"tae_{side}.safetensors")
    model = import_autoencoder(f"taesd:{tmp_path}", tmp_path / "run", str(folder_of_images), size="16x24")
    assert model.image_shape == (3, 16, 24)
    assert model.autoencoder.code_shape == (channels, 2, 3)
    x = torch.rand(5, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
    codes = encoded((x + 1) / 2, sides[0])
    torch.testing.assert_close(model.encode(x), codes.flatten(1), rtol=0, atol=1e-5)
    images = (2 * decoded(codes, sides[1]) - 1).clamp(-1, 1)
    assert images.std() > 0.05, "not all clipped"
    torch.testing.assert_close(model.decode(codes.flatten(1)), images, rtol=0, atol=1e-5)


def test_the_files_say_where_they_are_from(taesd):
    options, tensors, colours = read_taesd(str(taesd))
    files = [taesd / f"taesmall_{side}.pth" for side in ("encoder", "decoder")]
    assert options["sha256"] == ",".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    assert (options["licence"], options["source"]) == ("MIT License", "taesd:small/taesmall")
    assert (options["channels"], options["pooled"], options["width"], colours) == (8, True, 4, 3)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def test_what_is_no_taesd_is_refused_in_a_sentence(taesd, tmp_path, folder_of_images):
    with pytest.raises(GenaeError, match="holds no pair NAME_encoder and NAME_decoder"):
        read_taesd(str(tmp_path / "none"))
    folder = shutil.copytree(taesd, tmp_path / "two")
    for side in ("encoder", "decoder"):
        shutil.copy(taesd / f"taesmall_{side}.pth", folder / f"taeother_{side}.pth")
    with pytest.raises(GenaeError, match="several autoencoders, taeother, taesmall; give one: taesd:.*two/taeother"):
        read_taesd(str(folder))
    assert read_taesd(str(folder / "taesmall")).options["source"] == "taesd:two/taesmall"
    torch.save({"1.weight": torch.zeros(3)}, folder / "taeother_decoder.pth")
    with pytest.raises(GenaeError, match="taeother_decoder.pth is not one side of a TAESD: it has no convolution"):
        read_taesd(str(folder / "taeother"))
    torch.save(
        {**torch.load(taesd / "taesmall_encoder.pth"), "15.weight": torch.zeros(3)}, folder / "taesmall_encoder.pth"
    )
    with pytest.raises(GenaeError, match=r"does not fit the model of its configuration: 'encoder\.15\.weight' differs"):
        import_autoencoder(f"taesd:{folder / 'taesmall'}", tmp_path / "run", str(folder_of_images), size="16")
    (folder / "taesmall_encoder.pth").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(GenaeError, match="is not a readable weight file"):
        read_taesd(str(folder / "taesmall"))
