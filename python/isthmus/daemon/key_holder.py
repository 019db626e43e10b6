"""Holds a private key in a process of its own and signs with it: the other end of
`credentials.key_process`.

`python -m isthmus.daemon.key_holder FILE [--passphrase-file FILE]`, as it stands in
`key = { process = [...] }`. It may run as another user, who alone can read the key. It ends when
its standard input does.
"""

import argparse
import json
import os
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping

from isthmus.credentials.certificates import Unusable, read_private_key
from isthmus.credentials.load import PASSPHRASE, PRIVATE_KEY, Unavailable, fetch
from isthmus.credentials.reference import SecretFile
from isthmus.crypto.signature import SigningKey
from isthmus.daemon.process import keep_memory_private
from isthmus.daemon.status import EXIT_FAILED, EXIT_OK
from isthmus.values.errors import LocalFault
from isthmus.values.secret import Secret
from isthmus.values.signature import any_scheme

LINE_MAX = 65_536


def main(arguments: list[str]) -> int:
    """Serve until standard input ends. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="isthmus-key-holder")
    parser.add_argument("file")
    parser.add_argument("--passphrase-file")
    said = parser.parse_args(arguments)
    keep_memory_private()
    try:
        passphrase = None
        if said.passphrase_file:
            octets = fetch(SecretFile(said.passphrase_file), os.environ, PASSPHRASE)
            passphrase = Secret(octets.removesuffix(b"\n"))
        octets = fetch(SecretFile(said.file), os.environ, PRIVATE_KEY)
        key = read_private_key(octets, passphrase).key
    except (Unavailable, Unusable) as error:
        _say({"error": error.message})
        return EXIT_FAILED
    _say({"public": b64encode(key.public.spki).decode("ascii")})
    while line := sys.stdin.buffer.readline(LINE_MAX):
        _say(answer(key, line))
    return EXIT_OK


def answer(key: SigningKey, line: bytes) -> Mapping[str, str]:
    """What to say to one line: a signature, or why there is none."""
    try:
        question = json.loads(line)
        scheme = any_scheme(question["sign"])
        octets = b64decode(question["octets"], validate=True)
    except (ValueError, TypeError, KeyError):
        return {"error": "this is no question for a signature"}
    try:
        return {"signature": b64encode(key.sign(scheme, octets)).decode("ascii")}
    except (LocalFault, ValueError) as error:
        return {"error": str(error)}


def _say(what: Mapping[str, str]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
