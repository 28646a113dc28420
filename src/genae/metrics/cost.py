"""The cost of training a run: images and seconds, of the autoencoder and of each prior that was fitted later."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from genae.metrics.metric import Measured, ModelMetric
from genae.metrics.records import CODE
from genae.storage import load_tensors, read_lines

if TYPE_CHECKING:
    from genae.metrics.of_model import ModelEvaluation


class Cost(ModelMetric):
    """``train_images`` and ``train_seconds``, from the log of the run and the files of its priors."""

    needs = frozenset({"run"})

    def measure_model(self, evaluation: "ModelEvaluation") -> Iterator[Measured]:
        """Both numbers of the autoencoder and of each prior that is measured."""
        assert evaluation.subject.folder is not None
        for of, numbers in costs(evaluation.subject.folder, evaluation.subject.digest).items():
            if of == CODE or of in evaluation.priors:
                yield from (Measured(of, name, number) for name, number in numbers.items())


def costs(run: Path, weights: str) -> dict[str, dict[str, float]]:
    """``code`` or a prior's name -> ``train_images`` seen and ``train_seconds``, up to the newest log line.

    ``weights`` is the hash of the run's weights: priors of other weights are left out. Priors that were trained with
    the autoencoder are part of its time. Seconds are those of the machine that trained: set beside each other only runs
    of one kind of machine.
    """
    spent: dict[str, dict[str, float]] = {}
    lines = read_lines(run / "log.jsonl", "seconds")
    if lines:
        spent[CODE] = {"train_images": lines[-1]["images"], "train_seconds": lines[-1]["seconds"]}
    for file in sorted((run / "priors").glob("*.safetensors")):
        metadata = load_tensors(file)[1]
        if metadata.get("weights") == weights:
            spent[file.stem] = {
                f"train_{key}": float(metadata[key]) for key in ("images", "seconds") if key in metadata
            }
    return spent


def numbers_of(network: nn.Module, without: str = "") -> int:
    """How many numbers were trained, but for those of the part ``without``. Where nothing was, as in a prior in closed
    form, how many it keeps."""
    trained = [p.numel() for name, p in network.named_parameters() if not without or not name.startswith(f"{without}.")]
    return sum(trained) or sum(kept.numel() for kept in network.state_dict().values() if kept.is_floating_point())
