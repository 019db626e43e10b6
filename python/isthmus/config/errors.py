"""What is wrong with a configuration, where, why, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from isthmus.config.syntax import Position
from isthmus.values.errors import IsthmusError


@dataclass(frozen=True, slots=True, order=True)
class ConfigError:
    """One refusal. Lines and columns count from 1; line 0: the file as a whole.

    Nothing here ever holds a secret.
    """

    file: str
    line: int
    column: int
    message: str
    """What is wrong."""
    why: str
    """Why it is refused."""
    hint: str
    """What the user should do."""

    @property
    def where(self) -> str:
        """`file:line:column`, or the file alone."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.where}: {self.message}\n  why: {self.why}\n  do:  {self.hint}"


class ConfigErrors(IsthmusError):
    """A configuration is refused as a whole: every error of it, in the order of its lines."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = tuple(sorted(set(errors)))
        super().__init__("\n".join(str(error) for error in self.errors))


@dataclass(slots=True)
class Report:
    """Collects what is found while a configuration is read, so that all is told at once."""

    errors: list[ConfigError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, at: Position, message: str, why: str, hint: str) -> None:
        """Refuse what stands at `at`."""
        self.errors.append(ConfigError(at.file, at.line, at.column, message, why, hint))

    def warn(self, at: Position, message: str) -> None:
        """Accept what stands at `at`, and say what is doubtful about it."""
        self.warnings.append(f"{at.file}:{at.line}: {message}")
