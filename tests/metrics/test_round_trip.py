"""What codes lose through a prior and back."""

import shutil
from pathlib import Path

import pytest
import torch

from genae import api
from genae.metrics.round_trip import round_trip_error
from genae.model import load
from genae.protocol import Prior
from genae.storage import load_tensors


class Shifted(Prior):
    """Loses half of what a code has."""

    def encode(self, codes: torch.Tensor) -> torch.Tensor:
        return codes * 0.5

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z


def test_the_error_is_in_units_of_the_codes_deviation(generator) -> None:
    codes = 3 * torch.randn(600, 4, generator=generator())
    assert round_trip_error(Shifted(), codes - codes.mean(0)) == pytest.approx(0.5, rel=1e-5)
    assert round_trip_error(Shifted(), codes - codes.mean(0) + 30) == pytest.approx(5, rel=0.05)


def test_a_fit_keeps_and_prints_what_is_lost(small_run: Path, tmp_path: Path, genae, capsys) -> None:
    run = shutil.copytree(small_run, tmp_path / "run")
    flags = ["--images=2000", "--batch-size=100", "--width=16", "--blocks=1"]
    assert genae("prior", run, "flow-matching", *flags) == 0
    told = capsys.readouterr().out
    said = load_tensors(run / "priors" / "flow-matching.safetensors")[1]
    assert f"{int(said['held_out']):,} held-out codes through it and back: {float(said['lost']):.1e}" in told
    assert float(said["lost"]) < 1e-3, "with the steps that are usual"

    def measured(**settings: int) -> dict[str, object]:
        model = load(run)
        if settings:
            model.solve_in(**settings)
        (record,) = api.evaluate(model, metrics=["round_trip"], priors=["flow-matching"], out=None)
        return record

    usual, rough = measured(), measured(steps=1)
    assert float(str(usual["value"])) < float(str(rough["value"]))
    assert usual["fingerprint"]["solver_steps"] != 1 == rough["fingerprint"]["solver_steps"]  # type: ignore[index]
    assert genae("sample", run, "--solver-steps=2", "--count=4", f"--out={tmp_path / 's.png'}") == 0
    assert genae("prior", run, "gaussian") == 0
    alone = shutil.copytree(small_run, tmp_path / "alone")
    assert genae("sample", alone, "--solver-steps=2", f"--out={tmp_path / 't.png'}") == 2
    assert "has no prior with solver steps; genae prior RUN flow-matching fits one" in capsys.readouterr().err
