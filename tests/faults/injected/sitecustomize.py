"""Python runs this before anything of a service whose PYTHONPATH names this folder; see `injection`."""

import injection

injection.install()
