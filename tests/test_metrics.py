"""Metrics on tensors: test vectors, closed forms, and well-known packages on the same features."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from genae.data.sampler import mix_seed
from genae.latent.interpolate import lerp, slerp
from genae.metrics.code_statistics import code_statistics
from genae.metrics.frechet import Moments, frechet_distance, moments
from genae.metrics.inception_score import SplitScores, inception_score
from genae.metrics.kernel import kernel_distance, polynomial_mmd
from genae.metrics.memorisation import memorisation
from genae.metrics.neighbours import nearest
from genae.metrics.path_length import path_lengths, trimmed_mean
from genae.metrics.prdc import coverage, neighbour_radii
from genae.metrics.probes import linear_svm, logistic, one_nn
from genae.metrics.reconstruction import ms_ssim, mse, normalised_psnr, psnr, ssim
from genae.priors.gaussian import GaussianPrior

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "metric_vectors.json").read_text())


def t(*rows: object) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def named(cases: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["name"])


@named(VECTORS["frechet_gaussians"])
def test_frechet_distance_of_gaussians(case: dict[str, Any]) -> None:
    given = [torch.tensor(case[key], dtype=torch.float64) for key in ("mu1", "sigma1", "mu2", "sigma2")]
    assert frechet_distance(*given) == pytest.approx(case["expected"], abs=1e-12)


@named(VECTORS["frechet_features"])
def test_frechet_distance_of_features(case: dict[str, Any]) -> None:
    a, b = moments(t(*case["x"])), moments(t(*case["y"]))
    assert a.distance(b) == pytest.approx(case["expected"], abs=1e-12)
    assert frechet_distance(a.mean, a.covariance, b.mean, b.covariance) == pytest.approx(case["expected"], abs=1e-12)


def test_frechet_distance_of_singular_covariances_to_60_digits() -> None:
    # Orthonormal U, V of 3 columns in 8 dimensions with exact diagonals: S1 = U A U^T, S2 = V B V^T, and the trace of
    # the root is the sum of the singular values of sqrt(A) U^T V sqrt(B), here from mpmath with 60 digits.
    import mpmath

    rows = [[(3 * i * i + 5 * j + i * j * j) % 11 - 5 for j in range(8)] for i in range(6)]
    with mpmath.workdps(60):
        x, y = mpmath.matrix(rows[:3]), mpmath.matrix(rows[3:])  # factors F^T, exact integers
        eigenvalues = mpmath.eigsy((x * y.T) * (x * y.T).T, eigvals_only=True)
        root = sum(mpmath.sqrt(abs(value)) for value in eigenvalues)
        traces = sum(value**2 for row in rows for value in map(mpmath.mpf, row))
        expected = float(traces - 2 * root)
    f1, f2 = (torch.tensor(part, dtype=torch.float64) for part in (rows[:3], rows[3:]))
    zero = torch.zeros(8, dtype=torch.float64)
    assert frechet_distance(zero, f1.T @ f1, zero, f2.T @ f2) == pytest.approx(expected, abs=1e-10)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 12), st.integers(0, 1000))
def test_frechet_distance_is_a_distance(n: int, d: int, rank: int, seed: int) -> None:
    # Features of every rank below the dimension, and fewer rows than columns: the covariance is singular.
    mix = normal(min(rank, d), d, seed=seed + 1)
    a, b = (normal(n, min(rank, d), seed=seed + i) @ mix + i for i in (2, 3))
    first, second = moments(a), moments(b)
    assert first.distance(moments(a)) == pytest.approx(0, abs=1e-10)
    assert first.distance(second) == pytest.approx(second.distance(first), abs=1e-10)
    assert first.distance(second) > 0
    from_covariances = frechet_distance(first.mean, first.covariance, second.mean, second.covariance)
    assert first.distance(second) == pytest.approx(from_covariances, abs=1e-7)


def test_frechet_distance_agrees_with_the_packages() -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torch_fidelity.metric_fid import fid_statistics_to_metric
    from torchmetrics.image.fid import _compute_fid

    a, b = normal(400, 24) @ normal(24, 24, seed=1), normal(300, 24, seed=2) @ normal(24, 24, seed=3) + 0.3
    first, second = moments(a), moments(b)
    given = (first.mean, first.covariance, second.mean, second.covariance)
    ours = first.distance(second)
    arrays = [tensor.numpy() for tensor in given]
    assert calculate_frechet_distance(*arrays) == pytest.approx(ours, rel=1e-11)
    statistics = [{"mu": arrays[i], "sigma": arrays[i + 1]} for i in (0, 2)]
    fidelity = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert fidelity == pytest.approx(ours, rel=1e-11)
    assert float(_compute_fid(*given)) == pytest.approx(ours, rel=1e-11)


def test_the_packages_err_where_rows_are_few_and_ours_does_not() -> None:
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    x = normal(20, 64)
    a, b = moments(x), moments(x + 1)  # equal covariances of rank 19: the distance is that of the means, exactly 64
    assert a.distance(b) == pytest.approx(64, abs=1e-11)
    statistics = [{"mu": m.mean.numpy(), "sigma": m.covariance.numpy()} for m in (a, b)]
    error = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"] - 64
    assert abs(error) > 1e-8


@pytest.mark.parametrize("count", [3, 8, 9, 5000, 9000])
def test_streamed_moments_are_numpys(count: int) -> None:
    rows = normal(count, 8, seed=count) * 1e-3 + 1e3  # a mean far from zero: sums of squares would cancel
    streamed = Moments()
    for part in rows.split(7):
        streamed.add(part)
    streamed.finish()
    np.testing.assert_allclose(streamed.mean, rows.mean(0), rtol=1e-15)
    np.testing.assert_allclose(streamed.covariance, np.cov(rows, rowvar=False), rtol=1e-7, atol=1e-16)
    whole = moments(rows)
    assert torch.equal(whole.mean, streamed.mean), "how rows are cut into batches does not matter"
    assert torch.equal(whole.covariance, streamed.covariance)


def test_batch_order_does_not_matter() -> None:
    a, b = normal(9000, 12).float(), normal(5000, 12, seed=1).float()
    order = torch.randperm(9000, generator=torch.Generator().manual_seed(0))
    assert moments(a[order]).distance(moments(b)) == pytest.approx(moments(a).distance(moments(b)), rel=1e-12)


def test_moments_keep_few_rows() -> None:
    streamed = Moments()
    for _ in range(20):
        streamed.add(torch.zeros(1000, 4))
        assert sum(len(part) for part in streamed._waiting) <= 5096
    assert streamed.finish().count == 20_000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: moments(torch.zeros(1, 3)), "1 rows have no covariance"),
        (lambda: moments(torch.zeros(3)), r"shape \[3\]; expected \[B, D\]"),
        (lambda: frechet_distance(t(0.0), t([1.0]), t(0.0, 0.0), t([1.0])), r"shapes \[1\], \[1, 1\], \[2\]"),
        (lambda: frechet_distance(t(0.0), t([math.nan]), t(0.0), t([1.0])), "holds NaN"),
        (lambda: kernel_distance(torch.zeros(5, 2), torch.zeros(9, 2)), "subsets of 1000 out of 5 and 9 rows"),
        (lambda: neighbour_radii(torch.zeros(3, 2), 3), "3 images have no 3-th nearest neighbour"),
        (lambda: inception_score(torch.eye(3)), "3 images cannot be divided into 10"),
        (lambda: ms_ssim(torch.zeros(1, 1, 175, 200), torch.zeros(1, 1, 175, 200)), "175x200; its five scales need"),
    ],
)
def test_wrong_arguments_are_explained(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@named(VECTORS["kid_poly"])
def test_polynomial_mmd(case: dict[str, Any]) -> None:
    assert polynomial_mmd(t(*case["x"]), t(*case["y"])) == pytest.approx(case["unbiased"], abs=1e-12)


def test_kernel_distance_agrees_with_the_packages() -> None:
    from torch_fidelity.metric_kid import kernel_mmd
    from torchmetrics.image.kid import poly_mmd

    x, y = normal(50, 16), normal(50, 16, seed=1) + 0.2
    defaults = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None,
                "kid_kernel_poly_coef0": 1, "kid_kernel_mmd_est": "unbiased"}  # fmt: skip
    assert polynomial_mmd(x, y) == pytest.approx(float(poly_mmd(x, y)), rel=1e-12)
    assert polynomial_mmd(x, y) == pytest.approx(float(kernel_mmd(x.numpy(), y.numpy(), **defaults)), rel=1e-12)
    mean, deviation = kernel_distance(x, y, subsets=1, subset_size=50)
    assert (mean, deviation) == (pytest.approx(polynomial_mmd(x, y), rel=1e-12), 0)


def test_kernel_distance_is_seeded_and_leaves_the_global_generator_alone() -> None:
    x, y = normal(60, 4), normal(80, 4, seed=1)
    state = torch.random.get_rng_state()
    first = kernel_distance(x, y, 20, 30, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert kernel_distance(x, y, 20, 30, seed=1) == first
    assert kernel_distance(x, y, 20, 30, seed=2) != first


@named(VECTORS["inception_score"])
def test_inception_score(case: dict[str, Any]) -> None:
    p = t(*case["logits"]).softmax(1) if "logits" in case else t(*case["probs"])
    for splits in (1, 10):
        if expected := case.get(f"splits_{splits}"):
            wanted = (expected["mean"], expected.get("std", 0.0))
            assert inception_score(p, splits) == pytest.approx(wanted, abs=1e-12)


def test_inception_score_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = normal(203, 7)
    theirs = isc_features_to_metric(logits, splits=10, shuffle=False)
    wanted = (theirs["inception_score_mean"], theirs["inception_score_std"])
    assert inception_score(logits.softmax(1), 10) == pytest.approx(wanted, rel=1e-12)


def test_inception_score_streams() -> None:
    p = normal(203, 7).softmax(1)
    scores = SplitScores(203, 10, seed=4)
    for part in p.split(11):
        scores.add(part)
    assert scores.result() == pytest.approx(inception_score(p, 10, seed=4), rel=1e-13)


def test_inception_score_bounds() -> None:
    certain = torch.eye(10).repeat(10, 1)
    assert inception_score(certain, 1)[0] == pytest.approx(10)
    assert inception_score(torch.full((50, 10), 0.1), 5) == pytest.approx((1, 0))
    assert inception_score(certain, 10, seed=3) == inception_score(certain, 10, seed=3)


def test_class_sorted_images_are_shuffled_by_a_seed() -> None:
    sorted_by_class = torch.eye(10).repeat_interleave(100, 0)
    assert inception_score(sorted_by_class, 10)[0] == pytest.approx(1)
    assert inception_score(sorted_by_class, 10, seed=0)[0] > 9


def test_precision_and_recall_agree_with_torch_fidelity() -> None:
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, fake = normal(150, 6), normal(130, 6, seed=1) * 0.8 + 0.4
    precision, recall = calculate_precision_recall_full(fake, real, neighborhood=3)
    ours = coverage(real, fake)
    assert (ours.precision, ours.recall) == pytest.approx((precision, recall), abs=1e-7)
    assert 0 < ours.precision < 1
    assert 0 < ours.recall < 1


def test_density_and_coverage_by_their_definitions() -> None:
    real, fake, k = normal(40, 3), normal(30, 3, seed=1) + 0.5, 5
    radius = [sorted(math.dist(a, b) for b in real.tolist())[k] for a in real.tolist()]  # the 0th is itself
    inside = [[math.dist(a, b) <= r for b in fake.tolist()] for a, r in zip(real.tolist(), radius, strict=True)]
    ours = coverage(real, fake)
    assert ours.density == pytest.approx(sum(map(sum, inside)) / (k * 30))
    assert ours.coverage == pytest.approx(sum(map(any, inside)) / 40)


def test_equal_sets_cover_each_other_and_far_ones_do_not() -> None:
    x = normal(60, 4)
    assert coverage(x, x)[:2] == (1, 1)
    assert coverage(x, x).coverage == 1
    assert coverage(x, x + 100) == (0, 0, 0, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 5), st.integers(0, 99))
def test_nearest_is_exact(queries: int, references: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randint(4, (queries, d), generator=generator)  # few values: many ties
    b = torch.randint(4, (references, d), generator=generator)
    distance, index = nearest(a, b)
    slow = (a[:, None] - b[None]).double().square().sum(2)
    assert torch.equal(distance, slow.min(1).values.sqrt())
    assert index.tolist() == slow.numpy().argmin(1).tolist(), "the first of equal ones"


@pytest.mark.parametrize("spread", [0.1, 1e-2, 1e-4])
def test_nearest_where_more_than_four_are_within_float32s_rounding(spread: float) -> None:
    centres = 100 * normal(10, 50)
    a = centres.repeat(10, 1) + spread * normal(100, 50, seed=1)
    b = centres.repeat(40, 1) + spread * normal(400, 50, seed=2)
    slow = (a[:, None] - b[None]).square().sum(2)
    distance, index = nearest(a, b)
    assert index.tolist() == slow.argmin(1).tolist()
    assert torch.equal(distance, slow.min(1).values.sqrt())


def test_nearest_over_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(50, 6), normal(200, 6, seed=1)
    whole = nearest(a, b)
    monkeypatch.setattr("genae.metrics.neighbours.REFERENCES", 17)
    monkeypatch.setattr("genae.metrics.neighbours.QUERIES", 9)
    assert all(torch.equal(one, other) for one, other in zip(whole, nearest(a, b), strict=True))


def test_nearest_where_float32_cancels() -> None:
    references = t([1e4, 0.0], [1e4, 2e-3], [1e4, 1e-3])
    distance, index = nearest(t([1e4, 1.4e-3]), references)
    assert int(index) == 2
    assert float(distance) == pytest.approx(4e-4, rel=1e-9)


def test_nearest_far_from_the_origin() -> None:
    a, b = 1000 + 0.01 * normal(40, 32), 1000 + 0.01 * normal(500, 32, seed=1)
    assert torch.equal(nearest(a, b)[1], torch.cdist(a - 1000, b - 1000).min(1).indices)


def test_one_nearest_neighbour() -> None:
    v = VECTORS["one_nn"]
    train, test = t(*v["train"]), t(*v["test"])
    labels, wanted = torch.tensor(v["train_labels"]), torch.tensor(v["test_labels"])
    assert labels[nearest(test, train)[1]].tolist() == v["predictions"]
    assert one_nn(train, labels, test, wanted) == pytest.approx(v["accuracy"])


@pytest.mark.parametrize("probe", [linear_svm, logistic])
def test_linear_probes_tell_what_is_separable_and_only_that(probe: Callable[..., float]) -> None:
    x = normal(400, 5)
    straight, twisted = (x[:, 0] > 0.1).long(), (x[:, 0] * x[:, 1] > 0).long()
    assert probe(x[:300], straight[:300], x[300:], straight[300:]) > 0.94
    assert probe(x[:300], twisted[:300], x[300:], twisted[300:]) < 0.7


def test_the_support_vector_machine_sees_features_as_they_are_and_the_regression_does_not() -> None:
    x = normal(400, 2)
    labels = (x[:, 0] > 0.5).long()
    small = x * torch.tensor([1e-4, 1.0])  # what tells the classes apart is hidden by its scale
    assert linear_svm(small[:300], labels[:300], small[300:], labels[300:]) < 0.8
    assert logistic(small[:300], labels[:300], small[300:], labels[300:]) > 0.95


def test_the_support_vector_machine_minimises_its_objective() -> None:
    """Squared hinge, C = 0.02, the constant's weight among the squares: minimised here by other means."""
    x, noise = 0.2 * normal(300, 3), normal(300, 1, seed=1)[:, 0]
    labels = (5 * x[:, 0] + 0.5 * noise > 0.8).long()
    rows, signs = torch.cat([x, torch.ones(300, 1, dtype=x.dtype)], 1), 2.0 * labels - 1

    def best(c: float) -> torch.Tensor:
        w = torch.zeros(4, dtype=x.dtype, requires_grad=True)
        minimiser = torch.optim.LBFGS([w], max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            minimiser.zero_grad()
            value = w.square().sum() / 2 + c * (1 - signs * (rows @ w)).clamp_min(0).square().sum()
            value.backward()
            return value

        minimiser.step(loss)
        return w.detach()

    test = normal(4000, 3, seed=2)
    right, other = ((test @ w[:3] + w[3] > 0).long() for w in (best(0.02), best(1.0)))
    assert linear_svm(x, labels, test, right) > 0.998
    assert linear_svm(x, labels, test, other) < 0.99


def test_memorisation_tells_copies_from_new_images() -> None:
    train, held_out, new = (normal(300, 20, seed=seed) for seed in (0, 1, 2))
    honest = memorisation(new, held_out, train)
    assert honest.copies < 0.06
    assert honest.nearest == pytest.approx(memorisation(held_out, held_out, train).nearest, rel=0.1)
    half = torch.cat([new[:150], train[:150] + 0.01])
    assert memorisation(half, held_out, train).copies == pytest.approx(0.5, abs=0.03)
    assert memorisation(train[:100], held_out, train).nearest == 0


def test_code_statistics() -> None:
    assert code_statistics(t([0.0, 0.0], [2.0, 0.0])).rank == pytest.approx(1)
    spread = code_statistics(t([1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]))
    assert spread.rank == pytest.approx(2)
    assert spread.deviation == pytest.approx((2 / 3) ** 0.5)
    assert code_statistics(torch.ones(5, 3)) == (0, 1)


def test_path_lengths_of_a_prior_have_closed_forms() -> None:
    """w = 3 z and pixels 0.01 w: straight lines in w have the length of their ends' difference, circles that of the
    arc."""
    from genae.metrics.features import FeatureNetwork
    from genae.metrics.path_length import by_features, prior_path_lengths

    class Tripled(GaussianPrior):
        def latent(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
            z = torch.randn(count, 4, generator=generator)
            return z / z.norm(dim=1, keepdim=True)

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return 3 * z

    network = FeatureNetwork("pixels", "pixels", "", "none", lambda images: (images.flatten(1) / 127.5 - 1, None))
    perceiver = by_features(network)
    prior = Tripled(4)
    decode = lambda w: 0.01 * w.view(-1, 4, 1, 1)  # noqa: E731
    found: dict[str, list[torch.Tensor]] = {}
    for kind, values in prior_path_lengths(prior, decode, perceiver.distance, 40, 0):
        found.setdefault(kind, []).append(values)
    assert {kind: sum(map(len, parts)) for kind, parts in found.items()} == dict.fromkeys(
        ("z_full", "z_end", "w_full", "w_end"), 40
    )
    generator = torch.Generator().manual_seed(mix_seed("paths", 0))
    a, b = (prior.latent(16, generator).double() for _ in range(2))
    chord = (0.03 * (a - b)).square().mean(1)
    arc = (0.03 * torch.acos((a * b).sum(1))).square() / 4
    for end in ("full", "end"):  # steps of 1e-4 keep few digits of float32 pixels
        for space, expected in (("w", chord), ("z", arc)):
            assert torch.allclose(found[f"{space}_{end}"][0], expected, rtol=0.1)
            assert float(found[f"{space}_{end}"][0].mean()) == pytest.approx(float(expected.mean()), rel=0.02)


def test_perceptual_path_lengths_use_lpips_on_images_of_at_most_256_pixels() -> None:
    from genae.metrics.lpips import Lpips
    from genae.metrics.path_length import by_lpips

    torch.manual_seed(0)
    lpips = Lpips()
    for p in lpips.parameters():
        torch.nn.init.normal_(p, std=0.05)
    perceiver = by_lpips(lpips)
    assert perceiver.suffix == "other-weights"
    assert by_lpips(Lpips(published=True)).suffix == ""
    x, y = torch.rand(2, 1, 3, 512, 512).unbind(0)
    small = [torch.nn.functional.avg_pool2d(image, 2) for image in (x, y)]
    assert torch.allclose(perceiver.distance(x, y), lpips(*small))
    assert torch.allclose(perceiver.distance(*small), lpips(*small))


def test_path_lengths_of_a_linear_generator() -> None:
    v = VECTORS["ppl"]
    w, a, b, at = t(*v["W"]), t(*v["z0"]), t(*v["z1"]), t(*v["t"])

    def lengths(path: Any) -> torch.Tensor:
        return path_lengths(lambda z: z @ w.T, lambda x, y: (x - y).square().sum(1), path, a, b, at)

    assert lengths(lerp).tolist() == pytest.approx(v["lerp"]["per_sample"], rel=1e-6)
    assert lengths(slerp).tolist() == pytest.approx(v["slerp"]["finite_difference_per_sample"], rel=1e-6)
    assert trimmed_mean(t(*v["discard"]["distances"])) == v["discard"]["mean_lower_higher"]


def test_psnr_and_mse() -> None:
    x, y = t([[[0.0, 0.5], [1.0, 0.25]]]), t([[[0.5, 0.5], [0.5, 0.25]]])
    assert float(mse(x, y)) == 0.125
    assert float(psnr(x, y, data_range=1)) == pytest.approx(9.030899869919436)  # vector
    assert math.isinf(float(psnr(x, x)))
    # The same images in [-1, 1]: four times the MSE, the same PSNR.
    assert float(mse(2 * x - 1, 2 * y - 1)) == pytest.approx(0.5)
    assert float(psnr(2 * x - 1, 2 * y - 1)) == pytest.approx(9.030899869919436)
    # Of what torchvision's normalisation makes of images in [0, 1].
    a, b = torch.rand(2, 4, 3, 5, 5, dtype=torch.float64)
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    expected = 10 * (1 / (normalise(a) - normalise(b)).square().flatten(1).mean(1)).log10()
    assert normalised_psnr(2 * a - 1, 2 * b - 1).tolist() == pytest.approx(expected.tolist())


def ssim_images() -> tuple[torch.Tensor, torch.Tensor]:
    i, j = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    x = ((7 * i + 13 * j + i * j) % 17).double() / 16
    return x, (0.8 * x + 0.05 * ((3 * i + 5 * j) % 4).double()).clamp(0, 1)


def test_ssim_vector() -> None:
    x, y = (image[None, None] for image in ssim_images())
    assert float(ssim(x, y, 0, 1)) == pytest.approx(0.9634542805339138, abs=1e-12)  # vector
    assert float(ssim(x, x, 0, 1)) == pytest.approx(1.0)
    assert float(ssim(2 * x - 1, 2 * y - 1)) == pytest.approx(0.9634542805339138, abs=1e-12), "as in [0, 1]"


def test_ssim_agrees_with_scikit_image() -> None:
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, 3, 20, 27))
    expected = structural_similarity(
        (a + 1) / 2,
        (b + 1) / 2,
        channel_axis=0,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert float(ssim(torch.from_numpy(a)[None], torch.from_numpy(b)[None])) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_images_smaller_than_the_window() -> None:
    x = torch.rand(2, 1, 8, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(ssim(x, x), torch.ones(2, dtype=torch.float64))
    assert (ssim(x, x.flip(-1)) < 0.9).all()


def slow_ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """One channel in [0, 1], with scipy's Gaussian filter."""
    from scipy.ndimage import gaussian_filter

    def local(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    product = 1.0
    for number, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if number:
            x, y = (i[: i.shape[0] // 2 * 2, : i.shape[1] // 2 * 2] for i in (x, y))
            x, y = ((i[::2, ::2] + i[1::2, ::2] + i[::2, 1::2] + i[1::2, 1::2]) / 4 for i in (x, y))
        mx, my = local(x), local(y)
        vx, vy, vxy = local(x * x) - mx**2, local(y * y) - my**2, local(x * y) - mx * my
        structure = (2 * vxy + 0.03**2) / (vx + vy + 0.03**2)
        luminance = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        product *= max((structure * luminance if number == 4 else structure).mean(), 0) ** weight
    return product


def test_ms_ssim() -> None:
    ramp = torch.linspace(-1, 1, 190, dtype=torch.float64)
    x = (torch.sin(9 * ramp[:, None] + 5 * ramp[None, :177]) * 0.8)[None, None]
    y = x * 0.8 + 0.1 * normal(1, 1, 190, 177)
    expected = slow_ms_ssim(*((image[0, 0].numpy() + 1) / 2 for image in (x, y)))
    assert float(ms_ssim(x, y)) == pytest.approx(expected, abs=1e-12)
    assert float(ms_ssim(x, x)) == pytest.approx(1)
    both = ms_ssim(torch.cat([x, x], 1), torch.cat([x, y], 1))
    assert float(both) == pytest.approx((1 + float(ms_ssim(x, y))) / 2)
