"""Decisions with identity: what a signed decision says, how it is signed and checked. Pure: no I/O, no clock."""
