from pathlib import Path

import pytest

from vault.catalogue import Catalogue, load_catalogue

ZEMBLA = Path(__file__).parent / "packs" / "zz"


@pytest.fixture(scope="session")
def zembla() -> Catalogue:
    """A fictitious jurisdiction, far from the default one."""
    return load_catalogue(ZEMBLA)
