"""JSONPath as the filters of batch transform have it."""

import pytest

from helpers.local_sagemaker import json_paths


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", {"a": [1, 2, 3], "b": {"c": 4}}),
        ("", {"a": [1, 2, 3], "b": {"c": 4}}),
        ("$.b.c", 4),
        ("$['b']['c']", 4),
        ("$.a[-1]", 3),
        ("$.a[0,2]", [1, 3]),
        ("$.a[1:]", [2, 3]),
        ("$.a[:-1]", [1, 2]),
        ("$.a[0,1:]", [1, 2, 3]),
        ("$['a','b']", {"a": [1, 2, 3], "b": {"c": 4}}),
        ("$.b.*", [4]),
        ("$.a[*]", [1, 2, 3]),
    ],
)
def test_a_path_selects(path, found):
    assert json_paths.select(path, {"a": [1, 2, 3], "b": {"c": 4}}) == found


@pytest.mark.parametrize("path", ["a", "$.", "$[", "$..a", "$[?(@.a)]", "$[a]"])
def test_a_path_of_another_kind_is_refused(path):
    with pytest.raises(json_paths.JsonPathError, match="is not supported"):
        json_paths.steps(path)


@pytest.mark.parametrize(("path", "document"), [("$.a", {}), ("$[1]", [0]), ("$[0]", {}), ("$.a", [1])])
def test_a_path_that_a_document_lacks_is_an_error(path, document):
    with pytest.raises(json_paths.JsonPathError):
        json_paths.select(path, document)
