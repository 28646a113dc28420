"""What a run took to train: images and seconds, of the autoencoder and of each prior that was fitted later."""

from pathlib import Path

from genae.storage import load_tensors, read_lines


def costs(run: Path, weights: str) -> dict[str, dict[str, float]]:
    """``code`` or a prior's name -> ``train_images`` seen and ``train_seconds``, up to the newest log line.

    ``weights`` is the hash of the run's weights: priors of other weights are left out. Priors that were trained with
    the autoencoder are part of its time. Seconds are those of the machine that trained: set beside each other only runs
    of one kind of machine.
    """
    found: dict[str, dict[str, float]] = {}
    lines = read_lines(run / "log.jsonl", "seconds")
    if lines:
        found["code"] = {"train_images": lines[-1]["images"], "train_seconds": lines[-1]["seconds"]}
    for file in sorted((run / "priors").glob("*.safetensors")):
        metadata = load_tensors(file)[1]
        if metadata.get("weights") == weights:
            found[file.stem] = {
                f"train_{key}": float(metadata[key]) for key in ("images", "seconds") if key in metadata
            }
    return found
