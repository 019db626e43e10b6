"""How a configuration names a secret without holding it."""

from dataclasses import dataclass

from isthmus.values.secret import Secret


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file of its own, readable by its owner alone."""

    path: str

    def __str__(self) -> str:
        return f'{{ file = "{self.path}" }}'


@dataclass(frozen=True, slots=True)
class SecretEnv:
    """A variable of the daemon's environment."""

    variable: str

    def __str__(self) -> str:
        return f'{{ env = "{self.variable}" }}'


@dataclass(frozen=True, slots=True)
class SecretCredential:
    """A systemd credential (`LoadCredential=`), by its name."""

    name: str

    def __str__(self) -> str:
        return f'{{ credential = "{self.name}" }}'


@dataclass(frozen=True, slots=True)
class SecretCommand:
    """What a program prints. It is started without a shell; its arguments are not secret."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"{{ command = [{', '.join(repr(word) for word in self.argv)}] }}"


@dataclass(frozen=True, slots=True)
class SecretLiteral:
    """A secret written in the configuration itself."""

    secret: Secret

    def __str__(self) -> str:
        return '"..."'


@dataclass(frozen=True, slots=True)
class KeyProcess:
    """A program that holds a private key and signs with it; the key never comes to us."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"{{ process = [{', '.join(repr(word) for word in self.argv)}] }}"


Reference = SecretFile | SecretEnv | SecretCredential | SecretCommand | SecretLiteral


@dataclass(frozen=True, slots=True)
class KeyReference:
    """A private key: where it is, and what opens it if it is encrypted."""

    source: Reference | KeyProcess
    passphrase: Reference | None = None
