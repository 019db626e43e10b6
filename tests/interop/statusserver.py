"""A web server of an authority that behaves as the path says: run in a namespace, by its path.

`python statusserver.py ADDRESS PORT COUNT DIRECTORY` listens on so many ports from PORT on.
`/files/NAME` is a file of the directory as it is at that moment; below `/hang/` nothing ever comes,
below `/drip/` an octet a second, below `/endless/` a body without end, below `/gigabyte/` one of a
gigabyte, below `/lies/` something else than asked for. Standard library only.
"""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PIECE = b"\x30" * 65_536
GIGABYTE = 1 << 30


class Handler(BaseHTTPRequestHandler):
    """GET of lists and POST of OCSP requests alike."""

    directory = Path()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer, or do not."""
        kind = self.path.split("/")[1]
        try:
            match kind:
                case "hang":
                    time.sleep(600)
                case "drip":
                    self._drip()
                case "endless":
                    self._pour(None)
                case "gigabyte":
                    self._pour(GIGABYTE)
                case "lies":
                    self._send(b"<html>Please log in.</html>" * 100)
                case "files":
                    self._send((self.directory / Path(self.path).name).read_bytes())
                case _:
                    self.send_error(404)
        except OSError:
            self.close_connection = True

    do_POST = do_GET

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        """An octet a second."""
        self.send_response(200)
        self.send_header("Content-Length", "600")
        self.end_headers()
        for _ in range(600):
            self.wfile.write(b"0")
            self.wfile.flush()
            time.sleep(1)

    def _pour(self, size: int | None) -> None:
        self.close_connection = True
        self.send_response(200)
        if size is not None:
            # A server that lies about its size too: it says less than it sends.
            self.send_header("X-Size", str(size))
        self.end_headers()
        sent = 0
        while size is None or sent < size:
            self.wfile.write(PIECE)
            sent += len(PIECE)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


if __name__ == "__main__":
    Handler.directory = Path(sys.argv[4])
    first = int(sys.argv[2])
    for port in range(first, first + int(sys.argv[3])):
        server = ThreadingHTTPServer((sys.argv[1], port), Handler)
        threading.Thread(target=server.serve_forever).start()
