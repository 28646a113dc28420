"""Who may talk to the explorer: its own page, and on other machines only with the token."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import JSONResponse, Response

LOCAL = ("127.0.0.1", "localhost", "::1")
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class RefusedError(Exception):
    """A request that is not answered, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Guard:
    """Middleware that refuses requests of other sites and requests without the token.

    ``host`` is the address that the explorer listens at. With a ``token``, every request must carry it: the first one
    in its address, the following ones in a cookie that the answer to the first one sets.
    """

    def __init__(self, host: str, token: str | None) -> None:
        self.host = host
        self.token = token
        # Cookies are shared by all ports of a host: two explorers on one machine need two names.
        self.cookie = f"genae-{hashlib.sha256((token or '').encode()).hexdigest()[:8]}"

    async def __call__(self, request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        """The answer, or why there is none; both with the security headers."""
        response: Response
        try:
            self.admit(request)
            response = await answer(request)
        except RefusedError as refused:
            response = JSONResponse({"error": str(refused)}, refused.status)
        response.headers.update(SECURITY_HEADERS)
        if self.token and self._is_token(request.query_params.get("token")):
            response.set_cookie(self.cookie, self.token, httponly=True, samesite="strict")
        return response

    def admit(self, request: Request) -> None:
        """Raises `RefusedError` for a foreign host name, a form on another site, or a missing token."""
        try:
            name = urlsplit(f"//{request.headers.get('host', '')}").hostname
        except ValueError:
            name = None
        if self.host in LOCAL and name not in (*LOCAL, self.host):
            raise RefusedError(403, f"this explorer answers to {' and '.join(LOCAL[:2])}, not to {name!r}")
        tokens = (request.query_params.get("token"), request.cookies.get(self.cookie))
        if self.token and not any(map(self._is_token, tokens)):
            raise RefusedError(403, "the address needs the token that genae explore printed: ?token=...")
        other_site = request.headers.get("sec-fetch-site") == "cross-site" and request.url.path.startswith("/api/")
        if other_site or (request.method == "POST" and request.headers.get("x-genae") != "1"):
            raise RefusedError(403, "requests come from the explorer's own page")

    def _is_token(self, given: str | None) -> bool:
        """Compared in a time that tells nothing of the token."""
        return secrets.compare_digest((given or "").encode(), (self.token or "").encode())
