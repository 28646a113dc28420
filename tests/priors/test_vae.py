"""The second-stage VAE."""

from pathlib import Path

import torch

from genae.training.prior_fit import Fit, fit_to_codes


def test_a_second_stage_vae_does_not_collapse_on_codes_of_many_dimensions(tmp_path: Path, generator) -> None:
    centres = torch.randn(10, 16, generator=generator())
    chosen = centres[torch.randint(10, (4000,), generator=generator(1))]
    codes = chosen + 0.3 * torch.randn(4000, 16, generator=generator(2))
    prior, _ = fit_to_codes(codes, Fit("vae", images=200_000, batch_size=250, options={"width": 64}), tmp_path / "p")
    variance = prior.levels[1].likelihood.log_variance.exp()  # type: ignore[index,union-attr,operator]
    assert float(variance.detach()) < 0.9, "1 is the variance of whitened codes: a Gaussian and no more"
