"""The explorer's web server, from a free port to Ctrl-C."""

import errno
import os
import secrets
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from genae.errors import GenaeError
from genae.explorer.addresses import create_app
from genae.explorer.guard import LOCAL
from genae.explorer.service import Explorer


def serve(explorer: Explorer, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. Bound to another address than this machine's own, the address needs a random token.

    ``announce`` is told the address once something listens there. Raises `GenaeError` where nothing can listen.
    """
    listening = _listen(host, port)
    token = None if host in LOCAL else secrets.token_urlsafe(16)
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    server = _Server(explorer, host, token)
    announce(f"http://{name}:{port}/" + (f"?token={token}" if token else ""))
    with listening:
        server.run(sockets=[listening])
    if server.interrupted:  # also where uvicorn came to its end before it could say so
        raise KeyboardInterrupt


def _listen(host: str, port: int) -> socket.socket:
    # With its protocol named, asyncio turns Nagle's delay off, which would cost every answer 40 ms.
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    if os.name == "posix":  # on Windows it would let two servers listen at one port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        why = error.strerror or error
        flag = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
        raise GenaeError(f"cannot listen at {host}, port {port}: {why}; choose another with {flag}") from None
    return listening


class _Server(uvicorn.Server):
    """uvicorn's server that ends at once: whatever the workers still do is given up."""

    def __init__(self, explorer: Explorer, host: str, token: str | None) -> None:
        app = create_app(explorer, host=host, token=token)
        super().__init__(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        self.explorer = explorer
        self.interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.interrupted = sig == signal.SIGINT
        self.explorer.give_up()
        super().handle_exit(sig, frame)
