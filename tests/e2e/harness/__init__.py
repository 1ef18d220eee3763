"""Starts ragline's real programs for the tests, talks to them and stops them."""
