"""What ``make trust`` runs beside the tests: each module is a command of its own, with a count."""
