"""What an expression may cost: its size before it is parsed, the work of one rendering, the size of results.

Every operation whose cost grows with its operands spends from a `Budget`, so that no expression, however
written and on whatever data, can stall the process that evaluates it.
"""

from headrace.errors import HeadraceError

MAX_EXPRESSION_LENGTH = 4_096
MAX_TEMPLATE_LENGTH = 256 * 1024
MAX_EXPRESSIONS = 256  # in one text
MAX_TOKENS = 512
MAX_BRACKETS = 16
MAX_PREFIXES = 8  # `not`, `-`, `+` in a row, and `if` in one expression
MAX_TREE_DEPTH = 64
MAX_PARSING = 50_000  # of one document: `PARSING` and one more for each token, for each expression in it
PARSING = 8
UNITS_PER_TOKEN = 4  # of work; tokens of expressions are paid for whenever a text is rendered
MAX_INTEGER = 2**63 - 1
MAX_TEXT = 1024 * 1024  # characters of any text on the way
MAX_VALUE_DEPTH = 128
MAX_OUTPUT = 1024 * 1024  # characters of a whole rendered value, about as JSON
MAX_WORK = (
    100_000  # units of one step's values, or of one condition; a list element or 64 characters is one unit
)
CHARACTERS_PER_UNIT = 64
UNITS_PER_PAIR = 4
MEMBERS_PER_UNIT = 8  # that are passed over

MEND = "See the expressions section of the workflow document reference."


class ExpressionError(HeadraceError):
    """An expression does not compile, or has no value on the data at hand.

    `path` names the place, `reason` says why, `mend` how to put it right. They hold names from the
    expression's own text, kinds and limits, never data.
    """

    code = "EXPRESSION"

    def __init__(self, reason: str, mend: str = MEND, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.mend = mend
        self.path = path


class Missing(ExpressionError):
    """A name, field or element is not there; `default(...)` and `is defined` catch it."""


class OutOfWork(ExpressionError):
    """A budget is spent."""


class Budget:
    """The work that one step's values, or one condition, may still do.

    A unit is at most a microsecond of processor time, so a budget is a tenth of a second at most.
    """

    __slots__ = ("_left", "_work")

    def __init__(self, work: int = MAX_WORK) -> None:
        self._left = self._work = work

    @property
    def spent(self) -> int:
        """What has been taken away, and what was wanted last although it was not left."""
        return self._work - self._left

    def spend(self, units: int = 1) -> None:
        """Take `units` away. Raises `OutOfWork` when there are not as many left."""
        self._left -= units
        if self._left < 0:
            raise OutOfWork(
                "the expressions of this value take too much work",
                "Work on less data, or extract what is needed with a JSONPath in `output` first.",
            )

    def visit(self) -> None:
        """The work of comparing one pair of values."""
        self.spend(UNITS_PER_PAIR)

    def scan(self, members: int) -> None:
        """The work of passing over the members of a list or object."""
        self.spend(1 + members // MEMBERS_PER_UNIT)

    def spend_text(self, length: int) -> None:
        """The work of reading a text of `length` characters once."""
        self.spend(1 + length // CHARACTERS_PER_UNIT)


def check_text_length(length: int) -> None:
    """Raises `ExpressionError` when a text of `length` characters would be too long."""
    if length > MAX_TEXT:
        raise ExpressionError(f"a text may have {MAX_TEXT} characters at most")
