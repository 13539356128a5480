"""The parts of the documentation site, which scripts/build_site.py puts together."""
