"""``python -m hotsplit``: the command line."""

from hotsplit.cli import main

if __name__ == "__main__":
    main()
