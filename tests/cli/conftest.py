"""Runs for the commands, and a working directory of their own."""

import pytest


@pytest.fixture(scope="session")
def run(genae, tiny_flags, tmp_path_factory):
    """A small run of stacked-wae."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    assert genae("train", "stacked-wae", "--data", "digits", "--run", path, "--images", "320", *tiny_flags) == 0
    return str(path)


@pytest.fixture(scope="session")
def styled(genae, tmp_path_factory):
    """A small run of style-alae."""
    path = tmp_path_factory.mktemp("runs") / "styled"
    flags = ["--code-dim=6", "--width=4", "--most-channels=8", "--mapping-layers=2", "--batch-size=20", "--images=100"]
    assert genae("train", "style-alae", "--data", "digits", "--run", path, *flags) == 0
    return str(path)


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
