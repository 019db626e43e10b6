"""Keys of a tunnel that say how the two sides prove who they are; part of `schema`."""

from isthmus.config import fields, proof_fields
from isthmus.config.key import Key
from isthmus.config.proof_fields import Placed, PlacedScheme, Sides
from isthmus.config.secret_fields import PskReference, key_reference, psk_reference
from isthmus.credentials.reference import KeyReference
from isthmus.values.trust import EkuRule, RevocationMode

_FILES = "list of files and folders"
_EKU_WORDS = {
    "serverauth": EkuRule.SERVER,
    "clientauth": EkuRule.CLIENT,
    "ipsec": EkuRule.IKE,
    "none": EkuRule.ANY,
    "off": EkuRule.ANY,
}
_REVOCATION_WORDS = {
    "no": RevocationMode.OFF,
    "none": RevocationMode.OFF,
    "relaxed": RevocationMode.SOFT,
    "yes": RevocationMode.STRICT,
}

# [tunnel.NAME]
AUTH: Key[Sides] = Key(
    "auth",
    proof_fields.sides,
    "word",
    '"psk"',
    'How the two sides prove who they are: `"psk"`, `"cert"`, `"pubkey"` (bare public keys); each'
    ' in its own way with `{ local = "cert", remote = "psk" }`. IKEv1 has'
    ' `{ local = "xauth", remote = "cert" }` too: we have a password alone (hybrid).',
)
PSK: Key[PskReference] = Key(
    "psk",
    psk_reference,
    "secret",
    "(required where a side has `psk`)",
    "The pre-shared key; see *Secrets*.",
)
CERT: Key[Placed] = Key(
    "cert",
    proof_fields.path("/etc/isthmus/certs/gw.pem"),
    "file",
    "(required for `cert`, unless `key` is a PKCS#12 file)",
    "Our certificate, PEM or DER, and the CAs between it and the root.",
)
KEY: Key[KeyReference] = Key(
    "key",
    key_reference,
    "secret",
    "(required for `cert` and `pubkey`)",
    "Our private key; see *Certificates*.",
)
CA: Key[tuple[Placed, ...]] = Key(
    "ca",
    proof_fields.paths("/etc/isthmus/certs/root.pem"),
    _FILES,
    "(required where the peer has `cert`)",
    "Root certificates that the peer's may go back to.",
)
INTERMEDIATES: Key[tuple[Placed, ...]] = Key(
    "intermediates",
    proof_fields.paths("/etc/isthmus/certs/issuing.pem"),
    _FILES,
    "(none)",
    "CAs between, for peers that do not send them. They are not trusted by themselves.",
)
REMOTE_KEY: Key[tuple[Placed, ...]] = Key(
    "remote_key",
    proof_fields.paths("/etc/isthmus/certs/branch.pub"),
    _FILES,
    "(required where the peer has `pubkey`)",
    "The peer's public key, PEM or DER; several while it changes.",
)
REVOCATION: Key[RevocationMode] = Key(
    "revocation",
    fields.choice(RevocationMode, _REVOCATION_WORDS),
    "word",
    "(`soft` where the peer has `cert`)",
    'Is the peer\'s certificate revoked? `"soft"` (refused if it is known to be), `"strict"`'
    ' (refused unless it is known not to be), `"off"`.',
)
CRL: Key[tuple[Placed, ...]] = Key(
    "crl",
    proof_fields.paths("/etc/isthmus/crls"),
    _FILES,
    "(none)",
    "Revocation lists, PEM or DER, beside those that are fetched.",
)
REMOTE_EKU: Key[EkuRule] = Key(
    "remote_eku",
    fields.choice(EkuRule, _EKU_WORDS),
    "word",
    "(`ike` where the peer has `cert`)",
    "Extended key usage of the peer's certificate: `\"ike\"` (none, any, IPsec's or TLS's),"
    ' `"server"`, `"client"`, `"any"` (not looked at).',
)
REMOTE_CERT_URL = Key(
    "remote_cert_url",
    fields.boolean,
    "true/false",
    "(`false` where the peer has `cert`)",
    "Read the peer's certificate from an HTTP address that it names. Whoever may knock can have us"
    " call any address then.",
)

# [tunnel.NAME.phase1]
SIGNATURE: Key[tuple[PlacedScheme, ...]] = Key(
    "signature",
    proof_fields.schemes,
    "list of signatures",
    "(every strong one that the key can make)",
    "Signatures that we make, best first, and take from the peer: `ecdsa-sha384`,"
    " `rsa-pss-sha256`, `ed25519` and so on.",
)

TUNNEL_KEYS: tuple[Key[object], ...] = (
    AUTH,
    PSK,
    CERT,
    KEY,
    CA,
    INTERMEDIATES,
    REMOTE_KEY,
    REVOCATION,
    CRL,
    REMOTE_EKU,
    REMOTE_CERT_URL,
)
PHASE1_KEYS: tuple[Key[object], ...] = (SIGNATURE,)
