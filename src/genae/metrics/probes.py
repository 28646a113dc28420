"""How well features tell classes apart: nearest neighbour, linear support vector machine, logistic regression."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from genae.metrics.neighbours import nearest


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


def _accuracy(machine: Any, train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    machine.fit(train.double().numpy(), train_labels.numpy())
    return float(machine.score(test.double().numpy(), test_labels.numpy()))


PROBES: dict[str, Callable[..., float]] = {"1nn": one_nn, "knn": knn, "svm": linear_svm, "logistic": logistic}
