"""How well features tell classes apart: nearest neighbours, linear support vector machine, logistic regression."""

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar, Protocol

from torch import Tensor

from genae.metrics.metric import Measured, ModelMetric
from genae.metrics.neighbours import nearest
from genae.metrics.records import CODE

if TYPE_CHECKING:
    import numpy as np

    from genae.metrics.of_model import ModelEvaluation


class Probe(ModelMetric):
    """Test accuracy of a classifier of the encoder's features, for each layer that was chosen.

    Numbers from other layers than the code bear the layer's name: ``1nn-long``. The fingerprint of a linear probe whose
    solver stopped before it had converged says ``converged`` False.
    """

    needs = frozenset({"labels"})
    accuracy: ClassVar[Callable[..., float]]

    def measure_model(self, evaluation: "ModelEvaluation") -> Iterator[Measured]:
        """A number for every layer."""
        from sklearn.exceptions import ConvergenceWarning

        lesson = evaluation.lesson
        for layer, train, test in evaluation.layer_features:
            evaluation.progress(f"{self.name} of {layer} features", 0, 1)
            with warnings.catch_warnings(record=True) as raised:
                warnings.simplefilter("always")
                accuracy = type(self).accuracy(train, lesson.labels, test, lesson.test_labels)
            unfinished = {"converged": False} if any(w.category is ConvergenceWarning for w in raised) else {}
            for other in (w for w in raised if w.category is not ConvergenceWarning):
                warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
            protocol = {**lesson.protocol, "features": layer, "code_dim": train.shape[1], **unfinished}
            yield Measured(CODE, self.name if layer == "short" else f"{self.name}-{layer}", accuracy, protocol)


def one_nn(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    """Share of test rows [N, D] that have the label of their nearest training row [M, D]; exact, ties to the first."""
    return float((train_labels[nearest(test, train)[1]] == test_labels).double().mean())


def knn(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, k: int = 20) -> float:
    """Test accuracy of scikit-learn's KNeighborsClassifier: a vote of the ``k`` nearest training rows, Euclidean."""
    from sklearn.neighbors import KNeighborsClassifier

    machine = KNeighborsClassifier(min(k, len(train)), algorithm="brute")
    return _accuracy(machine, train, train_labels, test, test_labels)


def linear_svm(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, c: float = 0.02) -> float:
    """Test accuracy of scikit-learn's LinearSVC (one against the rest, squared hinge) on features as they are.

    ``c`` and the rest are the protocol of ALAE's Table 2 (the authors' code): at most 5,000 iterations, dual.
    """
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=c, max_iter=5000, dual=True, random_state=0)
    return _accuracy(machine, train, train_labels, test, test_labels)


def logistic(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    """Test accuracy of scikit-learn's LogisticRegression (multinomial, C = 1) on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    machine = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _accuracy(machine, train, train_labels, test, test_labels)


class _Machine(Protocol):
    """A classifier of scikit-learn."""

    def fit(self, x: "np.ndarray", y: "np.ndarray") -> object: ...

    def score(self, x: "np.ndarray", y: "np.ndarray") -> float: ...


def _accuracy(machine: _Machine, train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    machine.fit(train.double().numpy(), train_labels.numpy())
    return float(machine.score(test.double().numpy(), test_labels.numpy()))


PROBES: dict[str, Callable[..., float]] = {"1nn": one_nn, "knn": knn, "svm": linear_svm, "logistic": logistic}


class OneNn(Probe):
    """``1nn``."""

    accuracy = staticmethod(one_nn)


class Knn(Probe):
    """``knn``."""

    accuracy = staticmethod(knn)


class Svm(Probe):
    """``svm``."""

    accuracy = staticmethod(linear_svm)


class Logistic(Probe):
    """``logistic``."""

    accuracy = staticmethod(logistic)
