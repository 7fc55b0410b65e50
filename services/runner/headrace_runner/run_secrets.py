"""What one run must not tell, and what is shown of its values without it."""

from collections.abc import Iterable

from headrace.json_types import Json
from headrace.redaction import Redactor
from headrace.workflow.sensitive import Marks

from headrace_runner.claimed_run import ClaimedRun
from headrace_runner.sensitive import Sensitive


class RunSecrets:
    """The secrets that the run was given, those that it learns on its way (a token that was refreshed), and its
    `sensitive` values.

    Everything that writes of the run shares this one. It knows none of them, so that what a run leaves is gone with
    its last user, secrets first, and need not be looked for by the collector.
    """

    def __init__(self, sensitive: Sensitive, secrets: Iterable[str] = ()) -> None:
        self.sensitive = sensitive
        self._redactor = Redactor(secrets)

    @classmethod
    def of(cls, run: ClaimedRun, secrets: Iterable[str] = ()) -> "RunSecrets":
        """With what is known to be sensitive from the start: of the input, and of those that steps taken over have
        seen, by the parameters' schema, and of the checkpoint."""
        sensitive = Sensitive(run.tenant_id, run.run_id, run.output_keys.get(run.run_id))
        if run.output_keys:
            sensitive.learn(run.revealed)
            marks = Marks.of(run.version.document.parameters or {})
            seen = {did.run_id: did.input for did in run.doers.values() if did} | {run.run_id: run.input}
            for given in seen.values():
                sensitive.learn(marks.leaves(given) if marks else ())
        return cls(sensitive, secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Keep these secret too, from here on."""
        self._redactor = self._redactor.with_more(secrets)

    @property
    def redactor(self) -> Redactor:
        """Finds the secrets that are known by now."""
        return self._redactor

    def shown(self, value: Json) -> Json:
        """`value` for a record: without secrets, and without what is sensitive."""
        return self.sensitive.hidden(self._redactor.value(value))

    def words(self) -> Redactor:
        """What the words of log records are searched with."""
        return self.sensitive.merged(self._redactor)
