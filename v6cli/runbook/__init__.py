"""The procedures of the runbook."""
