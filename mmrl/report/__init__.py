"""What a run found: rows of results, tables, plots, videos."""
