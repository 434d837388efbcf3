"""`python -P -m v6cli`: how services start v6."""

from v6cli.main import main

if __name__ == "__main__":
    main()
