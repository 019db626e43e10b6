"""Name constraints: what is asked of one name and one subtree."""

from isthmus.x509.constraints import within
from isthmus.x509.general_name import GeneralName, NameKind, subject_name
from isthmus.x509.name import Name

from .scenes import LEAF


def test_a_directory_name_without_its_name_is_decided_like_any_unsure_one() -> None:
    """Reading makes none such; whoever does otherwise gets the careful answer."""
    whole, bare = subject_name(Name.parse(LEAF)), GeneralName(NameKind.DIRECTORY, b"")
    assert within(whole, whole, unsure=False)
    for name, base in ((bare, whole), (whole, bare), (bare, bare)):
        for unsure in (False, True):
            assert within(name, base, unsure=unsure) is unsure
