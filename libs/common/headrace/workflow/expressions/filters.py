"""The table of filters that expressions may use. Each works on JSON alone and pays for what it reads and makes."""

from collections.abc import Mapping

from headrace.json_types import Json
from headrace.workflow.expressions import list_filters, number_filters, text_filters
from headrace.workflow.expressions.limits import MAX_TEXT, Budget, ExpressionError
from headrace.workflow.expressions.signature import Signature


def _default(_budget: Budget, value: Json, **_given: Json) -> Json:
    """The evaluator's own, as it catches what is missing; here for its signature."""
    return value


def _bounded(signature: Signature) -> Signature:
    """The same filter, its text result held to the limit (`upper` may lengthen a text)."""

    def function(budget: Budget, value: Json, **given: Json) -> Json:
        result = signature.function(budget, value, **given)
        if isinstance(result, str) and len(result) > MAX_TEXT:
            raise ExpressionError(f"a text may have {MAX_TEXT} characters at most")
        return result

    return Signature(function, signature.parameters, signature.required)


_TABLE: Mapping[str, Signature] = {
    "abs": Signature(number_filters.abs_of),
    "b64decode": Signature(text_filters.b64decode_of),
    "b64encode": Signature(text_filters.b64encode_of),
    "capitalize": Signature(text_filters.capitalize_of),
    "count": Signature(list_filters.length_of),
    "d": Signature(_default, ("value", "boolean"), 1),
    "default": Signature(_default, ("value", "boolean"), 1),
    "first": Signature(list_filters.first_of),
    "float": Signature(number_filters.to_float, ("default",)),
    "fromjson": Signature(text_filters.fromjson_of),
    "int": Signature(number_filters.to_int, ("default",)),
    "items": Signature(list_filters.items_of),
    "join": Signature(list_filters.join_of, ("separator", "attribute")),
    "keys": Signature(list_filters.keys_of),
    "last": Signature(list_filters.last_of),
    "length": Signature(list_filters.length_of),
    "lower": Signature(text_filters.lower_of),
    "map": Signature(list_filters.map_of, ("attribute", "default"), 1),
    "max": Signature(list_filters.max_of),
    "min": Signature(list_filters.min_of),
    "replace": Signature(text_filters.replace_of, ("old", "new"), 2),
    "reverse": Signature(list_filters.reverse_of),
    "round": Signature(number_filters.round_of, ("precision", "method")),
    "sort": Signature(list_filters.sort_of, ("reverse", "attribute")),
    "split": Signature(text_filters.split_of, ("separator",), 1),
    "string": Signature(text_filters.to_string),
    "sum": Signature(list_filters.sum_of, ("attribute",)),
    "tojson": Signature(text_filters.tojson_of),
    "trim": Signature(text_filters.trim_of),
    "unique": Signature(list_filters.unique_of, ("attribute",)),
    "upper": Signature(text_filters.upper_of),
    "urlencode": Signature(text_filters.urlencode_of),
    "values": Signature(list_filters.values_of),
}

FILTERS: Mapping[str, Signature] = {name: _bounded(signature) for name, signature in _TABLE.items()}
