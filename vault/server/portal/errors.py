"""What can be wrong with a request of a person. None knows HTTP; `routes.py` translates them."""

from vault.errors import VaultError


class PortalError(VaultError):
    """Root of this room's errors. Messages are fixed sentences for the person."""


class SignInSettingsError(VaultError):
    """The settings of the sign-in do not suffice."""


class NotSignedInError(PortalError):
    """Nobody is signed in, or not any more."""


class WeakSignInError(PortalError):
    """Somebody is signed in, but not as surely or as recently as what they want to do needs.

    Attributes:
        act: what that is, as an address of the sign-in names it.
    """

    def __init__(self, act: str) -> None:
        super().__init__("This needs you to prove once more who you are. Nothing was changed.")
        self.act = act


class NotEntrustedError(PortalError):
    """A representative wants to do what their mandate does not cover, or nobody can be entrusted with."""

    def __init__(self) -> None:
        super().__init__("Your mandate does not cover this. Act for yourself, or ask whoever appointed you.")


class ForgedRequestError(PortalError):
    """The request does not carry the token of the session: it may come from another site."""

    def __init__(self) -> None:
        super().__init__("This form did not come from your own page, or the page is too old.")


class NothingHereError(PortalError):
    """There is no such thing, or it is somebody else's: which of the two is not told."""

    def __init__(self) -> None:
        super().__init__("There is nothing here that belongs to you.")


class SignInBrokenError(PortalError):
    """The browser came back from the provider without the sign-in it was sent away with."""

    def __init__(self) -> None:
        super().__init__(
            "This sign-in was not begun in this browser, or took too long. Please sign in again."
        )


class SignInNotSetUpError(PortalError):
    """No identity provider is configured."""

    def __init__(self) -> None:
        super().__init__("Sign-in is not set up on this vault yet.")
