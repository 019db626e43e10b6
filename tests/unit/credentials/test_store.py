"""The set of secrets that the core may ask."""

from isthmus.credentials.store import Credentials
from isthmus.values.secret import Secret

A, B = Secret(b"the first secret"), Secret(b"the second secret")


def test_a_secret_is_found_by_its_name_alone() -> None:
    credentials = Credentials({"office": A})
    assert credentials.psk("office") == A
    assert credentials.psk("branch") is None and Credentials().psk("office") is None
    assert credentials.names() == ("office",)


def test_later_changes_of_the_mapping_do_not_reach_it() -> None:
    secrets = {"office": A}
    credentials = Credentials(secrets)
    secrets["office"] = B
    assert credentials.psk("office") == A


def test_its_repr_names_secrets_and_shows_none() -> None:
    assert repr(Credentials({"office": A})) == "Credentials(psks: office; keys: none; trust: none)"
    assert repr(Credentials()) == "Credentials(psks: none; keys: none; trust: none)"


def test_changed_names_what_is_new_gone_or_different() -> None:
    old = Credentials({"same": A, "other": A, "gone": A})
    new = Credentials({"same": Secret(A.reveal()), "other": B, "new": B})
    assert old.changed(new) == ("gone", "new", "other")
    assert old.changed(old) == ()
