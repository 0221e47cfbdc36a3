"""Release judges against each other: false rollbacks, detection and requests exposed, on seeded traffic."""
