"""Values that YAML may read as numbers are short, with and without quotes; texts may be long."""

import pytest
import yaml

from encore.runtime.yaml_limits import LONGEST_PLAIN, check_events

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
INT, STR = "!<tag:yaml.org,2002:int>", "!<tag:yaml.org,2002:str>"


@pytest.mark.parametrize("tag", ["!!int", "!!float", "!!timestamp", "!own", "!", INT])
@pytest.mark.parametrize("form", ['a: {} "{}"', "a: {} '{}'", "a: {} |\n  {}", "a: {} >\n  {}", "a: {} {}"])
def test_a_long_value_with_a_tag_is_refused_whatever_its_quotes(tag, form):
    with pytest.raises(yaml.YAMLError, match="a value of [0-9]+ characters (with the tag|without quotes)"):
        check_events(form.format(tag, "1" + ":1" * LONGEST_PLAIN), LOADER)
    check_events(form.format(tag, "1" * (LONGEST_PLAIN - 1)), LOADER)


@pytest.mark.parametrize("tag", ["", "!!str", STR])
def test_a_long_text_in_quotes_is_read(tag):
    text = "1" + ":1" * LONGEST_PLAIN
    document = 'a: {} "{}"'.format(tag, text)
    check_events(document, LOADER)
    assert yaml.load(document, LOADER)["a"] == text


def test_a_tag_of_another_handle_is_the_same_tag():
    document = '%TAG !e! tag:yaml.org,2002:\n---\na: !e!int "1{}"\n'.format(":1" * LONGEST_PLAIN)
    with pytest.raises(yaml.YAMLError, match="with the tag tag:yaml.org,2002:int"):
        check_events(document, LOADER)


def test_values_are_counted_with_their_aliases():
    check_events("a: &a [1, 2]\nb: *a\n", LOADER, 9)
    with pytest.raises(yaml.YAMLError, match="more than 8 values, with its aliases written out"):
        check_events("a: &a [1, 2]\nb: *a\n", LOADER, 8)
