"""The papers' tables: what a row is, what was published, what is trained and measured, and the page that shows it."""
