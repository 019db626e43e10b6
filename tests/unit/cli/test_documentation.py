"""docs/commands.md says what the code does."""

from pathlib import Path

import msgspec

from isthmus.cli.exits import MEANINGS
from isthmus.cli.main import VERBS
from isthmus.cli.render import ROLES
from isthmus.ike.core.views import Phase1State, RuleState
from isthmus.management import api

PAGE = (Path(__file__).parents[3] / "docs/commands.md").read_text()


def test_every_exit_code_has_its_line() -> None:
    for code, meaning in MEANINGS.items():
        assert f"| {int(code)} | {meaning} |" in PAGE


def test_every_verb_is_there() -> None:
    assert [verb for verb in VERBS if f"`{verb}" not in PAGE] == []


def test_every_state_word_is_there_and_has_a_colour() -> None:
    words = {*Phase1State, *RuleState}
    assert [word for word in words if f"`{word}`" not in PAGE] == []
    assert set(ROLES) == {str(word) for word in words}


def test_every_field_of_status_is_there() -> None:
    structs = (
        *(api.TunnelStatus, api.Phase1Status, api.RuleStatus, api.Selectors),
        *(api.ChildState, api.FailureState, api.CertificateStatus),
    )
    fields = {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}
    assert [field for field in sorted(fields) if f'"{field}"' not in PAGE] == []


def test_every_kind_of_error_is_there() -> None:
    kinds = {value for name, value in vars(api.Kind).items() if name.isupper()}
    assert [kind for kind in kinds if f"`{kind}`" not in PAGE] == []
