"""The anomaly detector: errors of reconstructions, and rarity or density of codes, against those of held-out images."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genae.data.sources import ImageData
from genae.errors import GenaeError
from genae.metrics.reconstruction import mse
from genae.model import Model
from genae.progress import Progress
from genae.storage import load_tensors, save_tensors, weights_digest

RATE = 0.01
"""Share of held-out images that the threshold calls anomalous."""
WATCHED = 768  # held-out images, at most, whose pixels say what a large error is


class Anomalies(NamedTuple):
    """What `Detector.judge` says of images, a row for each."""

    score: Tensor
    """[N]: the larger of error and rarity, or with a likelihood of error and nats, as logarithms and in standard
    deviations of held-out images."""
    error: Tensor
    """[N]: mean squared error of the reconstruction, values in [-1, 1]."""
    rarity: Tensor
    """[N]: squared Mahalanobis distance of the code to the training codes."""
    nats: Tensor
    """[N]: -log p(code) per dimension of the code, under the prior that is the likelihood; empty without one."""
    anomalous: Tensor
    """[N] booleans: the score is above the threshold."""
    heat: Tensor
    """[N, 1, H, W] in [0, 1]: where the reconstruction fails; 1 is as bad as one held-out pixel in a thousand."""


class Detector:
    """Learned from a model's training codes and, for thresholds, from held-out (validation) images.

    The covariance of codes is Ledoit and Wolf's (2004). ``threshold`` is passed by the share `RATE` of held-out images.
    ``likelihood`` is a prior with a density (`Model.densities`), which takes the place of rarity in the score.
    """

    def __init__(self, model: Model, learned: dict[str, Tensor], likelihood: str = "") -> None:
        self.model = model
        self.learned = learned
        self.likelihood = likelihood
        self.threshold = float(learned["threshold"])

    @classmethod
    def learn(cls, model: Model, data: ImageData, run: Path | None = None, likelihood: str = "") -> "Detector":
        """From the images of training; kept in the run's ``codes/``, where it is found again. Raises `GenaeError`."""
        if not model.spaces:
            raise GenaeError(f"{model.name} ({model.config.model}) has no encoder: it cannot judge images")
        of = f"{model.digest}-{data.digest}"
        if likelihood:
            of += f"-{weights_digest(model.density(likelihood))}"
        path = run / "codes" / f"anomaly-{of}.safetensors" if run else None
        if path and path.exists():
            return cls(model, load_tensors(path)[0], likelihood)
        from sklearn.covariance import LedoitWolf

        held_out = data.split("validation")
        fitted = LedoitWolf().fit(model.training_codes(data, run)[:20_000].double().numpy())
        learned = {"mean": torch.as_tensor(fitted.location_), "precision": torch.as_tensor(fitted.precision_)}
        parts, watched = [], []
        for start, part in zip(range(0, len(held_out), model.batch), held_out.split(model.batch), strict=True):
            *seen, wrong = _seen(model, data.images(part), learned, likelihood)
            parts.append(seen)
            if start < WATCHED:
                watched.append(wrong[: WATCHED - start].flatten())
        error, rarity, nats = (torch.cat(column) for column in zip(*parts, strict=True))
        if likelihood:
            learned["lowest"] = nats.min()
            learned["typical"] = (nats.median() - nats.min()).clamp_min(1e-6)
        logs = _logs(error, rarity, nats, learned)
        learned["centre"] = logs.mean(1)
        learned["spread"] = logs.std(1).clamp_min(1e-6)
        learned["threshold"] = _score(logs, learned).quantile(1 - RATE)
        heat = torch.cat(watched)
        learned["worst"] = heat.sort().values[int(0.999 * (len(heat) - 1))]
        if path:
            save_tensors(path, learned, {})
        return cls(model, learned, likelihood)

    def judge(self, images: Tensor) -> Anomalies:
        """Images [N, C, H, W] in [-1, 1]."""
        error, rarity, nats, heat = _seen(self.model, images, self.learned, self.likelihood)
        score = _score(_logs(error, rarity, nats, self.learned), self.learned)
        worst = self.learned["worst"].clamp_min(1e-12)
        return Anomalies(score, error, rarity, nats, score > self.threshold, (heat / worst).clamp(0, 1))

    def judge_data(self, data: ImageData, indices: Tensor, progress: Progress) -> Anomalies:
        """Images of a data set, never all of them as floats; the heat of all would not fit, so there is none."""
        judged: list[Anomalies] = []
        done = 0
        for part in indices.split(self.model.batch):
            judged.append(self.judge(data.images(part))._replace(heat=torch.zeros(0)))
            done += len(part)
            progress("images judged", done, len(indices))
        return _joined(judged)


def _seen(
    model: Model, images: Tensor, learned: dict[str, Tensor], likelihood: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Error, rarity and nats [N] of images, float64, and the blurred squared errors of their pixels [N, 1, H, W]."""
    from torchvision.transforms.v2 import functional as tv  # only here: most commands start without it

    codes = model.encode(images)
    x_hat = model.decode(codes)
    away = codes.double() - learned["mean"]
    rarity = ((away @ learned["precision"]) * away).sum(1)
    nats = -model.log_density(codes, likelihood).double() / codes.shape[1] if likelihood else torch.zeros(0)
    wrong = (x_hat - images).square().mean(1, keepdim=True)
    sigma = max(images.shape[-2:]) / 32
    blurred = tv.gaussian_blur(wrong, [2 * round(2 * sigma) + 1] * 2, [sigma] * 2)
    return mse(x_hat, images).double().clamp_min(1e-12), rarity.clamp_min(1e-12), nats, blurred


def _logs(error: Tensor, rarity: Tensor, nats: Tensor, learned: dict[str, Tensor]) -> Tensor:
    """Logarithms [2, N] of the error, and of the rarity or, with a likelihood, of how far nats lie above the lowest.

    Rarity is twice the excess of a Gaussian's nats over those at its mean. Of other densities the lowest nats are those
    of a held-out image, and the logarithm begins at the median's excess, so that it is smooth there.
    """
    excess = (nats - learned["lowest"]).clamp_min(0) + learned["typical"] if len(nats) else rarity
    return torch.stack([error, excess]).log()


def _score(logs: Tensor, learned: dict[str, Tensor]) -> Tensor:
    return ((logs - learned["centre"][:, None]) / learned["spread"][:, None]).amax(0)


def _joined(parts: Sequence[Anomalies]) -> Anomalies:
    return Anomalies(*(torch.cat(column) for column in zip(*parts, strict=True)))
