"""Configurations on disk for the tests, and the errors that loading them gives."""

from pathlib import Path

import pytest

from isthmus.config.errors import ConfigError, ConfigErrors
from isthmus.config.load import Loaded, load

SECRET = "mT3.kQz81vWx_Rb5Ny7cJd2GhLp9sFaE"
"""A strong pre-shared key that may be seen nowhere."""

TUNNEL = """\
[tunnel.office]
peer = "203.0.113.10"
psk = { file = "office.psk" }
"""

RULE = """\
[tunnel.office.rule.net]
local = ["10.1.0.0/24"]
remote = ["10.2.0.0/24"]
"""


def write(directory: Path, text: str, *, mode: int = 0o600, secret: str = SECRET + "\n") -> Path:
    """The configuration as `isthmus.toml`, with the secret file that `TUNNEL` names."""
    psk = directory / "office.psk"
    psk.write_text(secret)
    psk.chmod(0o600)
    path = directory / "isthmus.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def loaded(directory: Path, text: str, **environ: str) -> Loaded:
    """A configuration that holds."""
    return load(write(directory, text), environ)


def errors(directory: Path, text: str, **environ: str) -> tuple[ConfigError, ...]:
    """The errors of a configuration that does not hold, with the directory taken out."""
    with pytest.raises(ConfigErrors) as raised:
        load(write(directory, text), environ)
    return without(directory, raised.value)


def without(directory: Path, raised: ConfigErrors) -> tuple[ConfigError, ...]:
    """Errors as they would read if the files stood in the working directory."""
    assert SECRET not in str(raised) and SECRET not in repr(raised)
    prefix = f"{directory}/"

    def short(text: str) -> str:
        return text.replace(prefix, "")

    return tuple(
        ConfigError(short(e.file), e.line, e.column, short(e.message), short(e.why), short(e.hint))
        for e in raised.errors
    )


def only_error(directory: Path, text: str, **environ: str) -> ConfigError:
    """The one error of a configuration."""
    found = errors(directory, text, **environ)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]
