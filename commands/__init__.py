"""One module per v6 command; a folder per command group."""
