"""Pictures of one set carried to another."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genae.data.sources import open_data
from genae.errors import GenaeError
from genae.latent.optimal_maps import gaussian_map, spread_of
from genae.metrics.features import FeatureNetwork
from genae.metrics.reconstruction import mse
from genae.operations import Session, command, operation
from genae.operations.transport import Transport, measure
from genae.priors.flow_matching import FlowMatchingPrior
from genae.protocol import ConditionalPrior, Given
from genae.reports import figures


class Scales(ConditionalPrior):
    """c = m_y + s_y z, with numbers of its own for every class y."""

    def __init__(self, code_dim: int, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.register_buffer("means", torch.arange(len(classes)).float()[:, None].expand(-1, code_dim))

    def encode(self, codes: Tensor, given: Given | None = None) -> Tensor:
        assert given is not None
        return (codes - self.means[given.labels]) / (1 + given.labels[:, None])

    def decode(self, z: Tensor, given: Given | None = None) -> Tensor:
        assert given is not None
        return self.means[given.labels] + (1 + given.labels[:, None]) * z

    def latent(self, count: int, generator: torch.Generator | None = None, given: Given | None = None) -> Tensor:
        return torch.randn(count, self.means.shape[1], generator=generator)


@pytest.fixture
def flowing(session: Session) -> Session:
    """With a prior that knows the digits."""
    session.model.add_priors({"scales": Scales(session.model.code_dim, session.data.classes)})
    return session


def codes_of(session: Session, name: str, split: str = "train") -> Tensor:
    return session.model.encode_data(session.data, session.sets[name].indices(split))


def test_the_three_maps(flowing: Session, images: Tensor) -> None:
    model, codes = flowing.model, flowing.model.encode(images)
    threes, eights = codes_of(flowing, "3"), codes_of(flowing, "8")
    assert len(threes) == int((flowing.data.labels[flowing.data.split("train")] == 3).sum())
    expected = {
        "flow": 8 + 9 * (codes - 3) / 4,
        "gaussian": gaussian_map(spread_of(threes), spread_of(eights))(codes),
        "mean": codes + eights.mean(0) - threes.mean(0),
    }
    carried = dict(operation("transport", {"source": "3", "target": "8"}).carried(flowing, codes))
    assert list(carried) == list(expected)
    for name, wanted in expected.items():
        assert torch.allclose(carried[name], wanted, atol=1e-4), name
        ends = ("3", "8") if name == "flow" else (threes, eights)
        assert torch.allclose(model.transport(codes, *ends, by=name), wanted, atol=1e-4), name
        part = model.transport(codes, *ends, by=name, strength=0.3)
        assert torch.allclose(part, codes + 0.3 * (wanted - codes), atol=1e-4), name
    assert torch.equal(model.transport(codes, "3", "8", strength=0), codes)
    assert torch.equal(model.transport(codes, "3", "8", prior="scales"), model.transport(codes, "3", "8"))


def test_a_flow_from_a_mixture_for_each_class_carries_nothing(session: Session, images: Tensor) -> None:
    model, options = session.model, {"width": 8, "blocks": 1, "solver_steps": 1}
    flows = {n: FlowMatchingPrior(model.code_dim, components=n, classes=("3", "8"), **options) for n in (2, 0)}
    model.add_priors({"mixed": flows[2], "free": flows[0]})
    assert model.flows_between("3", "8") == ["free"]
    with pytest.raises(GenaeError, match=r"the mixed prior .* starts from a mixture for each class, .*--components"):
        model.transport(model.encode(images), "3", "8", prior="mixed")


def test_pictures_are_carried(
    flowing: Session, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path))  # no classifier that another test has trained
    model, codes = flowing.model, flowing.model.encode(images)
    half = operation("transport", {"source": "3", "target": "8", "by": ["mean"], "strengths": [0.5]})
    carried = model.transport(codes, codes_of(flowing, "3"), codes_of(flowing, "8"), "mean", 0.5)
    answer = half.answer(flowing, images)
    assert torch.allclose(answer.images["mean 0.5"], model.decode(carried), atol=1e-5)
    assert torch.equal(answer.images["reconstruction"], model.decode(codes))
    assert torch.allclose(half.arrays(flowing, images)["codes"], carried, atol=1e-5)
    numbers = answer.numbers["mean 0.5"]
    assert isinstance(numbers, dict)
    assert numbers["mse"] == pytest.approx(mse(model.decode(carried), images).tolist(), rel=1e-4)
    deviation = codes_of(flowing, "3").var(0, correction=0).mean().sqrt()
    assert numbers["distance"] == pytest.approx([float((carried - codes)[0].norm() / 8**0.5 / deviation)] * 4, rel=1e-3)
    assert numbers["recognised"] == []
    drawn = [images, model.decode(codes), model.decode(carried)]
    columns = ["image", "rebuilt", "mean 0.5"]
    grid = figures.grid(torch.stack(drawn, 1), columns=columns, title="From 3 to 8", cell=96)
    assert half.figure(flowing, images).tobytes() == grid.tobytes()
    assert command("RUN", half, 4, "out.png") == [
        "genae", "transport", "RUN", "--data", "pictures.zip", "--from", "3", "--to", "8", "--count", "4",
        "--by", "mean", "--strengths", "0.5", "--out", "out.png",
    ]  # fmt: skip
    one = operation("transport", {"source": "3", "target": "8", "by": ["mean"]})
    assert [name for name, _ in one.carried(flowing, codes)] == ["mean 0.25", "mean 0.5", "mean 0.75", "mean"]
    assert one.is_ready(flowing)
    assert not replace(one, target="7").is_ready(flowing)
    with pytest.raises(GenaeError, match="a file holds the codes of one map at one strength"):
        operation("transport", {"source": "3", "target": "8"}).arrays(flowing, images)


def test_maps_are_measured(flowing: Session) -> None:
    """With a classifier that takes every third image for an 8."""

    def compute(images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(images), 1), torch.eye(10)[torch.where(torch.arange(len(images)) % 3 == 0, 8, 1)]

    classifier = FeatureNetwork("halves", "", "", "none", compute)
    measured = measure(flowing, Transport("3", "8"), classifier)
    assert list(measured) == ["reconstruction", "flow", "gaussian", "mean", "other 8"]
    model, data = flowing.model, flowing.data
    test = flowing.sets["3"].indices("test")
    codes, deviation = model.encode_data(data, test), codes_of(flowing, "3").var(0, correction=0).mean().sqrt()
    assert measured["mean"].recognised == pytest.approx(-(-len(test) // 3) / len(test))
    away = (8 + 9 * (codes - 3) / 4 - codes).square().mean().sqrt() / deviation
    assert measured["flow"].distance == pytest.approx(float(away), rel=1e-4)
    carried = model.decode(codes + codes_of(flowing, "8").mean(0) - codes_of(flowing, "3").mean(0))
    assert measured["mean"].mse == pytest.approx(float(mse(carried, data.images(test)).mean()), rel=1e-4)
    assert measured["reconstruction"].mse == pytest.approx(float(mse(model.decode(codes), data.images(test)).mean()))
    assert measured["reconstruction"].distance == 0
    assert all(measured[name].round_trip < 1e-5 for name in ("flow", "gaussian", "mean"))
    assert measured["other 8"].round_trip != measured["other 8"].round_trip, "NaN"
    assert measured["mean"].distance < measured["other 8"].distance
    without = measure(flowing, Transport("3", "8", ("mean",), (0.5,)), None)["mean 0.5"]
    assert without.recognised != without.recognised
    assert without.distance == pytest.approx(measured["mean"].distance / 2, rel=1e-4)


def test_attributes_and_what_lacks_them(session: Session, images: Tensor) -> None:
    data = session.data
    session._data = replace(data, attributes={"bold": torch.arange(len(data)) % 3 == 0})
    assert session.sets.names()[-1] == "not bold"
    assert torch.equal(session.sets["not bold"].has, ~session.sets["bold"].has)
    assert "not 3" in session.sets
    assert "not thin" not in session.sets
    Transport("not bold", "bold", ("gaussian",)).figure(session, images)
    with pytest.raises(GenaeError, match="has no flow that knows classes; genae prior RUN flow --given bold fits one"):
        Transport("not bold", "bold", ("flow",)).figure(session, images)


def test_another_source(session: Session, images: Tensor) -> None:
    """A folder's images are known by its name, and a flow by the name of the folder alone."""
    noise = open_data(torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    session.sets.add("some/noise", noise)
    carry = Transport("3", "some/noise", ("mean",), (1.0,))
    codes = session.model.encode(images)
    expected = session.model.encode_data(noise, noise.split("train")).mean(0) - codes_of(session, "3").mean(0)
    assert torch.allclose(dict(carry.carried(session, codes))["mean"], codes + expected, atol=1e-4)
    with pytest.raises(GenaeError, match="knows 'some/noise', which is not of its data: put both into one FOLDER"):
        replace(carry, by=("flow",)).figure(session, images)
    session.model.add_priors({"both": Scales(session.model.code_dim, ["3", "noise"])})
    assert torch.allclose(dict(replace(carry, by=("flow",)).carried(session, codes))["flow"], 1 + 2 * codes, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "3", "target": "3"}, "source and target are both '3'; expected two sets"),
        ({"source": "3", "target": "33"}, "digits has no class or attribute '33'; did you mean"),
        ({"source": "3", "target": "8", "by": ["flaw"]}, "by is 'flaw'; did you mean 'flow'"),
        ({"source": "3", "target": "8", "strengths": [2]}, r"strength is 2; expected 0 \(the picture as it is\) to 1"),
        ({"source": "3", "target": "8", "by": ["flow"]}, "genae prior RUN flow --given label fits one"),
        ({"source": "3", "target": "8", "prior": "normal"}, "the normal prior of run knows no classes"),
        ({"source": "3", "target": "8", "prior": "x"}, "has no prior 'x'"),
    ],
)
def test_errors(settings: dict[str, object], message: str, session: Session, images: Tensor) -> None:
    with pytest.raises(GenaeError, match=message):
        operation("transport", settings).figure(session, images)


def test_errors_of_a_flow(flowing: Session, images: Tensor) -> None:
    model, codes = flowing.model, flowing.model.encode(images)
    for ends, message in (
        (("3", "nine"), "the scales prior of run knows no class 'nine'"),
        (("3", "3"), "source and target are both '3'; expected two classes"),
        ((codes, codes), "a flow carries codes between two classes that it knows"),
    ):
        with pytest.raises(GenaeError, match=message):
            model.transport(codes, *ends)
    with pytest.raises(GenaeError, match="the mean map is of two sets of codes"):
        model.transport(codes, "3", "8", by="mean")
    with pytest.raises(GenaeError, match="'the source' has 4 codes to learn from; a map needs at least 10"):
        model.transport(codes, codes, codes, by="gaussian")
    with pytest.raises(GenaeError, match=r"strength is 1.5; expected 0 .* to 1"):
        model.transport(codes, "3", "8", strength=1.5)
    with pytest.raises(GenaeError, match=r"codes have shape \[4, 7\]; expected \[N, 8\]"):
        model.transport(codes[:, :7], "3", "8")
    data, few = flowing.data, flowing.data.split("train")[:9]
    flowing._data = replace(data, labels=torch.full_like(data.labels, 8).index_fill_(0, few, 3))
    with pytest.raises(GenaeError, match="'3' has 9 codes to learn from; a map needs at least 10 of each set"):
        Transport("3", "8", ("mean",)).figure(flowing, images)


def test_a_model_without_encoder(session: Session, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genae.protocol.Autoencoder.has_encoder", False)
    with pytest.raises(GenaeError, match="has no encoder"):
        Transport("3", "8").figure(session, images)
