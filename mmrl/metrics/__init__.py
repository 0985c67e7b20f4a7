"""Measures: of predictions, of representations, and their intervals over seeds."""
