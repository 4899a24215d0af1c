"""`python -m primacy.agent`: started by the guardian only."""

import sys

from primacy.agent.main import main

sys.exit(main())
