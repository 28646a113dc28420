"""The tests are a package, so that processes which a test starts can import its module under this name."""
