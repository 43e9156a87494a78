from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from types import ModuleType

import pytest
from tests.report.conftest import EVIL, Gather, figure

from vlpbench.report.page import embedded_json, render_page

VOID = {"meta", "link", "img", "input", "br", "col", "colgroup"}


class Reader(HTMLParser):
    """Elements of a page, and whether they are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID - {"colgroup"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(gathered: Gather) -> str:
    """The whole page of the fabricated records."""
    figures = [figure("label_efficiency"), figure("predictions-masks")]
    return render_page(gathered(problems=["records/x.json: <b>changed</b>"], figures=figures, not_drawn=[EVIL]))


def test_elements_are_closed_and_ids_are_unique(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    ids = Counter(attributes["id"] for _, attributes in reader.elements if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    links = {str(attributes["href"]) for attributes in reader.named("a")}
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    labels = {
        str(attributes["aria-labelledby"]) for _, attributes in reader.elements if "aria-labelledby" in attributes
    }
    assert labels <= set(ids)


def test_nothing_is_loaded_from_outside(page: str) -> None:
    reader = Reader(page)
    for tag, attributes in reader.elements:
        assert not {"srcset", "action", "background", "poster", "onclick", "onload"} & set(attributes)
        assert str(attributes.get("src", "data:")).startswith("data:")
        if tag != "a":
            assert str(attributes.get("href", "data:")).startswith("data:")
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert not {"iframe", "object", "embed", "base", "form"} & {tag for tag, _ in reader.elements}


def test_the_policy_allows_one_script_and_no_other(page: str) -> None:
    (policy,) = [meta["content"] for meta in Reader(page).named("meta") if "http-equiv" in meta]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"


def test_names_cannot_put_in_elements(page: str) -> None:
    reader = Reader(page)
    assert [attributes.get("type") for attributes in reader.named("script")] == ["application/json", None]
    assert "alert" in page
    assert "<script>alert" not in page
    assert "<b>changed" not in page
    (data,) = re.findall(r'<script type="application/json" id="cells-data">(.*?)</script>', page, re.DOTALL)
    assert ["convirt", EVIL] in json.loads(data)["method"]


def test_json_cannot_end_its_element() -> None:
    text = embedded_json({"name": "</script><!-- \u2028 &"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"name": "</script><!-- \u2028 &"}


def test_headings_are_in_order_and_tables_have_heads(page: str) -> None:
    reader = Reader(page)
    levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all("alt" in image and image["alt"] for image in reader.named("img"))


def test_the_parts_come_in_order(page: str, gathered: Gather) -> None:
    places = [page.index(f'id="{name}"') for name in (
        "warnings", "found", "tables", "figures", "galleries", "comparison", "methods", "cells", "glossary", "origins",
    )]  # fmt: skip
    assert places == sorted(places)
    without = gathered()
    assert "galleries" not in {part.anchor for part in without.parts}
    assert 'id="galleries"' not in render_page(without)


def test_the_same_records_give_the_same_page(page: str, gathered: Gather, golden: ModuleType) -> None:
    figures = [figure("label_efficiency"), figure("predictions-masks")]
    problems = ["records/x.json: <b>changed</b>"]
    again = gathered(golden.full_records()[::-1], problems=problems, figures=figures, not_drawn=[EVIL])
    assert render_page(again) == page


def test_the_head_tells_of_the_records_and_not_of_today(page: str) -> None:
    head = page[: page.index("<nav")]
    assert "Benchmark report: suite made_up" in head
    assert "2026-01-02 00:00 UTC" in head
    assert "vlpbench 0.1.0 (commit c0ffee00c0ff" in head
