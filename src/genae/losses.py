"""Objectives as pure functions: the equation stands above each.

Squared costs are means over elements and critic losses are means over patches (see `mean`): the published weight
0.001 of the adversarial term presumes it. Everything is computed in float32, whatever the precision of the networks.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from genae import distributed

ADVERSARIAL = ("non-saturating", "ratio")  # the kinds of `generator_loss`
PERCEPTUAL = ("classifier", "lpips")  # the networks of a `PerceptualTerm`: genae's own of the data, and VGG-16


def in_float32(x: Tensor) -> AbstractContextManager[object]:
    """A block without autocast on the device of ``x``: nothing to do where only shapes are computed."""
    return nullcontext() if x.device.type == "meta" else torch.autocast(x.device.type, enabled=False)


def in_float64(x: Tensor) -> Tensor:
    """``x`` in double precision: where it is, or on the CPU where its device has none, as Apple's GPUs (``mps``)."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def mean(values: Tensor) -> Tensor:
    """The one reduction of every objective here: the mean over batch and elements, in float32.

    With sums over the 3,072 values of a 32 x 32 colour image, a critic weighted by 0.001 would have no effect, while
    the papers' tables show that it decides the result.
    """
    return values.float().mean()


def mse(x: Tensor, target: Tensor) -> Tensor:
    """mean (x - target)^2. Any shape; images in [-1, 1] or codes."""
    return mean((x.float() - target.float()).square())


def mean_absolute_error(x: Tensor, target: Tensor) -> Tensor:
    """mean |x - target|. Any shape; images in [-1, 1]."""
    return mean((x.float() - target.float()).abs())


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(real) - log(1 - D(fake)) = softplus(-C(real)) + softplus(C(fake)), with D = sigmoid(C).

    ``real`` and ``fake`` are the critic's logits, any shape. Goodfellow et al. 2014, Eq. 1; SWAE Eq. 3 and 6.
    """
    return mean(F.softplus(-real.float())) + mean(F.softplus(fake.float()))


def generator_loss(fake: Tensor, kind: str = "non-saturating") -> Tensor:
    """What the generating side minimises, given the critic's logits on its output.

    ``non-saturating``: -log D(fake) = softplus(-C(fake)) (SWAE Algorithm 1).
    ``ratio``: -log(D(fake) / (1 - D(fake))) = -C(fake) (AAAE's log-ratio, Eq. 7).
    """
    if kind == "non-saturating":
        return mean(F.softplus(-fake.float()))
    if kind == "ratio":
        return -mean(fake)
    raise ValueError(f"generator_loss: kind is {kind!r}; expected 'non-saturating' or 'ratio'")


def balanced(error: Tensor, deceit: Tensor, at: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """The gradient of error + lambda deceit by x, and lambda = weight ||grad error|| / ||grad deceit||, a scalar.

    Both losses are functions of ``at``, the reconstructions [B, ...] as a leaf. Esser, Rombach, Ommer 2021 (VQGAN),
    Eq. 7, but with gradients by the reconstructions and not by the decoder's last layer: so the squares of the parts
    of a batch can be added over processes, any decoder will do, and there is one backward pass through each loss.
    """
    by_error, by_deceit = (torch.autograd.grad(loss, at)[0].float() for loss in (error, deceit))
    images = len(at)  # losses are means over the images of this process: times their number, they are sums
    squares = torch.stack([(images * gradient).square().sum() for gradient in (by_error, by_deceit)])
    of_error, of_deceit = distributed.summed(squares).sqrt().unbind()
    scale = weight * of_error / of_deceit.clamp_min(torch.finfo(torch.float32).tiny)
    return by_error + scale * by_deceit, scale


def with_gradient(value: Tensor, gradient: Tensor, x: Tensor) -> Tensor:
    """A scalar that is ``value``, and whose gradient by ``x`` is ``gradient``, of the shape of x."""
    return value.detach() + ((x.float() - x.detach().float()) * gradient).sum()


def unit_length(maps: Tensor) -> Tensor:
    """Features [B, C, ...] divided by their length over channels; places where all are 0 stay 0."""
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    # Kept from 0, where the square root has no derivative.
    return maps / (maps.square().sum(1, keepdim=True).clamp_min(1e-20).sqrt() + 1e-10)


class PerceptualTerm:
    """The distance of images in the features of a frozen network, beside the error of their values.

    ``network`` is a name of `PERCEPTUAL`, ``weight`` its weight beside the mean squared (or absolute) error. Zhang et
    al. 2018. The network is no part of the model: it is neither trained nor saved, and a training opens it.
    """

    def __init__(self, network: str, weight: float) -> None:
        self.network = network
        self.weight = weight
        self.digest = ""
        """Hash of the open network's weights."""
        self._distance: Callable[[Tensor, Tensor], Tensor] | None = None

    def open(self, distance: Callable[[Tensor, Tensor], Tensor], digest: str) -> None:
        """``distance``: two batches of images [B, C, H, W] in [-1, 1] -> [B], differentiable in the first."""
        self._distance, self.digest = distance, digest

    def __call__(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """The mean distance; 0 on PyTorch's device ``meta``, where a network that is not open is not missed."""
        if x.device.type == "meta":
            return 0 * mean(x_hat)
        if self._distance is None:
            raise RuntimeError(f"the network {self.network} of the perceptual term is not open; train opens it")
        return mean(self._distance(x_hat, x))

    def __deepcopy__(self, memo: object) -> Self:
        return self  # a copy of a model compares in the same network


def perceptual_term(network: str | None, weight: float) -> PerceptualTerm | None:
    """That of two settings; None without a network. Raises ValueError for one setting without the other."""
    if network is None and weight == 0:
        return None
    if network not in PERCEPTUAL:
        raise ValueError(
            f"perceptual is {network or 'none'}, with perceptual-weight {weight}; expected {' or '.join(PERCEPTUAL)}"
        )
    if not 0 < weight < math.inf:
        raise ValueError(f"perceptual-weight is {weight} with perceptual {network}; expected a number above 0")
    return PerceptualTerm(network, weight)


def gradient_penalty(critic: Callable[[Tensor], Tensor], at: Tensor, target: float = 1.0) -> Tensor:
    """mean (||grad_x D(x)||_2 - target)^2 over the rows x of ``at`` [B, ...]; Gulrajani et al. 2017, Eq. 3.

    Differentiable in the critic's parameters; in float32, also inside autocast.
    """
    with in_float32(at):
        x = at.detach().float().requires_grad_()
        (slope,) = torch.autograd.grad(critic(x).float().sum(), x, create_graph=True)
        return mean((slope.flatten(1).norm(dim=1) - target).square())


def squared_slope(values: Tensor, x: Tensor) -> Tensor:
    """R1: the mean over the batch of ||grad_x D(x)||^2, the sum of squares over an image.

    ``values`` [B, ...] are D's for ``x`` [B, ...], which requires gradients. Differentiable in D's parameters; in
    float32, if ``values`` were computed in it. Mescheder, Geiger, Nowozin 2018, Eq. 9.
    """
    with in_float32(x):
        (slope,) = torch.autograd.grad(values.float().sum(), x, create_graph=True)
        return slope.float().square().flatten(1).sum(1).mean()


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The mean over rows of `gaussian_kls`."""
    return gaussian_kls(mean, log_variance).mean()


def gaussian_kls(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_variance)) || N(0, I)) of each row, [B], in nats; both [B, D] or [B, c, h, w].

    (exp(v) + m^2 - 1 - v) / 2, summed over dimensions. Kingma and Welling 2014, appendix B.
    """
    m, v = mean.float(), log_variance.float()
    return ((v.exp() + m.square() - 1 - v) / 2).flatten(1).sum(1)


def cosine_distance(codes: Tensor, target: Tensor) -> Tensor:
    """1 - the cosine of the angle between the rows of both, [B, D] or [B, c, h, w]; its mean over the batch."""
    return 1 - mean(F.cosine_similarity(codes.float().flatten(1), target.float().flatten(1)))


def batch_divergence(codes: Tensor) -> Tensor:
    """KL(N(m, diag s^2) || N(0, I)) in nats, its mean over dimensions; m and s are mean and deviation of each dimension
    over the batch of codes [B, D] or [B, c, h, w].

    (s^2 + m^2 - 1) / 2 - log s. Ulyanov, Vedaldi, Lempitsky 2018 (AGE), Eq. 9, which is the sum. The batch is that of
    all processes.
    """
    rows = codes.float().flatten(1)
    m = _mean_over_processes(rows)
    variance = _mean_over_processes((rows - m.detach()).square())  # whose derivative by m is 0
    return ((variance + m.square() - 1 - variance.clamp_min(1e-12).log()) / 2).mean()


def _mean_over_processes(rows: Tensor) -> Tensor:
    """The mean [D] of the rows [B, D] of all processes.

    Its gradient is that of the mean of one's own, because the loop averages gradients over processes, each weighted by
    its number of rows.
    """
    own = rows.mean(0)
    if not distributed.active():
        return own
    with torch.no_grad():
        total, count = distributed.summed(torch.stack([rows.sum(0), torch.full_like(own, len(rows))]))
    return own + (total / count - own).detach()


def normal_log_density(z: Tensor, dimensions: int | Tensor) -> Tensor:
    """log N(z; 0, I) of each row, [B], in nats: -(||z||^2 + D log 2 pi) / 2; z [B, D].

    ``dimensions`` is D, or how many of z's numbers are not always zero.
    """
    return -(z.float().square().sum(1) + dimensions * math.log(2 * math.pi)) / 2


def gaussian_log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(z; mean, diag exp(log_variance)), in nats, over the last dimension: [..., D] -> [...]."""
    z, m, v = z.float(), mean.float(), log_variance.float()
    return -((z - m).square() * (-v).exp() + v + math.log(2 * math.pi)).sum(-1) / 2


def bernoulli_kl(logits: Tensor, rate: float) -> Tensor:
    """Mean over rows of KL(Bernoulli(sigmoid(l)) || Bernoulli(rate)), in nats; logits [B, D].

    p (log p - log r) + (1 - p) (log(1 - p) - log(1 - r)), summed over dimensions.
    """
    logits = logits.float()
    p = logits.sigmoid()
    there, absent = F.logsigmoid(logits) - math.log(rate), F.logsigmoid(-logits) - math.log1p(-rate)
    return (p * there + (1 - p) * absent).sum(1).mean()


def edge_weights(x: Tensor, block: int) -> Tensor:
    """PatchVAE's L_w: weights [B, C, H, W], the strength of edges in blocks of ``block`` pixels; 1 on average.

    |4 x - left - right - above - below|, averaged over each block of each channel and divided by its mean over the
    image; a channel without edges has weights of 1. Section 3.4.
    """
    with torch.no_grad():
        padded = F.pad(x.float(), (1, 1, 1, 1), mode="replicate")
        beside = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:] + padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
        strength = F.avg_pool2d((4 * x.float() - beside).abs(), block)
        average = strength.mean((2, 3), keepdim=True)
        weights = torch.where(average > 1e-6, strength / average.clamp_min(1e-6), torch.ones_like(strength))
        return weights.repeat_interleave(block, 2).repeat_interleave(block, 3)


MMD_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def mmd(x: Tensor, y: Tensor, c: float) -> Tensor:
    """Unbiased squared maximum mean discrepancy of x [N, D] and y [M, D] under k(a, b) = c / (c + ||a - b||^2).

    Mean of k over pairs of different x + the same of y - 2 mean of k over all (x, y). Tolstikhin et al. 2018,
    Algorithm 2.
    """
    return _mmd(*_squared_distances(x, y), [c])


def multiscale_mmd(x: Tensor, y: Tensor, variance: float = 1.0) -> Tensor:
    """Sum of `mmd` over c = 2 D variance s, s in `MMD_SCALES`: the authors' choice for y ~ N(0, variance I)."""
    return _mmd(*_squared_distances(x, y), [2 * x.shape[1] * variance * scale for scale in MMD_SCALES])


def _mmd(xx: Tensor, yy: Tensor, xy: Tensor, constants: Sequence[float]) -> Tensor:
    def within(d: Tensor, c: float) -> Tensor:
        return ((c / (c + d)).sum() - len(d)) / (len(d) * (len(d) - 1))  # the diagonal's kernel is 1

    return torch.stack([within(xx, c) + within(yy, c) - 2 * (c / (c + xy)).mean() for c in constants]).sum()


def _squared_distances(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Within x, within y, and between: three products, however many kernels they serve."""
    with in_float32(x):
        x, y = x.float(), y.float()
        a, b = x.square().sum(1), y.square().sum(1)
        xx, yy = (r[:, None] + r - 2 * v @ v.T for r, v in ((a, x), (b, y)))
        between = a[:, None] + b - 2 * x @ y.T
    eye = (torch.eye(len(v), dtype=torch.bool, device=v.device) for v in (x, y))
    xx, yy = (d.clamp_min(0).masked_fill(diagonal, 0) for d, diagonal in zip((xx, yy), eye, strict=True))
    return xx, yy, between.clamp_min(0)
