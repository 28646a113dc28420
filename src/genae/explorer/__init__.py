"""The explorer: one model on one page in the browser. What the page shows is computed by `genae.operations`."""
