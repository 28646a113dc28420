"""What the maps of `genae transport` give between pairs of classes, on the frozen codes of a trained run.

    python benchmarks/transport.py RUN --pairs 3-8 4-9 [--data-root FOLDER] [--priors flow flow-matching]

Carries test images of the first class of each pair to the second. Prints, for the flow of each prior and the maps in
closed form, and averaged over the pairs: the share that genae's classifier takes for the target, how far codes are
carried, the error of the carried images against the original ones, and the error of codes on a round trip, both in the
deviation of the source's codes. To compare, the same of the reconstructions and of other images of the target.
"""

import argparse
from collections import defaultdict
from functools import partial

import torch

from genae.model import load
from genae.operations import Session
from genae.operations.transport import Carried, Transport, measure
from genae.progress import silent


def main() -> None:
    """Read the arguments, measure every pair, print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--pairs", nargs="+", required=True, help="SOURCE-TARGET")
    parser.add_argument("--priors", nargs="*", default=[], help="priors with labels; none by default")
    parser.add_argument("--data-root")
    arguments = parser.parse_args()
    model = load(arguments.run)
    session = Session(model, arguments.run, partial(model.open_data, None, arguments.data_root))
    measured: dict[str, list[Carried]] = defaultdict(list)
    for source, target in (pair.split("-", 1) for pair in arguments.pairs):
        classifier = session.sets.classifier(target, silent)
        maps = [Transport(source, target, ("flow",), (1.0,), prior) for prior in arguments.priors]
        for transport in (Transport(source, target, ("gaussian", "mean"), (1.0,)), *maps):
            for name, values in measure(session, transport, classifier).items():
                named = name.replace("flow", f"flow, {transport.prior}")
                measured["others of the target" if name.startswith("other ") else named].append(values)
    print(f"{'':28} {'recognised':>10} {'distance':>9} {'MSE':>8} {'round trip':>11}")
    for name, rows in measured.items():
        recognised, distance, error, back = torch.tensor(rows).nanmean(0).tolist()
        print(f"{name:28} {recognised:10.1%} {distance:9.3f} {error:8.4f} {back:11.1e}")


if __name__ == "__main__":
    main()
