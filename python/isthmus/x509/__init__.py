"""Floor 2: certificates, the paths between them, and whether they were revoked (RFC 5280, 6960).

Main names: `certificate.Certificate`, `identity.matches`, `path.validate`, `revocation.judge`.
Nothing here does I/O or reads a clock; `at` is always Unix time in whole seconds. Every refusal is
an `Untrusted` (or `BadCertificate`, `BadCrl`, `BadOcsp` for octets) with a code of its own. Start
at `path.py`.
"""
