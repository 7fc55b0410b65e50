"""Which refusals of a start pass by themselves: for whoever starts runs again and again, with nobody who asks."""

from headrace.errors import ConcurrencyLimit, HeadraceError, QuotaExceeded


def passes(refusal: HeadraceError) -> bool:
    """Whether the same start may be let in later, with nothing done about it."""
    if isinstance(refusal, QuotaExceeded):
        return refusal.quota != "inputBytes"
    return isinstance(refusal, ConcurrencyLimit)
