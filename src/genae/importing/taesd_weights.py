"""The weights of TAESD and its successors, as their author publishes them: one file for each side."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from genae.errors import GenaeError
from genae.importing.weights_of_others import Weights, hashes_of, licence_of
from genae.metrics.weights import read_weights

ENDINGS = (".safetensors", ".pth")


def read_taesd(where: str) -> Weights:
    """The encoder and the decoder of a folder, or of the files that begin with ``where``: ``FOLDER/taesd``.

    Files are called ``NAME_encoder.pth`` and ``NAME_decoder.pth``, or ``.safetensors``. Sizes are read off the tensors.
    Raises `GenaeError`.
    """
    files = _files(Path(where).expanduser())
    encoder, decoder = (read_weights(file) for file in files)
    sizes = _sizes(encoder, decoder, files)
    tensors = {f"encoder.{name}": tensor.float() for name, tensor in encoder.items()}
    tensors |= {f"decoder.{name}": tensor.float() for name, tensor in decoder.items()}
    folder = files[0].parent
    origin = {
        "source": f"taesd:{folder.name}/{files[0].stem.removesuffix('_encoder')}",
        "sha256": hashes_of(files),
        "licence": licence_of(folder),
    }
    return Weights(sizes | origin, tensors, int(sizes["colours"]))


def _files(where: Path) -> tuple[Path, Path]:
    """Encoder and decoder."""
    folder, beginning = (where, "") if where.is_dir() else (where.parent, where.name)
    names = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    ends = [f"_encoder{ending}" for ending in ENDINGS]
    pairs: dict[str, tuple[Path, Path]] = {}
    for name in names:
        for end in ends:
            decoder = name.removesuffix(end) + end.replace("encoder", "decoder")
            if name.startswith(beginning) and name.endswith(end) and decoder in names:
                pairs.setdefault(name.removesuffix(end), (folder / name, folder / decoder))
    if beginning in pairs:
        return pairs[beginning]
    if not pairs:
        raise GenaeError(
            f"{where} holds no pair NAME_encoder and NAME_decoder with the ending {' or '.join(ENDINGS)}; expected the "
            "files of https://github.com/madebyollin/taesd"
        )
    if len(pairs) > 1:
        raise GenaeError(
            f"{folder} holds several autoencoders, {', '.join(pairs)}; give one: taesd:{folder / min(pairs)}"
        )
    return next(iter(pairs.values()))


def _sizes(
    encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor], files: tuple[Path, Path]
) -> dict[str, int | bool]:
    """The sizes of `TinyAutoencoder`."""
    for name, tensors, file in (("0.weight", encoder, files[0]), ("1.weight", decoder, files[1])):
        if name not in tensors or tensors[name].ndim != 4:
            raise GenaeError(f"{file} is not one side of a TAESD: it has no convolution {name!r}")
    width, colours = encoder["0.weight"].shape[:2]
    pooled = any(".pool." in name for name in encoder)
    return {"colours": colours, "channels": decoder["1.weight"].shape[1], "width": width, "pooled": pooled}
