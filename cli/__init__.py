"""The one command, `opendactyl VERB`."""
