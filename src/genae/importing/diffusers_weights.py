"""Autoencoders that the library diffusers has written: of a folder, or of an id that is downloaded."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from genae.autoencoders.diffusers_autoencoder import class_of, diffusers_quiet
from genae.errors import GenaeError, reason
from genae.importing.weights_of_others import CARD, LICENCES, Weights, hashes_of, licence_of

CONFIG = "config.json"
INSIDE = "vae"
"""Where the autoencoder of a whole pipeline is."""
STEM = "diffusion_pytorch_model"
WEIGHTS = re.compile(STEM + r"(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.safetensors")
PLAIN = (f"{STEM}.safetensors", f"{STEM}-*.safetensors", f"{STEM}.safetensors.index.json")
VARIANTS = (f"{STEM}.*.safetensors", f"{STEM}.safetensors.index.*.json", f"{STEM}.*-*.safetensors")


def read_diffusers(where: str, revision: str | None = None) -> Weights:
    """The autoencoder in a folder that diffusers has written, or in its ``vae``; or of an id of huggingface.co.

    Weights are those in full precision, else a variant (``fp16``); they become float32. Only safetensors are read.
    Raises `GenaeError`.
    """
    top = Path(where).expanduser()
    if top.is_dir():
        if revision is not None:
            raise GenaeError(f"--revision {revision} is of an id, and {where} is a folder: leave it out")
        commit, source = "", top.resolve().name
    else:
        class_of("AutoencoderKL")  # without diffusers there is nothing to download with
        top, source = _downloaded(where, revision), where
        commit = top.name
    folder = _folder(top)
    settings = _settings(folder)
    kind = str(settings.get("_class_name"))
    cls = class_of(kind)
    variant, files = _files(folder)
    network = _network(cls, folder, variant)
    own = {key: value for key, value in dict(network.config).items() if not key.startswith("_")}
    options = {
        "kind": kind,
        "settings": json.dumps(own),
        "source": f"diffusers:{source}",
        "revision": commit,
        "sha256": hashes_of(files),
        "licence": licence_of(*dict.fromkeys((folder, top))),
    }
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    return Weights(options, tensors, int(network.config["in_channels"]))


def _folder(top: Path) -> Path:
    """Where the autoencoder is: in the folder itself, or in a pipeline's ``vae``."""
    for folder in (top, top / INSIDE):
        if (folder / CONFIG).is_file():
            return folder
    raise GenaeError(
        f"{top} holds no {CONFIG} and no {INSIDE}/{CONFIG}; expected what save_pretrained of diffusers writes"
    )


def _settings(folder: Path) -> dict[str, Any]:
    """The configuration, with the class's name."""
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GenaeError(f"{folder / CONFIG} cannot be read: {reason(error)}") from None
    if not isinstance(settings, dict) or "_class_name" not in settings:
        raise GenaeError(f"{folder / CONFIG} does not name a class of diffusers (_class_name)")
    return settings


def _files(folder: Path) -> tuple[str | None, Sequence[Path]]:
    """The variant, None for full precision, and its files of weights."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if match := WEIGHTS.fullmatch(file.name):
            found.setdefault(match["variant"] or "", []).append(file)
    if not found:
        raise GenaeError(f"{folder} holds no {STEM}.safetensors; weights in pickles are not read")
    variant = min(found)
    return variant or None, found[variant]


def _network(cls: Any, folder: Path, variant: str | None) -> Any:
    """The network with its weights in float32."""
    try:
        with diffusers_quiet():
            network, told = cls.from_pretrained(
                folder, variant=variant, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True,
                low_cpu_mem_usage=False, output_loading_info=True,
            )  # fmt: skip
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise GenaeError(f"diffusers cannot read {folder}: {reason(error)}") from None
    wrong = [*told["missing_keys"], *told["mismatched_keys"], *told["unexpected_keys"]]
    if wrong:
        raise GenaeError(
            f"the weights in {folder} do not fit its configuration: {wrong[0]!r} differs ({len(wrong)} in all)"
        )
    return network


def _downloaded(repository: str, revision: str | None) -> Path:
    """The files of an autoencoder of huggingface.co in its cache: a folder that is named by the commit."""
    wanted = [CARD, *LICENCES, CONFIG, f"{INSIDE}/{CONFIG}"]
    top = _snapshot(repository, revision, wanted)
    folder = _folder(top)
    place = "" if folder == top else f"{INSIDE}/"
    for names in (PLAIN, VARIANTS):
        _snapshot(repository, top.name, [place + name for name in names])
        if any(WEIGHTS.fullmatch(file.name) for file in folder.iterdir()):
            break
    return top


def _snapshot(repository: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """The files that match, and no others. Raises `GenaeError` where they cannot be had."""
    from huggingface_hub import constants, errors, snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except errors.GatedRepoError:
        why = "it asks for consent on its page, and for a login (hf auth login)"
    except errors.RepositoryNotFoundError:
        why = f"{constants.ENDPOINT} has no such repository, or only for those who are logged in (hf auth login)"
    except errors.RevisionNotFoundError:
        why = f"it has no revision {revision!r}"
    except errors.HFValidationError:
        why = "it is neither a folder nor an id such as NAME/REPOSITORY"
    except (OSError, ValueError, RuntimeError) as error:
        why = f"{constants.ENDPOINT} cannot be reached or does not answer as it should ({reason(error)})"
    raise GenaeError(f"{repository} cannot be imported: {why}; give a folder with diffusers:FOLDER")
