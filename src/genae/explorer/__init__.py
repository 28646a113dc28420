"""One model on one page: what it draws (`render`, `operations`), what it finds strange (`anomaly`), and the server."""
