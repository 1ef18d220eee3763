"""Exact fakes of the servers that ragline calls: every byte and every moment is the test's choice."""
