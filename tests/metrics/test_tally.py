"""What is kept of features, and its cache."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from genae import api
from genae.data.stream import open_stream
from genae.metrics.features import FeatureNetwork
from genae.progress import silent


def measure(images: Path | str, reference: Path | str, **options: Any) -> dict[str, float]:
    settings = {"networks": ["pixels"], "metrics": ["fd", "prdc"]} | options
    records = api.evaluate_images(open_stream(str(images)), open_stream(str(reference)), **settings)
    return {r["metric"]: r["value"] for r in records if r["of"] == str(images)}


def test_reference_statistics_are_cached_by_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Callable[..., Path]
) -> None:
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "cache"))
    a, b = pictures(tmp_path / "a", 20), pictures(tmp_path / "b", 25, seed=1)
    seen: list[int] = []
    plain = FeatureNetwork.__call__

    def counting(self: FeatureNetwork, images: torch.Tensor) -> Any:
        seen.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(FeatureNetwork, "__call__", counting)
    first = measure(a, b)
    assert sum(seen) == 45
    assert measure(a, b) == first
    assert sum(seen) == 45 + 20, "the reference is not read again"
    measure(a, b, metrics=["fd"])
    assert sum(seen) == 45 + 40
    (b / "000.png").unlink()
    assert measure(a, b) != first
    assert sum(seen) == 45 + 40 + 44, "other images, other fingerprint"
    for file in (tmp_path / "cache" / "references").iterdir():
        file.write_bytes(file.read_bytes()[:-10])
    measure(a, b)
    assert sum(seen) == 45 + 40 + 44 * 2, "a damaged file is made again"


def test_the_cache_tells_seeds_subsets_and_networks_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Callable[..., Path]
) -> None:
    from genae.metrics import tally
    from genae.metrics.features import Observed

    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "cache"))
    stream = open_stream(str(pictures(tmp_path / "a", 20)))

    def network(factor: float, digest: str) -> FeatureNetwork:
        def compute(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            rows = images.flatten(1).float() / 255 * factor
            return rows, rows[:, :3]

        return FeatureNetwork("toy", "toy", digest, "none", compute)

    def tallied(
        stream: Any, factor: float = 1, digest: str = "a", seed: int = 0, keeps: Any = ("moments", "rows")
    ) -> Any:
        return tally.cached_tallies(stream, [(network(factor, digest), set(keeps))], seed, silent)[0]

    whole = tallied(stream)
    assert torch.equal(tallied(stream).rows, whole.rows)
    assert torch.equal(tallied(stream, 2, "b").rows, 2 * whole.rows), "other weights"
    assert len(tallied(stream.take(10, 0)).rows) == 10
    assert not torch.equal(tallied(stream.take(10, 1)).rows, tallied(stream.take(10, 0)).rows)
    assert len(list((tmp_path / "cache" / "references").iterdir())) == 4
    tallied(stream, keeps=["scores"])
    monkeypatch.setattr(Observed, "__new__", None)
    for keeps in (["moments"], ["rows"], ["scores"]):
        tallied(stream, keeps=keeps)  # nothing is computed again
    monkeypatch.setattr(tally, "VERSION", "another")
    with pytest.raises(TypeError):
        tallied(stream)
