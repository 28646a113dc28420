"""Commands that read and write codes."""

import numpy as np
import pytest


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_codes_there_and_back(kind, run, genae):
    for space in ("code", "normal"):
        assert genae("encode", run, "--split", "test", "--out", f"c.{kind}", "--space", space) == 0
        assert genae("decode", run, f"c.{kind}", "--out", f"{space}.npz", "--space", space) == 0
        assert np.load(f"{space}.npz")["images"].shape == (179, 1, 8, 8)
    assert genae("decode", run, f"c.{kind}", "--space", "normal", "--out", "d.png") == 0
    if kind == "npz":
        assert set(np.load("c.npz")) == {"codes", "indices", "labels", "space"}


def test_codes_remember_their_space(run, genae):
    assert genae("encode", run, "--space", "uniform", "--out", "z.npz") == 0
    assert genae("decode", run, "z.npz", "--out", "said.npz") == 0
    assert genae("decode", run, "z.npz", "--space", "uniform", "--out", "named.npz") == 0
    assert np.array_equal(np.load("said.npz")["images"], np.load("named.npz")["images"])
    assert genae("decode", run, "z.npz", "--space", "code") == 2
