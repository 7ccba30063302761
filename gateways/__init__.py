"""Card processors: one contract, one HTTP client, one file a processor; no gateway knows a table or another gateway."""
