"""Commands that read and write codes."""

import numpy as np
import pytest


@pytest.mark.parametrize("kind", ["npz", "safetensors", "npy"])
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


def test_codes_in_an_npy_file_have_the_rest_beside_them(run, genae, capsys):
    assert genae("encode", run, "--space", "uniform", "--split", "test", "--out", "z.npz") == 0
    assert genae("encode", run, "--space", "uniform", "--split", "test", "--out", "z.npy") == 0
    whole, rest = np.load("z.npz"), np.load("z.rows.npz")
    assert np.array_equal(np.load("z.npy", mmap_mode="r"), whole["codes"])
    assert set(rest) == {"indices", "labels", "space"}
    assert all(np.array_equal(rest[name], whole[name]) for name in rest)
    assert genae("decode", run, "z.npy", "--out", "images.npy") == 0
    assert genae("decode", run, "z.npz", "--out", "images.npz") == 0
    assert np.array_equal(np.load("images.npy"), np.load("images.npz")["images"])
    assert genae("decode", run, "z.npy", "--out", "images.npy") == 0, "genae's own files are replaced"
    np.save("mine.npy", np.load("z.npy"))
    assert genae("encode", run, "--out", "mine.npy") == 2
    assert "mine.npy was not written by genae" in capsys.readouterr().err
    np.save("wide.npy", np.zeros((2, 3, 4), np.float32))
    assert genae("decode", run, "wide.npy") == 2
    assert "wide.npy holds an array of shape [2, 3, 4]; expected codes [N, D]" in capsys.readouterr().err
