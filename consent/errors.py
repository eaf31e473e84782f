"""Errors of the consent room. A refused query is no error: it is a `Refusal`, a value."""


class ConsentError(Exception):
    """Root of this room's errors. Messages say what to do and never carry a person's data."""


class InvalidError(ConsentError):
    """What was handed in breaks a rule of the registers; nothing was written."""


class UnknownError(ConsentError):
    """The body, officer, registrar, basis, authorization or consent is in no register."""


class StateError(ConsentError):
    """The act does not fit the present state, for instance approving what is already revoked."""


class FrozenError(StateError):
    """The person froze their consents, and has not ended that."""


class CopyError(ConsentError):
    """A citizen's copy of a consent does not verify."""


class StatementError(ConsentError):
    """A registrar's signed statement does not verify, or states something else than it is used for."""
