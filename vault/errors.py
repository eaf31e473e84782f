"""The root of the vault's errors. `vault.crypto` is a leaf and has a root of its own."""


class VaultError(Exception):
    """Root of every error the vault raises outside `vault.crypto`."""
