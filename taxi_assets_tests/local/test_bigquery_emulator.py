"""The emulator's parser parses a statement once, and gives each caller a tree of its own."""

import pytest
import sqlglot

from taxi_assets.local.bigquery_emulator import parse_once


def test_a_statement_is_parsed_once_and_a_changed_tree_changes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = sqlglot.parse_one
    monkeypatch.setattr(sqlglot, "parse_one", lambda sql, **options: parsed.append(sql) or parse(sql, **options))
    parse_once()
    statement = "SELECT a FROM t WHERE b > 1"
    first = sqlglot.parse_one(statement, read="bigquery")
    first.set("where", None)
    assert first.sql() == "SELECT a FROM t"
    assert sqlglot.parse_one(statement, read="bigquery").sql() == statement
    assert parsed.count(statement) == 1
    # Another dialect is another question, and what is no statement stays refused.
    assert sqlglot.parse_one(statement, read="duckdb").sql() == statement
    assert parsed.count(statement) == 2
    for _ in range(2):
        with pytest.raises(sqlglot.errors.ParseError):
            sqlglot.parse_one("SELECT FROM WHERE", read="bigquery")
