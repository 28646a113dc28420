"""Addresses that lead nowhere, and what a server's own failure looks like."""

import mimetypes
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "/panels/../../render.py",
        "/api/pictures/..%2fx.png",
    ],
)
def test_paths_do_not_lead_out_of_the_page(path: str, client: TestClient) -> None:
    answered = client.get(path)
    assert answered.status_code in (400, 404)
    assert b"import" not in answered.content


def test_a_folder_that_cannot_be_written_is_said(
    run: Path, client_of: Callable[..., TestClient], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    shutil.rmtree(copy / "codes", ignore_errors=True)
    (copy / "codes").write_text("a file where a folder should be")
    answered = client_of(copy).post("/api/prepare", json={"detector": True})
    assert answered.status_code == 500
    assert "File exists" in answered.json()["error"] or "Not a directory" in answered.json()["error"]


def test_modules_are_javascript_whatever_the_system_says(run: Path, client_of: Callable[..., TestClient]) -> None:
    mimetypes.add_type("text/plain", ".js")  # as the registry of many a Windows does
    assert client_of(run).get("/plot.js").headers["content-type"].startswith("text/javascript")
