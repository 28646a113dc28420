"""Who is answered: the page itself, and elsewhere who has the token."""

from collections.abc import Callable
from pathlib import Path

from fastapi.testclient import TestClient


def test_only_the_page_itself_is_answered(client: TestClient) -> None:
    request = {"operation": "sample", "settings": {"count": 1}}
    assert client.post("/api/answer", json=request).status_code == 200
    assert client.post("/api/answer", json=request, headers={"X-Genae": ""}).status_code == 403
    assert client.get("/api/model", headers={"Host": "evil.example:8765"}).status_code == 403
    assert client.get("/api/model", headers={"Host": "[::1"}).status_code == 403
    assert client.get("/api/data", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200, "a link to the page"
    assert client.get("/api/data?start=abc").json() == {"error": "the address is not one of the explorer's"}
    assert client.get("/api/model", headers={"Host": "localhost:9000"}).status_code == 200, "a tunnel's other port"
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy


def test_elsewhere_the_token_is_asked_for(
    run: Path, client_of: Callable[..., TestClient], picture_file: Callable[..., bytes]
) -> None:
    client = client_of(run, host="0.0.0.0", token="secret")
    for path in ("/", "/api/model", "/app.js", "/api/model?token=wrong", "/api/model?token=%C3%A4"):
        assert client.get(path).status_code == 403, path
    assert client.post("/api/pictures", content=picture_file()).status_code == 403
    assert client.get("/?token=secret").status_code == 200
    assert client.get("/api/model").status_code == 200, "the cookie bears it now"
    cookie = client_of(run, host="0.0.0.0", token="secret").get("/?token=secret").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_two_explorers_on_one_machine_keep_their_tokens_apart(run: Path, client_of: Callable[..., TestClient]) -> None:
    cookies = [
        client_of(run, host="0.0.0.0", token=token).get(f"/?token={token}").headers["set-cookie"].partition("=")[0]
        for token in ("one", "other")
    ]
    assert cookies[0] != cookies[1]
