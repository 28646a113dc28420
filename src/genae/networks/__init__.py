"""Networks by family, never by resolution or data set."""
