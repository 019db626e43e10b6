"""Mutants of the verifier that no input can tell from the original, each with its reason.

A mutant is here only if nothing that a caller can see, texts included, would ever differ; one that
is merely hard to reach has a test. `make mutants-x509` fails for an entry that something notices
after all, and for one that is no mutant any more.
"""

EQUIVALENT: dict[str, str] = {
    "crl.Crl.identity: self.delta_base is not None -> self.delta_base is None": (
        "identities are only compared with each other, and this turns the flag in all of them"
    ),
    "der.time: body >= b'5' -> body > b'5'": "thirteen octets are never equal to one octet",
    "policies.Policies._at_first: 0 -> -1": (
        "counters only go down and are only asked whether they are at 0 (1 for the last) or below"
    ),
}
