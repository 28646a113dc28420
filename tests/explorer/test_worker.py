"""Two threads: what takes long does not keep pictures waiting."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from genae.operations import Session


def test_slow_work_does_not_keep_pictures_waiting(
    run: Path, client_of: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    learning, go_on = Event(), Event()
    learn = Session.learn_direction

    def slowly(*arguments: Any) -> torch.Tensor:
        learning.set()
        assert go_on.wait(60)
        return learn(*arguments)

    monkeypatch.setattr(Session, "learn_direction", slowly)
    with client_of(run) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/api/prepare", json={"direction": "5"})
        assert learning.wait(60)
        answered = client.post("/api/answer", json={"operation": "sample", "settings": {"count": 1}})
        assert answered.status_code == 200
        assert not waiting.done()
        go_on.set()
        assert waiting.result(60).status_code == 200
    answered = client_of(run).post("/api/prepare", json={"direction": "eleven"})
    assert answered.status_code == 400
