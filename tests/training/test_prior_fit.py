"""Priors that are fitted after training."""

from pathlib import Path

import pytest

from genae import api
from genae.errors import GenaeError
from genae.settings.presets import FITTED


def test_a_preset_may_fit_a_prior_after_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_options) -> None:
    monkeypatch.setitem(FITTED, "ae", {"name": "after", "kind": "mixture", "components": 3})
    model = api.train("ae", tmp_path / "run", data="digits", images=64, **tiny_options("ae"))
    assert model.priors == ["after"]
    assert (tmp_path / "run" / "priors" / "after.safetensors").exists()
    monkeypatch.setitem(FITTED, "ae", {"name": "after", "kind": "mixture", "components": 1000})
    with pytest.raises(GenaeError, match="run is trained, but the prior of ae could not be fitted: .*too few"):
        api.train("ae", tmp_path / "run", data="digits", images=64, **tiny_options("ae"))
