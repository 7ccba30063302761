"""`python -m cli`: the command `defray`, for where no script of that name is at hand."""

import sys

from cli.main import main

sys.exit(main())
