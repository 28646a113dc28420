"""Operations by name: settings, errors, command lines."""

from typing import Any

import pytest
import torch

from genae.errors import GenaeError
from genae.operations import OPERATIONS, Session, operation


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("reconstrukt", {}, "operation is 'reconstrukt'; did you mean 'reconstruct'"),
        ("sample", {"cuont": 3}, "sample has no setting 'cuont'; did you mean 'count'"),
        ("sample", {"count": 401}, "count is 401; expected at most 400"),
        ("sample", {"count": "3"}, "count is '3'; expected a whole number"),
        ("sample", {"count": True}, "count is True; expected a whole number"),
        ("sample", {"seed": 1.5}, "seed is 1.5; expected a whole number"),
        ("sample", {"truncation": float("nan")}, "truncation is nan; expected a number"),
        ("sample", {"truncation": 2}, "truncation is 2; expected 0 .*to 1"),
        ("sample", {"prior": "nromal"}, "has no prior 'nromal'; did you mean"),
        ("interpolate", {"steps": 21}, "steps is 21; expected at most 20"),
        ("interpolate", {"steps": 1}, "steps is 1; expected at least 2"),
        ("interpolate", {"path": "round"}, "path is 'round'"),
        ("interpolate", {"weights": [1]}, "1 weights for 3 pictures"),
        ("interpolate", {"weights": "1"}, "weights is '1'; expected a list"),
        ("interpolate", {"pairs": [0] * 1002}, "pairs holds 1002 entries; expected at most 1000"),
        ("interpolate", {"pairs": [0, 3]}, "expected pairs of numbers of the 3 pictures"),
        ("edit", {"amounts": {"nine": 1}}, "has no attribute 'nine'; "),
        ("edit", {"amounts": [1]}, r"amounts is \[1\]; expected names with numbers"),
        ("edit", {"amounts": {"3": 1}, "direction": "men"}, "direction is 'men'; did you mean 'mean'"),
        ("mix", {"sources": 3}, "3 of 3 pictures give styles"),
        ("mix", {}, "has one code for the whole image"),
        ("parts", {}, "has no parts; expected a patch-vae"),
        ("swap", {}, "3 pictures were given; expected 2"),
        ("transport", {}, "source or target is missing; expected two sets"),
    ],
)
def test_errors_are_sentences(
    name: str, settings: dict[str, Any], message: str, session: Session, images: torch.Tensor
) -> None:
    with pytest.raises(GenaeError, match=message):
        operation(name, settings, 400).answer(session, images[:3])


def test_no_pictures_is_an_error_too(session: Session) -> None:
    for name in ("reconstruct", "interpolate", "edit", "anomaly"):
        with pytest.raises(GenaeError, match="0 pictures were given; expected"):
            operation(name, {}).answer(session, torch.zeros(0, 1, 8, 8))
    with pytest.raises(GenaeError, match="0 directions|shows one direction; 0 are set"):
        operation("edit", {}).figure(session, torch.zeros(1, 1, 8, 8))


def test_every_operation_has_a_command() -> None:
    for name in OPERATIONS:
        settings = {"edit": {"amounts": {"3": 1}}, "transport": {"source": "3", "target": "8"}}
        arguments = operation(name, settings.get(name, {})).command(4)
        assert arguments[0] in ("reconstruct", "sample", "interpolate", "edit", "mix", "parts", "anomaly", "map",
                                "transport")  # fmt: skip
