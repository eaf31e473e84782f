"""What can go wrong with keys and ciphertexts, under one root.

No message holds a key, a plaintext, a ciphertext or an identity number: messages name files, key names,
versions and rules only.
"""

from typing import ClassVar


class CryptoError(Exception):
    """Root of every error `vault.crypto` raises."""


class UnsealError(CryptoError):
    """A ciphertext does not open: altered, moved, of another key, or of a format that is not enabled.

    Attributes:
        position: Which item of a batch it was, counted from 0; None outside batches.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class InvalidIdentifierError(CryptoError):
    """An identity number breaks a rule of its scheme. The number itself is in neither attribute nor message.

    Attributes:
        scheme: The scheme whose rule it was; "unknown" if the name given is no scheme of ours.
        rule: A short static name, such as `check-digit`.
        advice: What is expected, in plain words.
    """

    def __init__(self, scheme: str, rule: str, advice: str) -> None:
        super().__init__(scheme, rule, advice)
        self.scheme = scheme
        self.rule = rule
        self.advice = advice

    def __str__(self) -> str:
        return f"an identifier of scheme {self.scheme} breaks the rule {self.rule}: {self.advice}"


class ProviderError(CryptoError):
    """A key provider did not do what it was asked."""

    retryable: ClassVar[bool]
    """Whether the same call may succeed later without anyone's act."""


class ProviderUnavailableError(ProviderError):
    """The provider cannot answer now; the same call may be made again."""

    retryable = True


class ProviderRefusedError(ProviderError):
    """The provider will not do this, however often it is asked.

    Attributes:
        position: Which item of a batch it was, counted from 0; None where it was not about one.
    """

    retryable = False

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class KeyringError(ProviderRefusedError):
    """The keyring file, or a key in it, is not usable; the message names the file and what to do."""
