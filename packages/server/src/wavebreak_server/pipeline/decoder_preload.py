"""What the fork server imports: the code of the decoder processes, loaded and compiled once.

The console has it check policies as well, hence the rules. Nothing else imports it.
"""

from wavebreak import rules
from wavebreak.io import jsonl
from wavebreak_server.pipeline import request_decoder

__all__ = ["request_decoder", "rules"]

jsonl.warm()
