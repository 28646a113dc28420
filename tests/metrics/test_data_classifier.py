"""The classifier of a data set: its training goes on where it was cut off."""

from pathlib import Path

import pytest
import torch

from genae.data.sources import open_data
from genae.metrics.data_classifier import SAVE_EVERY, classifier_path, train_classifier

CPU = torch.device("cpu")


@pytest.mark.slow
def test_a_training_that_is_cut_off_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_data("digits")
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "whole"))
    whole = train_classifier(data, CPU)
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "cut"))

    def cut(message: str, done: int, total: int) -> None:
        if done >= SAVE_EVERY + 20:
            raise KeyboardInterrupt

    def stop(message: str, done: int, total: int) -> None:
        raise RuntimeError(f"from {done}")

    with pytest.raises(KeyboardInterrupt):
        train_classifier(data, CPU, progress=cut)
    begun: list[int] = []
    again = train_classifier(data, CPU, progress=lambda message, done, total: begun.append(done))
    assert begun[0] == SAVE_EVERY
    assert again.digest == whole.digest
    assert [file.name for file in classifier_path(data).parent.iterdir()] == [classifier_path(data).name]
    # What is left of a training with another seed is not taken for this one's.
    with pytest.raises(KeyboardInterrupt):
        train_classifier(data, CPU, progress=cut)
    with pytest.raises(RuntimeError, match="from 0"):
        train_classifier(data, CPU, seed=1, progress=stop)
