"""Waits of runs, loaded for a whole page at once."""

from uuid import UUID

from headrace_control.auth.caller import Caller
from headrace_control.graphql.batches import Pages, batch_pages
from headrace_control.waits.model import Wait
from headrace_control.waits.service import WaitService


class WaitLoaders:
    """Of one caller."""

    def __init__(self, service: WaitService, caller: Caller) -> None:
        self.of_run: Pages[UUID, Wait] = batch_pages(
            lambda first, pages: service.of_runs(caller, first, pages)
        )
