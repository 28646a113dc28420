"""Moving through code space."""
