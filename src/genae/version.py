"""The version, where code and package metadata both find it."""

VERSION = "0.1.0"
