"""The catalogue over HTTP: open to everyone, cached by what it says, the same as the command line prints."""

import json

import pytest
from jsonschema_rs import Draft202012Validator, meta

from tests.vault.people import contract
from tests.vault.served import Served, problem
from vault.schemas import CatalogueOut

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_each_category_is_listed_with_a_schema_that_takes_what_the_door_takes(shared: Served) -> None:
    response = await shared.http.get("/v1/catalogue")
    assert response.status_code == 200
    index = CatalogueOut.model_validate(response.json())
    catalogue = shared.world.vault.catalogue
    assert index.digest == catalogue.digest
    assert [one.code for one in index.categories] == list(catalogue.categories)
    for one in index.categories:
        path = one.submission_schema.removeprefix(shared.world.vault.settings.issuer)
        found = await shared.http.get(path)
        assert found.headers["content-type"] == "application/schema+json"
        schema = found.json()
        meta.validate(schema)
        assert schema["$id"] == one.submission_schema
        assert catalogue.digest in schema["$comment"]
    schema = (await shared.http.get("/v1/catalogue/FIN")).json()
    assert Draft202012Validator(schema, validate_formats=True).is_valid(json.loads(contract(1)))


async def test_it_is_sent_again_only_where_it_changed(shared: Served) -> None:
    for path in ("/v1/catalogue", "/v1/catalogue/FIN"):
        first = await shared.http.get(path)
        tag = first.headers["etag"]
        assert "max-age" in first.headers["cache-control"]
        for held in (tag, f'"other", W/{tag}', "*"):
            again = await shared.http.get(path, headers={"If-None-Match": held})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert (await shared.http.get(path, headers={"If-None-Match": '"other"'})).content == first.content


async def test_what_is_no_category_is_not_found(shared: Served) -> None:
    problem(await shared.http.get("/v1/catalogue/XXX"), 404, "not-found")
