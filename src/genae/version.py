"""The version, where code and package metadata both find it."""

VERSION = "0.2.0.dev0"
