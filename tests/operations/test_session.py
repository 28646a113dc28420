"""What is remembered between requests."""

from pathlib import Path

import pytest
import torch

from genae.model import load
from genae.operations import Session


def test_codes_of_pictures_are_remembered_and_forgotten(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genae.operations import session as sessions

    monkeypatch.setattr(sessions, "REMEMBERED", 6 * 8 * 4)  # six codes of eight numbers
    session = Session(load(run), run)
    images = session.data.images(session.data.split("test")[:9])
    first = session.encode(images[:5], "code")
    seen: list[int] = []
    encode = session.model.encode
    monkeypatch.setattr(session.model, "encode", lambda x, space: (seen.append(len(x)), encode(x, space))[1])
    assert torch.equal(session.encode(images[:5], "code"), first)
    assert seen == []
    session.encode(images[4:9], "code")
    assert seen == [4]
    assert len(session._memory) == 6
