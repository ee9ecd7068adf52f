"""What the fork server of the decoder processes imports: their code, loaded and compiled once.

Nothing else imports it.
"""

from wavebreak.io import jsonl
from wavebreak.service import request_decoder

__all__ = ["request_decoder"]

jsonl.warm()
