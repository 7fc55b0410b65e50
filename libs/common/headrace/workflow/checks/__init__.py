"""The parts of `headrace.workflow.validate`, one subject each."""
