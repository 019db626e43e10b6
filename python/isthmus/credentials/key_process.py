"""A private key that lives in another process, which signs and never gives it away.

The program is started without a shell and speaks JSON lines. First it says which key it holds,
`{"public": SPKI}`; then it answers each `{"sign": SCHEME, "octets": OCTETS}` from us with
`{"signature": OCTETS}` (ECDSA in DER) or `{"error": TEXT}`. Octets are in base64. Its standard
input closes when nobody needs it any more. A token, a smart card or another user's process can
stand behind it; `isthmus.daemon.key_holder` is one that reads a file.
"""

import binascii
import contextlib
import json
import os
import selectors
import signal
import subprocess
import threading
import weakref
from base64 import b64decode, b64encode
from collections.abc import Mapping
from time import monotonic

from isthmus.credentials.load import Unavailable
from isthmus.crypto.signature import BadKey, BadSignature, PublicKey, verify
from isthmus.values.errors import LocalFault
from isthmus.values.signature import AnyScheme
from isthmus.values.time import Seconds

START_TIMEOUT_S: Seconds = 10.0
SIGN_TIMEOUT_S: Seconds = 10.0
LINE_MAX = 16_384


class ProcessKey:
    """Signs by asking the program, one signature at a time. It is started again when it has ended.

    Threads may share it.
    """

    def __init__(self, argv: tuple[str, ...], environ: Mapping[str, str]) -> None:
        """Start the program and ask for its public key. Raises Unavailable."""
        self._argv = argv
        self._environ = dict(environ)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: weakref.finalize[..., ProcessKey] | None = None
        self._unread = b""
        try:
            self._public = self._start()
        except LocalFault as fault:
            raise Unavailable(
                str(fault),
                "the private key is in its keeping",
                "run it by hand: it prints a line of JSON with its public key",
            ) from None

    @property
    def public(self) -> PublicKey:
        """The key that others check with, as the program told at its start."""
        return self._public

    @property
    def pid(self) -> int | None:
        """Of the program; None while there is none."""
        return self._process.pid if self._process is not None else None

    def sign(self, scheme: AnyScheme, octets: bytes) -> bytes:
        """Ask for a signature and check it. Blocks for up to 20 s. Raises LocalFault."""
        with self._lock:
            ended = self._process is None or self._process.poll() is not None
            if ended and self._start() != self._public:
                self._stop()
                raise LocalFault(f"{self._argv[0]} holds another key than at its first start")
            question = {"sign": scheme.value, "octets": b64encode(octets).decode("ascii")}
            try:
                answer = self._ask(question, SIGN_TIMEOUT_S)
                signature = _octets(answer, "signature")
            except LocalFault:
                # What it may still say would be taken for the answer to the next question.
                self._stop()
                raise
        try:
            verify(self._public, scheme, octets, signature)
        except BadSignature as error:
            raise LocalFault(
                f"{self._argv[0]} made a signature that does not hold: {error}"
            ) from None
        return signature

    def close(self) -> None:
        """End the program."""
        with self._lock:
            self._stop()

    def __repr__(self) -> str:
        return f"ProcessKey({self._argv[0]}, <{self._public}>)"

    def _start(self) -> PublicKey:
        self._stop()
        try:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environ,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its words hold a NUL"
            raise LocalFault(
                f"the key's program {self._argv[0]} cannot be started: {reason}"
            ) from None
        self._finalizer = weakref.finalize(self, _end, self._process)
        try:
            return PublicKey.from_spki(_octets(self._ask(None, START_TIMEOUT_S), "public"))
        except BadKey as error:
            self._stop()
            raise LocalFault(f"the key of {self._argv[0]} is refused: {error}") from None
        except LocalFault:
            self._stop()
            raise

    def _stop(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._process = self._finalizer = None
        self._unread = b""

    def _ask(self, question: Mapping[str, str] | None, timeout_s: Seconds) -> Mapping[str, object]:
        """The next line that it prints, within a time. Raises LocalFault."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        program = self._argv[0]
        deadline = monotonic() + timeout_s
        try:
            if question is not None:
                process.stdin.write(json.dumps(question).encode("ascii") + b"\n")
                process.stdin.flush()
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                while b"\n" not in self._unread:
                    if len(self._unread) > LINE_MAX:
                        raise LocalFault(f"{program} gave an answer that is too long")
                    if not selector.select(max(0.0, deadline - monotonic())):
                        raise LocalFault(f"{program} gave no answer within {timeout_s:.0f} s")
                    piece = os.read(process.stdout.fileno(), 4096)
                    if not piece:
                        raise LocalFault(f"{program} has ended")
                    self._unread += piece
        except OSError as error:
            raise LocalFault(f"{program} cannot be asked: {error.strerror}") from None
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            raise LocalFault(f"{program} gave an answer that is no JSON") from None
        if not isinstance(answer, dict):
            raise LocalFault(f"{program} gave an answer that is no JSON object")
        if "error" in answer:
            said = "".join(c for c in str(answer["error"])[:200] if c.isprintable())
            raise LocalFault(f"{program} refuses: {said}")
        return answer


def _octets(answer: Mapping[str, object], name: str) -> bytes:
    value = answer.get(name)
    try:
        return b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise LocalFault(f"the key's program gave no {name} in base64") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close its input, and have somebody end what does not end by itself: this may be called
    wherever the last that needs the key goes, which must not wait."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        threading.Thread(target=_reap, args=(process,), daemon=True).start()
    except RuntimeError:
        # We are ending ourselves, and no thread can be started any more.
        _reap(process, wait_s=0.0)


def _reap(process: subprocess.Popen[bytes], wait_s: Seconds = 2.0) -> None:
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
