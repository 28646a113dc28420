"""Small autoencoders that diffusers itself writes, against diffusers' own encode and decode."""

import hashlib
import json
import sys
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import genae
from genae.errors import GenaeError
from genae.importing.diffusers_weights import read_diffusers
from genae.importing.imported_run import import_autoencoder

diffusers = pytest.importorskip("diffusers")

SIDE = 16
SHARED = {"block_out_channels": (8, 8, 8), "norm_num_groups": 4}
DOWN, UP = ("DownEncoderBlock2D",) * 3, ("UpDecoderBlock2D",) * 3
KL = {"down_block_types": DOWN, "up_block_types": UP, **SHARED}
MEANS, DEVIATIONS = (1.0, 2.0, 3.0, 4.0), (2.0, 2.0, 4.0, 4.0)
TINY = {
    "encoder_block_out_channels": (8, 8, 8), "decoder_block_out_channels": (8, 8, 8), "num_encoder_blocks": (1, 1, 1),
    "num_decoder_blocks": (1, 1, 1),
}  # fmt: skip
DC = {
    "attention_head_dim": 4, "latent_channels": 4, "scaling_factor": 0.41,
    "encoder_block_out_channels": (8, 8, 8), "decoder_block_out_channels": (8, 8, 8),
    "encoder_layers_per_block": (0, 1, 1), "decoder_layers_per_block": (0, 1, 1),
    "encoder_block_types": ("ResBlock", "ResBlock", "EfficientViTBlock"),
    "decoder_block_types": ("ResBlock", "ResBlock", "EfficientViTBlock"),
    "encoder_qkv_multiscales": ((), (), (5,)), "decoder_qkv_multiscales": ((), (), (5,)),
}  # fmt: skip


def built(kind: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    return getattr(diffusers, kind)(**settings).eval()


def pictures(count: int = 5) -> Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1


def raw_codes(network: Any, x: Tensor) -> Tensor:
    """What diffusers encodes, before any factor."""
    given = network.encode(x)
    return given.latent_dist.mode() if hasattr(given, "latent_dist") else given[0]


@pytest.mark.parametrize(
    ("kind", "settings", "shape", "shift", "scaling"),
    [
        ("AutoencoderKL", KL | {"scaling_factor": 0.2}, (4, 4, 4), 0.0, 0.2),
        ("AutoencoderKL", KL | {"shift_factor": 0.1, "use_quant_conv": False, "latent_channels": 6}, (6, 4, 4), 0.1,
         0.18215),
        ("AutoencoderKL", KL | {"latents_mean": MEANS, "latents_std": DEVIATIONS, "scaling_factor": 0.5}, (4, 4, 4),
         torch.tensor(MEANS)[:, None, None], 0.5 / torch.tensor(DEVIATIONS)[:, None, None]),
        ("AutoencoderDC", DC, (4, 4, 4), 0.0, 0.41),
        ("AutoencoderTiny", TINY, (4, 4, 4), 0.0, 1.0),
        ("VQModel", KL | {"num_vq_embeddings": 16, "vq_embed_dim": 2, "latent_channels": 3}, (2, 4, 4), 0.0, 0.18215),
    ],
)  # fmt: skip
def test_codes_and_images_are_those_of_diffusers(kind, settings, shape, shift, scaling, tmp_path):
    network = built(kind, **settings)
    network.save_pretrained(tmp_path / "theirs")
    model = import_autoencoder(f"diffusers:{tmp_path / 'theirs'}", tmp_path / "run", "digits", size=SIDE)
    assert model.autoencoder.code_shape == shape
    x = pictures()
    with torch.no_grad():
        raw = raw_codes(network, x)
        images = network.decode(raw).sample.clamp(-1, 1)
    codes = model.encode(x)
    torch.testing.assert_close(codes, ((raw - shift) * scaling).flatten(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(model.decode(codes), images, rtol=0, atol=1e-5)
    assert images.std() > 0.005, "not all clipped"
    assert genae.load(tmp_path / "run").digest == model.digest


@pytest.mark.parametrize("files", ["one", "sharded", "fp16", "fp16 sharded", "both", "pipeline", "older names"])
def test_every_layout_that_diffusers_writes_is_read(files, tmp_path):
    network = built("AutoencoderKL", **KL)
    folder = tmp_path / "theirs" / "vae" if files == "pipeline" else tmp_path / "theirs"
    shard = {"max_shard_size": "15KB"} if "sharded" in files else {}
    if "fp16" in files or files == "both":
        network.half().save_pretrained(folder, variant="fp16", **shard)
        network.float()
    if files == "both":
        for tensor in network.parameters():
            tensor.data += 1e-6  # lost in half precision
    if "fp16" not in files:
        network.save_pretrained(folder, **shard)
    if files == "older names":  # of attention, as in Stable Diffusion's first releases
        names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        tensors = load_file(folder / "diffusion_pytorch_model.safetensors")
        for new, old in names.items():
            tensors = {name.replace(f"attentions.0.{new}", f"attentions.0.{old}"): t for name, t in tensors.items()}
        assert "decoder.mid_block.attentions.0.query.weight" in tensors
        save_file(tensors, folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    (tmp_path / "theirs" / "README.md").write_text("---\nlicense: openrail++\n---\n")
    written = sorted(folder.glob("*.safetensors"))
    assert len(written) == {"both": 2, "sharded": len(written), "fp16 sharded": len(written)}.get(files, 1)
    assert len(written) > 1 or "sharded" not in files
    options, tensors, colours = read_diffusers(str(tmp_path / "theirs"))
    used = [file for file in written if files != "both" or "fp16" not in file.name]
    assert options["sha256"] == ",".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in used)
    assert (options["licence"], options["source"], options["revision"]) == ("openrail++", "diffusers:theirs", "")
    assert (options["kind"], json.loads(options["settings"])["norm_num_groups"], colours) == ("AutoencoderKL", 4, 3)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensors[f"network.{name}"], tensor), name


def test_what_cannot_be_imported_is_said_in_a_sentence(tmp_path):
    network = built("AutoencoderTiny", **TINY)
    folder = tmp_path / "theirs"
    network.save_pretrained(folder)
    with pytest.raises(
        GenaeError, match=r"images are 18 x 16, this autoencoder takes multiples of 4: give --size 16x16"
    ):
        import_autoencoder(f"diffusers:{folder}", tmp_path / "run", "digits", size="18x16")
    with pytest.raises(GenaeError, match="--revision main is of an id, and .*theirs is a folder"):
        read_diffusers(str(folder), "main")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"upsampling_scaling_factor": 4}))
    with pytest.raises(GenaeError, match=r"gives images of \[3, 64, 64\] for images of \[3, 16, 16\]; expected"):
        import_autoencoder(f"diffusers:{folder}", tmp_path / "run", "digits", size=SIDE)
    (folder / "config.json").write_text(json.dumps(settings | {"scaling_factor": 1e-60}))
    with pytest.raises(GenaeError, match="gives NaN or infinity for an image of the data: its weights are damaged"):
        import_autoencoder(f"diffusers:{folder}", tmp_path / "run", "digits", size=SIDE)
    assert not (tmp_path / "run").exists()
    (folder / "config.json").write_text(json.dumps(settings | {"latent_channels": 5}))
    with pytest.raises(GenaeError, match="diffusers cannot read"):
        read_diffusers(str(folder))
    (folder / "config.json").write_text(json.dumps(settings | {"_class_name": "UNet2DModel"}))
    with pytest.raises(
        GenaeError, match="'UNet2DModel' of diffusers cannot be imported; expected one of AutoencoderDC"
    ):
        read_diffusers(str(folder))
    (folder / "config.json").write_text("[]")
    with pytest.raises(GenaeError, match="does not name a class of diffusers"):
        read_diffusers(str(folder))
    (folder / "config.json").write_text(json.dumps(settings))
    tensors = load_file(folder / "diffusion_pytorch_model.safetensors")
    lacking = {name: tensor for name, tensor in tensors.items() if name != "encoder.layers.0.bias"}
    save_file(lacking, folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    with pytest.raises(
        GenaeError, match=r"do not fit its configuration: 'encoder\.layers\.0\.bias' differs \(1 in all\)"
    ):
        read_diffusers(str(folder))
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"cut")
    with pytest.raises(GenaeError, match="diffusers cannot read"):
        read_diffusers(str(folder))
    (folder / "diffusion_pytorch_model.safetensors").rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises(
        GenaeError, match=r"holds no diffusion_pytorch_model\.safetensors; weights in pickles are not read"
    ):
        read_diffusers(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(GenaeError, match=r"holds no config\.json and no vae/config\.json"):
        read_diffusers(str(folder))


def test_without_diffusers_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    built("AutoencoderTiny", **TINY).save_pretrained(tmp_path / "theirs")
    import_autoencoder(f"diffusers:{tmp_path / 'theirs'}", tmp_path / "run", "digits", size=SIDE)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    for attempt in (
        lambda: genae.load(tmp_path / "run"),
        lambda: read_diffusers(str(tmp_path / "theirs")),
        lambda: read_diffusers("someone/model"),
    ):
        with pytest.raises(GenaeError, match=r"needs diffusers: pip install 'genae\[diffusers\]'"):
            attempt()
