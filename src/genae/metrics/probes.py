"""How well features tell classes apart: nearest neighbour, linear support vector machine."""

from torch import Tensor

from genae.metrics.neighbours import nearest


def one_nn(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    """Share of test rows [N, D] that have the label of their nearest training row [M, D]; exact, ties to the first."""
    return float((train_labels[nearest(test, train)[1]] == test_labels).double().mean())


def linear_svm(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, seed: int = 0) -> float:
    """Test accuracy of scikit-learn's LinearSVC (one against the rest, squared hinge, C = 1) on standardised rows."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    machine = make_pipeline(StandardScaler(), LinearSVC(random_state=seed, dual=len(train) < train.shape[1]))
    machine.fit(train.double().numpy(), train_labels.numpy())
    return float(machine.score(test.double().numpy(), test_labels.numpy()))
