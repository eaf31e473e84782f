"""The law as data: which categories and fields may exist, who may ask, and until when."""

from vault.catalogue.catalogue import Catalogue
from vault.catalogue.display import DisplayWindow
from vault.catalogue.errors import CatalogueError
from vault.catalogue.load import load_catalogue

__all__ = ["Catalogue", "CatalogueError", "DisplayWindow", "load_catalogue"]
