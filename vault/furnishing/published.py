"""The catalogue as it is published: one list of categories, and the schema of each one's submissions."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vault.catalogue import Catalogue
from vault.catalogue.schema import Category
from vault.records.submission_schema import submission_schema
from vault.schemas import CatalogueCategoryOut, CatalogueCodeOut, CatalogueOut

PATH = "/v1/catalogue"


@dataclass(frozen=True, slots=True)
class Document:
    """A document that changes with the catalogue alone.

    Attributes:
        body: UTF-8 JSON.
        tag: its entity tag (RFC 9110 §8.8.3), quoted.
    """

    body: bytes
    tag: str

    @classmethod
    def of(cls, value: object) -> "Document":
        """Encodes a value."""
        body = json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


class PublishedCatalogue:
    """Every document of a catalogue, encoded once.

    Args:
        catalogue: the law.
        schemes: the identifier schemes this deployment serves.
        issuer: the server's address, under which the documents stand.

    Attributes:
        index: which categories there are, and under which pack; `CatalogueOut`.
        schemas: JSON Schema of a submission, by category.
    """

    def __init__(self, catalogue: Catalogue, schemes: Collection[str], issuer: str) -> None:
        place = f"{issuer}{PATH}"
        self.schemas: Mapping[str, Document] = {
            code: Document.of(submission_schema(catalogue, category, schemes, f"{place}/{code}"))
            for code, category in catalogue.categories.items()
        }
        listed = [_listed(catalogue, one, f"{place}/{code}") for code, one in catalogue.categories.items()]
        index = CatalogueOut(
            pack=catalogue.version,
            digest=catalogue.digest,
            jurisdiction=catalogue.jurisdiction,
            title=catalogue.pack.title,
            timezone=catalogue.pack.timezone,
            identifier_schemes=sorted(schemes),
            categories=listed,
        )
        self.index = Document.of(index.model_dump(mode="json"))


def _listed(catalogue: Catalogue, category: Category, uri: str) -> CatalogueCategoryOut:
    return CatalogueCategoryOut(
        code=category.code,
        title=category.title,
        title_local=category.title_local or None,
        tier=category.tier,
        adverse=category.adverse,
        effective_document=category.effective_document,
        notice=category.notice,
        age_gate=category.age_gate,
        opt_in=category.opt_in,
        bases=[_code(code, catalogue.bases[code].title) for code in category.bases],
        exemptions=[_code(code, catalogue.exemptions[code].title) for code in category.exemptions],
        fields=list(category.fields),
        submission_schema=uri,
    )


def _code(code: str, title: str) -> CatalogueCodeOut:
    return CatalogueCodeOut(code=code, title=title)
