import json

import pytest

from vault.catalogue import load_catalogue
from vault.server.cli.main import run

CN = load_catalogue("cn")


def test_every_category_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["catalogue", "list"]) == 0
    told = capsys.readouterr().out
    assert CN.digest in told
    assert all(code in told for code in CN.categories)
    assert run(["catalogue", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == CN.digest


def test_the_schema_of_one_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["catalogue", "schema", "FIN"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"]["category"] == {"const": "FIN"}
    assert schema["properties"]["subject"]["properties"]["scheme"] == {"enum": ["cn-ric"]}


def test_what_is_no_category_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["catalogue", "schema", "XXX"]) == 2
    assert "no such code; use BIO" in capsys.readouterr().err
