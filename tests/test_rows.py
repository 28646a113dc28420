"""Rows in files: what is read of them, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genae.errors import GenaeError
from genae.rows import HEADER, Collected, Through, as_bytes, filled, header_of, in_parts, mean_and_covariance
from genae.storage import FileRows


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(100, 3, generator=torch.Generator().manual_seed(0))


def test_rows_of_a_file_are_those_of_the_tensor(tmp_path: Path, rows: torch.Tensor) -> None:
    path = tmp_path / "a.npy"
    np.save(path, rows.numpy())
    before = path.read_bytes()
    read = FileRows(path)
    assert (len(read), read.shape) == (100, (100, 3))
    for which in (slice(None), slice(7, 31), slice(90, 200), torch.tensor([5, 99, 5, 0])):
        part = read[which]
        assert torch.equal(part, rows[which])
        part.zero_()  # in memory of its own
    assert path.read_bytes() == before
    assert [len(part) for part in in_parts(read, 30)] == [30, 30, 30, 10]
    assert torch.equal(filled(in_parts(read, 30), 100), rows)
    assert torch.equal(Through(read, lambda part: 2 * part[:, :1], 1)[10:20], 2 * rows[10:20, :1])
    np.save(path, np.arange(6).reshape(3, 2))
    assert torch.equal(FileRows(path)[1:], torch.tensor([[2.0, 3.0], [4.0, 5.0]]))


def test_a_header_is_one_that_numpy_reads(tmp_path: Path, rows: torch.Tensor) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(header_of((100, 3)) + as_bytes(rows))
    assert path.stat().st_size == HEADER + rows.nbytes
    assert np.array_equal(np.load(path), rows.numpy())


def test_moments_in_parts_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch, rows: torch.Tensor) -> None:
    whole = mean_and_covariance(rows)
    monkeypatch.setattr("genae.rows.CHUNK", 84)  # 7 rows
    parts = mean_and_covariance(rows)
    assert torch.allclose(parts[0], whole[0], rtol=1e-13)
    assert torch.allclose(parts[1], torch.from_numpy(np.cov(rows.double().numpy().T)), rtol=1e-12)
    assert torch.allclose(parts[1], whole[1], rtol=1e-12)


def test_files_of_other_kinds_and_cut_ones_are_refused(tmp_path: Path, rows: torch.Tensor) -> None:
    path = tmp_path / "a.npy"
    with pytest.raises(GenaeError, match=r"a\.npy is not a readable NumPy file: there is no such file"):
        FileRows(path)
    for content in (rows.T.contiguous().T.numpy(), np.array(["a"])):
        np.save(path, content)
        with pytest.raises(GenaeError, match=r"a\.npy does not hold rows of numbers"):
            FileRows(path)
    path.write_bytes(b"no array")
    with pytest.raises(GenaeError, match="damaged or of another kind"):
        FileRows(path)
    np.save(path, rows.numpy())
    read = FileRows(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(GenaeError, match=r"a\.npy is not a readable NumPy file"):
        FileRows(path)
    with pytest.raises(GenaeError, match=r"a\.npy was changed while it was read"):
        read[95:]
    with pytest.raises(ValueError, match="1 rows came; expected 3"):
        filled([rows[:1]], 3)


@given(st.lists(st.integers(1, 5), max_size=12))
def test_collected_rows_are_those_that_came(sizes: list[int]) -> None:
    parts = [torch.rand(size, 3) for size in sizes]
    collected = Collected()
    for part in parts:
        collected.add(part)
    assert torch.equal(collected.rows, torch.cat(parts) if parts else torch.empty(0))
