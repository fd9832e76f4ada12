"""`python -m studio` is the command `studio`."""

import sys

from studio.cli.main import main

sys.exit(main())
