"""Bodies that are no request are refused in one sentence."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/answer", b"not json", 400),
        ("/api/answer", b"[1]", 400),
        ("/api/answer", b"[" * 100_000, 400),
        ("/api/answer", b" " * 1_100_000, 413),
        ("/api/answer", b'{"operation": "reconstruct", "pictures": [1]}', 400),
        ("/api/answer", b'{"operation": "reconstruct", "pictures": ["../../etc/passwd"]}', 400),
        ("/api/answer", b'{"operation": "reconstruct", "settings": 3}', 400),
        ("/api/answer", b'{"operation": "edit", "settings": 3}', 400),
        ("/api/answer", b'{"operation": "edit", "settings": {"amounts": [[]], "direction": []}}', 400),
        ("/api/export/everything", b'{"operation": "sample"}', 404),
        ("/api/export/codes", b'{"operation": "reconstruct"}', 400),
        ("/api/export/figure", b'{"operation": "sample", "settings": {"count": 100000}}', 400),
        ("/api/map/place", b'{"x": "here", "y": 0}', 400),
        ("/api/map/place", b'{"operation": "sample", "x": 0, "y": 0}', 400),
        ("/api/export/animation", b'{"operation": "sample"}', 400),
        ("/api/answer", b'{"operation": "sample", "settings": {"count": 0}}', 400),
        ("/api/export/figure", b'{"operation": "sample", "settings": {"count": -5}}', 400),
        (
            "/api/export/figure",
            b'{"operation": "interpolate", "settings": {"pairs": [%s]}}' % b",".join([b"0"] * 1002),
            400,
        ),
        ("/api/export/command", b'{"operation": "reconstruct"}', 400),
        ("/api/export/command", b'{"operation": "interpolate"}', 400),
        ("/api/data/keep", b'{"images": [-1]}', 400),
        ("/api/data/keep", b'{"images": [100000]}', 400),
        ("/api/data/keep", b'{"images": "all"}', 400),
    ],
)
def test_hostile_requests(path: str, body: bytes, status: int, client: TestClient) -> None:
    answered = client.post(path, content=body)
    assert answered.status_code == status
    assert answered.json()["error"]


def test_many_pictures_at_once_are_refused(client: TestClient, take: Callable[[TestClient, int], list[str]]) -> None:
    request = {"operation": "reconstruct", "pictures": take(client, 1) * 401}
    assert "401 pictures were given; expected at most 400" in client.post("/api/answer", json=request).json()["error"]
