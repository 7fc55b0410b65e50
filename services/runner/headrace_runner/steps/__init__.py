"""Step types: one handler each, found by entry point (`headrace.steps`), behind `protocol.StepHandler`."""
