"""The explorer's web server, from a free port to Ctrl-C."""

import secrets
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from genae.errors import GenaeError
from genae.explorer.app import create_app
from genae.explorer.requests import LOCAL
from genae.operations.render import Renderer


def serve(
    renderer: Renderer, run: str, host: str, port: int, announce: Callable[[str], None], data_root: str | None = None
) -> None:
    """Serve until Ctrl-C. Bound to another address than this machine's own, the address needs a random token.

    Raises `GenaeError` where nothing can listen.
    """
    # With its protocol named, asyncio turns Nagle's delay off, which would cost every answer 40 ms.
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        why = error.strerror or error
        raise GenaeError(f"cannot listen at {host}, port {port}: {why}; choose another with --port") from None
    token = None if host in LOCAL else secrets.token_urlsafe(16)
    app = create_app(renderer, run, host=host, token=token, data_root=data_root)
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    announce(f"http://{name}:{port}/" + (f"?token={token}" if token else ""))

    class Server(uvicorn.Server):
        interrupted = False

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.interrupted = sig == signal.SIGINT
            for worker in app.state.workers:
                worker.give_up()
            super().handle_exit(sig, frame)

    with listening:
        server = Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        server.run(sockets=[listening])
    if server.interrupted:  # also where uvicorn came to its end before it could say so
        raise KeyboardInterrupt
