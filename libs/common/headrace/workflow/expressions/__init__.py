"""Expressions: Jinja2's expression syntax, evaluated over JSON by an interpreter of our own.

Tenants write expressions and runners evaluate them, so they can neither reach Python nor stall a process, and
both hold by construction: Jinja2 only parses, the tree is checked against the table of node types that have a
rule, the rules know JSON and nothing else, and each pays from a bounded budget for what it reads and makes.
"""

from headrace.workflow.expressions.limits import Budget, ExpressionError, OutOfWork
from headrace.workflow.expressions.render import (
    Templates,
    check_expressions,
    check_parsing,
    inspect,
    texts_in,
)
from headrace.workflow.expressions.scope import EVERYWHERE, Local, Scope
from headrace.workflow.expressions.syntax import References
from headrace.workflow.expressions.template import Template, compile_template
from headrace.workflow.expressions.truth import evaluate_when

__all__ = [
    "EVERYWHERE",
    "Budget",
    "ExpressionError",
    "Local",
    "OutOfWork",
    "References",
    "Scope",
    "Template",
    "Templates",
    "check_expressions",
    "check_parsing",
    "compile_template",
    "evaluate_when",
    "inspect",
    "texts_in",
]
