"""What an authority cannot do, in the three sentences that users read."""


class AuthorityError(Exception):
    """Nothing was changed. Holds no secret."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
