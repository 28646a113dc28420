"""The server, from a taken port to Ctrl-C."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest


def test_ctrl_c_ends_it_at_once_even_while_it_works(run: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A direction that takes a minute to learn.
    slowed = (
        "import sys, time; from genae.operations import Session; from genae.cli import main; "
        "Session.learn_direction = lambda *_: time.sleep(60); sys.argv[0] = 'genae'; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slowed, "explore", str(run), "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "http://127.0.0.1" in process.stdout.readline()
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"http://127.0.0.1:{port}/api/prepare", json={"direction": "3"}, headers={"X-Genae": "1"}, timeout=3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - start < 10
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_port_in_use_is_one_sentence(
    run: Path, genae: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert genae("explore", run, "--port", str(port)) == 2
    error = capsys.readouterr().err
    assert f"cannot listen at 127.0.0.1, port {port}" in error
    assert "choose another with --port" in error


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1"])
def test_an_address_of_no_network_here_is_one_sentence(
    host: str, run: Path, genae: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert genae("explore", run, "--host", host) == 2
    assert "choose another with --host" in capsys.readouterr().err
