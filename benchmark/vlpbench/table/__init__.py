"""Tables: pure functions of records."""
