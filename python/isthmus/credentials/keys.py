"""From the configuration's word for a private key to something that signs."""

from collections.abc import Mapping

from isthmus.credentials.certificates import read_private_key
from isthmus.credentials.key_process import ProcessKey
from isthmus.credentials.load import PASSPHRASE, PRIVATE_KEY, fetch
from isthmus.credentials.reference import KeyProcess, KeyReference
from isthmus.crypto.signature import SigningKey
from isthmus.values.secret import Secret
from isthmus.x509.certificate import Certificate


def open_key(
    reference: KeyReference, environ: Mapping[str, str]
) -> tuple[SigningKey, tuple[Certificate, ...]]:
    """The key, and the certificates that stand with it (PKCS#12). Paths are whole.

    Raises Unavailable or Unusable.
    """
    if isinstance(reference.source, KeyProcess):
        return ProcessKey(reference.source.argv, environ), ()
    passphrase = None
    if reference.passphrase is not None:
        octets = fetch(reference.passphrase, environ, PASSPHRASE)
        passphrase = Secret(octets.removesuffix(b"\n").removesuffix(b"\r"))
    found = read_private_key(fetch(reference.source, environ, PRIVATE_KEY), passphrase)
    return found.key, found.certificates
